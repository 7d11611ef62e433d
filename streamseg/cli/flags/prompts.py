"""The flags of ``streamseg run`` that say what to follow, and what becomes of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamseg.cli.flags.options import given_options
from streamseg.cli.parser import moment, natural, numbers, positive
from streamseg.errors import PromptError, UsageError
from streamseg.formats import prompts as formats_prompts
from streamseg.formats.convert import open_clip
from streamseg.graph.standard import PlainPrompt, make_prompts
from streamseg.prompts.files import plain_prompts, read_prompts

_POINTING: dict[str, dict[str, Any]] = {
    "--box": {
        "action": "append",
        "type": numbers,
        "metavar": "X0,Y0,X1,Y1",
        "help": "a box round one object; give it again for further objects, which get the ids 1, 2, …",
    },
    "--point": {
        "action": "append",
        "type": numbers,
        "metavar": "X,Y",
        "help": "a point on the object: without a box all points make up one object, with one box they refine it "
        "(several boxes and points: use a graph file)",
    },
    "--negative": {
        "action": "append",
        "type": numbers,
        "metavar": "X,Y",
        "help": "a point on what is not the object",
    },
    "--choice": {
        "type": int,
        "choices": (0, 1, 2),
        "help": "which of the things that a point may mean, the largest first; 'streamseg choose' shows them",
    },
    "--mask": {"action": "append", "metavar": "FILE", "help": "a picture that is not black on one object"},
    "--frame": {"type": natural, "metavar": "N", "help": "these prompts are for frame N (default: 0, the first)"},
}
_FINDING: dict[str, dict[str, Any]] = {
    "--prompts": {
        "metavar": "FILE",
        "help": "a YAML or JSON file instead of all that, with a list of prompts: several frames, corrections, "
        "removals",
    },
    "--prompts-format": {
        "metavar": "NAME",
        "help": "the file of --prompts is of another program, say cvat or coco ('streamseg convert --list')",
    },
    "--everything": {
        "action": "store_true",
        "default": None,
        "help": "all objects of the first frame, without a prompt",
    },
    "--everything-frame": {"type": moment, "metavar": "N", "help": "the same in frame N, or at a time, say 2.5s"},
}
_TEXT_EVERY = 25
"""It takes seconds a frame without a GPU."""
_DETECTING: dict[str, dict[str, Any]] = {
    "--detect": {
        "metavar": "NAME",
        "help": "what a detector finds: an ONNX file, motion, or package.module:Class",
    },
    "--discover": {
        "type": positive,
        "metavar": "N",
        "help": "whatever there is: every N frames all objects are looked for, and new ones are followed",
    },
}


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    group = parser.add_argument_group("what to follow (pixels of the frame)")
    for flag, settings in (*_POINTING.items(), *_FINDING.items()):
        group.add_argument(flag, **settings)
    add_detectors(group)


def add_detectors(group: argparse._ActionsContainer) -> None:
    """Add the flags that put a detector before embed."""
    for flag, settings in _DETECTING.items():
        group.add_argument(flag, **settings)


def detector(args: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """The detector that is asked for, None if there is none, and its options that are said with it.

    Raises:
        UsageError: there are several, or one thing is said twice.
    """
    options = given_options(args)
    flags = [*_given(args, _DETECTING), *(["--text"] if "text" in options else [])]
    if len(flags) > 1:
        raise UsageError(f"expected one detector, got {' and '.join(flags)}; leave all but one out")
    every = options.get("detect_every")
    if "text" in options:
        return "text_detector", {"detect_every": _TEXT_EVERY if every is None else every}
    if args.discover is None:
        return args.detect, {}
    if every is not None:
        raise UsageError(
            f"--discover {args.discover} says how often to look, and so does --detect-every; leave that out"
        )
    return "discover", {"detect_every": args.discover}


def refuse_prompts(args: argparse.Namespace, graph: str) -> None:
    """Refuse them beside a graph that says itself what to follow.

    Raises:
        UsageError: one was given.
    """
    for flag in _given(args, (*_POINTING, *_FINDING, *_DETECTING)):
        raise UsageError(
            f"{flag} cannot be combined with {graph}; write it there, under the options of the node it is about "
            f"('streamseg nodes' lists them)"
        )


def given_prompts(args: argparse.Namespace) -> list[PlainPrompt]:
    """The prompts of the flags, or of the file that they name.

    Raises:
        PromptError: there is nothing to follow, or it cannot be meant.
    """
    flags = _given(args, _POINTING)
    if args.prompts_format is not None and args.prompts is None:
        raise PromptError(f"expected --prompts FILE beside --prompts-format {args.prompts_format}, got none")
    finds_itself = detector(args)[0] is not None or everything(args) is not None
    if args.prompts is None and finds_itself and not (args.box or args.point or args.mask):
        return []
    if args.prompts is None and not flags and (args.control is not None or "page" in given_options(args)):
        return []  # they come later
    if args.prompts is None:
        given = (args.box or [], args.point or [], args.negative or [], args.mask or [])
        return make_prompts(*given, frame=args.frame or 0, choice=args.choice)
    if flags:
        raise PromptError(f"--prompts {args.prompts} beside {', '.join(flags)}: write all prompts into the file")
    if args.prompts_format is not None:
        return list(formats_prompts.plain_prompts(open_clip(Path(args.prompts), args.prompts_format)))
    return plain_prompts(read_prompts(Path(args.prompts)))


def everything(args: argparse.Namespace) -> dict[str, Any] | None:
    """The options for finding all objects of a frame; None if that is not asked for."""
    if args.everything_frame is not None:
        return dict(args.everything_frame)
    return {} if args.everything else None


def _given(args: argparse.Namespace, flags: Iterable[str]) -> list[str]:
    return [flag for flag in flags if getattr(args, flag.removeprefix("--").replace("-", "_")) is not None]
