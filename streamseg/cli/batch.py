"""Several sources one after the other, a folder each: what was done is kept, what cannot be done stops nobody."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streamseg.cli.option_flags import given_options, with_option
from streamseg.cli.run_graph import is_graph_file, source_names
from streamseg.cli.text import error_facts, say, shown, table
from streamseg.errors import EXIT_INTERRUPTED, PromptError, StreamsegError, UsageError
from streamseg.regular_files import read_regular
from streamseg.result_files import RUN
from streamseg.video.source import redact

_LARGEST_REPORT_BYTES = 64 << 20
_PROMPT_SUFFIXES = (".yaml", ".yml", ".json")
_LONGEST_REASON = 90


class Done(NamedTuple):
    """What became of one source."""

    name: str
    code: int
    reason: str = ""


def is_batch(args: argparse.Namespace) -> bool:
    """Whether sources are meant to be followed one after the other."""
    return bool(args.one_by_one) or (
        args.prompts is not None and Path(args.prompts).is_dir() and not args.prompts_format
    )


def run(args: argparse.Namespace, run_one: Callable[[argparse.Namespace], int]) -> int:
    """Follow objects in each source, and print what became of them; returns the exit code, of the first that failed.

    Args:
        args: of ``streamseg run``.
        run_one: runs it with one source.

    Raises:
        UsageError: there is no source, or a graph file.
    """
    if not args.sources or any(map(is_graph_file, args.sources)):
        raise UsageError("expected files to follow objects in one after the other, got none, or a graph file")
    if args.control is not None:
        raise UsageError("--control is for one run; leave it out, or follow the sources one at a time")
    options = given_options(args)
    root = Path(options.get("output") or args.resume or "out/batch").expanduser()
    names = source_names(args.sources)
    done: list[Done] = []
    for number, (source, name) in enumerate(zip(args.sources, names, strict=True), 1):
        say(f"{number} of {len(names)}: {name}")
        one = with_option(args, "output", str(root / name))
        one.sources = [source]
        # What an earlier batch has finished or begun is not done anew.
        one.resume = None if options.get("overwrite") else ""
        try:
            one.prompts = _prompts_of(args, source)
            done.append(Done(name, run_one(one)))
        except (StreamsegError, OSError) as error:
            known = error if isinstance(error, StreamsegError) else StreamsegError(str(error))
            say(f"error: {name}: {error_facts(known)['message']}")
            done.append(Done(name, known.exit_code, str(known)))
        if done[-1].code == EXIT_INTERRUPTED:
            say(f"ended early; the same command goes on with {name}")
            break
    rows = [
        ("SOURCE", "FRAMES", "FRAMES/S", "RESULTS"),
        *(_row(root, each, args.sources[n]) for n, each in enumerate(done)),
    ]
    text = table(rows)
    if args.json:
        say(text)
    else:
        print(text, flush=True)
    return next((each.code for each in done if each.code), 0)


def _prompts_of(args: argparse.Namespace, source: str) -> str | None:
    """The file of prompts of a source: of a folder, the one of its name."""
    if args.prompts is None or not Path(args.prompts).is_dir():
        return None if args.prompts is None else str(args.prompts)
    folder, stem = Path(args.prompts), Path(source).stem
    found = sorted(each for each in folder.iterdir() if each.stem == stem)
    if not args.prompts_format:
        found = [each for each in found if each.suffix.lower() in _PROMPT_SUFFIXES]
    if len(found) != 1:
        raise PromptError(
            f"expected one file of prompts for {redact(source)} in {folder}, such as {stem}.yaml, got {len(found)}"
        )
    return str(found[0])


def _row(root: Path, done: Done, source: str) -> tuple[str, str, str, str]:
    name = shown(redact(source))
    try:
        report = json.loads(read_regular(root / done.name / RUN, _LARGEST_REPORT_BYTES))
        frames, fps, error = str(report["frames_out"]), f"{report['fps']:.1f}", report.get("error")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        frames, fps, error = "", "", None
    if not done.code:
        return name, frames, fps, str(root / done.name)
    reason = done.reason or (error or {}).get("message", "") or "see above"
    short = reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…"
    return (
        name,
        frames if not done.reason else "",
        fps if not done.reason else "",
        f"failed ({done.code}): {shown(short)}",
    )
