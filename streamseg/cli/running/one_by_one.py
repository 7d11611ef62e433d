"""Several sources, a task each: what was done is kept, what cannot be done stops nobody."""

from __future__ import annotations

import argparse
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamseg.batches import places
from streamseg.batches.task import Ended, Task, ended
from streamseg.cli.flags.options import given_options, with_option
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import error_facts, say, shown, table
from streamseg.cli.running.run_graph import is_graph_file, source_names
from streamseg.errors import EXIT_INTERRUPTED, PromptError, StreamsegError, UsageError
from streamseg.video.source import redact

RunOne = Callable[[argparse.Namespace], int]

_PROMPT_SUFFIXES = (".yaml", ".yml", ".json")
_LONGEST_REASON = 90
_OF_THE_BATCH = ("command", "cores", "gpus", "jobs", "json", "one_by_one", "ray", "retries", "run")
"""Arguments that are not those of a single run."""


def is_asked_for(args: argparse.Namespace) -> bool:
    """Whether ``streamseg run`` shall follow its sources one after the other."""
    return bool(args.one_by_one) or (
        args.prompts is not None and Path(args.prompts).is_dir() and not args.prompts_format
    )


def run(args: argparse.Namespace, run_one: RunOne) -> int:
    """Follow objects in each source, and print what became of them; returns the exit code, of the first that failed.

    Args:
        args: of ``streamseg run``.
        run_one: runs it with one source.

    Raises:
        UsageError: there is no source, or a graph file.
    """
    done: list[Ended] = []
    with Interrupts() as interrupts:
        for each in in_turn(args, tasks(args, args.sources, output_of(args)), run_one):
            done.append(each)
            if each.code == EXIT_INTERRUPTED or interrupts.stop:
                say("ended early; the same command goes on" + (f" with {each.name}" if each.code else ""))
                break
    say_table(done, to_stderr=args.json)
    return EXIT_INTERRUPTED if interrupts.stop else exit_code(done)


def output_of(args: argparse.Namespace) -> str:
    """The folder that has a folder for each source; it may be below a URL."""
    return str(given_options(args).get("output") or args.resume or "out/batch")


def tasks(args: argparse.Namespace, sources: Sequence[str], root: str) -> Iterator[Task | Ended]:
    """What to do with each source; where that is not known, why.

    Raises:
        UsageError: there is no source, or a graph file.
    """
    if not sources or any(map(is_graph_file, sources)):
        raise UsageError("expected files to follow objects in one after the other, got none, or a graph file")
    if getattr(args, "control", None) is not None:
        raise UsageError("--control is for one run; leave it out, or follow the sources one at a time")
    settings: dict[str, Any] = {name: value for name, value in vars(args).items() if name not in _OF_THE_BATCH}
    # What an earlier batch has finished or begun is not done anew.
    go_on = not given_options(args).get("overwrite")
    settings |= {"resume": "" if go_on else None, "resume_if_possible": True, "json": False}
    files = _files_of_prompts(args)
    return _tasks(args, sources, root, settings, files)


def _tasks(
    args: argparse.Namespace, sources: Sequence[str], root: str, settings: dict[str, Any], files: list[str] | None
) -> Iterator[Task | Ended]:
    named = [posixpath.basename(source) if places.is_url(source) else source for source in sources]
    for source, name in zip(sources, source_names(named), strict=True):
        task = Task(name=name, source=source, output=places.join(root, name), settings=settings)
        try:
            yield msgspec.structs.replace(task, prompts=_prompts_of(args, source, files))
        except StreamsegError as error:
            yield ended(task, error.exit_code, str(error))


def in_turn(args: argparse.Namespace, found: Iterable[Task | Ended], run_one: RunOne) -> Iterator[Ended]:
    """Do tasks in this process, one after the other, each as a run of its own that says what it does."""
    for number, task in enumerate(found, 1):
        say(f"{number} of {len(args.sources)}: {task.name}")
        if isinstance(task, Ended):
            say(f"error: {shown(task.reason)}")
            yield task
            continue
        one = with_option(argparse.Namespace(**{**vars(args), **task.settings}), "output", task.output)
        one.sources, one.prompts = [task.source], task.prompts
        try:
            yield ended(task, run_one(one), folder=Path(task.output))
        except (StreamsegError, OSError) as error:
            known = error if isinstance(error, StreamsegError) else StreamsegError(str(error))
            say(f"error: {error_facts(known)['message']}")
            yield ended(task, known.exit_code, str(known))


def say_table(done: Sequence[Ended], *, to_stderr: bool) -> None:
    """Print what became of each task."""
    text = table([("SOURCE", "FRAMES", "FRAMES/S", "RESULTS"), *map(_row, done)])
    if to_stderr:
        say(text)
    else:
        print(text, flush=True)


def exit_code(done: Sequence[Ended]) -> int:
    """That of the first which failed."""
    return next((each.code for each in done if each.code), 0)


def _row(done: Ended) -> tuple[str, str, str, str]:
    frames = "" if done.frames is None else str(done.frames)
    fps = "" if done.fps is None else f"{done.fps:.1f}"
    reason = done.reason if len(done.reason) <= _LONGEST_REASON else done.reason[: _LONGEST_REASON - 1] + "…"
    result = f"failed ({done.code}): {shown(reason)}" if done.code else redact(done.output)
    return shown(redact(done.source)), frames, fps, result


def _files_of_prompts(args: argparse.Namespace) -> list[str] | None:
    """The files in the folder of --prompts; None if that is a file, or not given."""
    if args.prompts is None:
        return None
    if places.is_url(args.prompts):
        return None if posixpath.splitext(args.prompts)[1] else places.names(args.prompts)
    folder = Path(args.prompts)
    return sorted(str(each) for each in folder.iterdir()) if folder.is_dir() else None


def _prompts_of(args: argparse.Namespace, source: str, files: list[str] | None) -> str | None:
    """The file of prompts of a source: of a folder, the one of its name."""
    if files is None:
        return None if args.prompts is None else str(args.prompts)
    stem = Path(source).stem
    found = [each for each in files if Path(each).stem == stem]
    if not args.prompts_format:
        found = [each for each in found if Path(each).suffix.lower() in _PROMPT_SUFFIXES]
    if len(found) != 1:
        raise PromptError(
            f"expected one file of prompts for {redact(source)} in {redact(args.prompts)}, such as {stem}.yaml, got "
            f"{len(found)}"
        )
    return found[0]
