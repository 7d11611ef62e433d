"""Entry point: finds the command, and turns what goes wrong into a line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence
from functools import partial

from streamseg import __version__
from streamseg.cli.output.text import check_words, error_facts, say
from streamseg.cli.parser import Parser, join_negative_numbers
from streamseg.cli.startup import fill_standard_streams, interruptible
from streamseg.errors import EXIT_INTERRUPTED, StreamsegError

COMMANDS = {
    "run": "follow objects in a video or a live stream",
    "batch": "follow objects in many files, on one machine or several",
    "image": "masks of still pictures: what you point at, or everything",
    "serve": "open a page to point at what moves in cameras and files",
    "choose": "see the masks that a click may mean",
    "ros2": "follow objects in images of a ROS 2 topic",
    "prompt": "add, correct or remove an object of a run",
    "check": "check a graph file without starting it",
    "nodes": "list the nodes and their options",
    "models": "list the models: here, or to be had",
    "top": "watch a run that has --metrics: a table that lives",
    "convert": "write results in the formats of other programs",
    "label-studio": "answer Label Studio: masks and tracks while people draw",
    "sources": "list the cameras that are plugged in",
    "worker": "let runs on other machines have nodes work here",
    "listen": "print or record what a run publishes",
    "keys": "make and list keys for publishing to other machines",
    "eval": "measure following on video sequences with true masks",
    "eval-images": "measure box and click prompts on photos with true masks",
    "train": "train the bundled model on your own masks",
    "export": "write a model as ONNX files",
    "bench": "measure how fast this machine is",
    "doctor": "what this machine can do, and what is missing",
}
"""Command -> what it is for."""
_ADD_TO = {
    "label-studio": "label_studio:add_to",
    "eval": "evaluate:add_videos_to",
    "eval-images": "evaluate:add_photos_to",
}
"""Where its arguments are added, if not by ``add_to`` in the module of its name."""
_LONGEST_NAME = 100

_EXIT_CODES = """exit codes:
  0 done   2 usage, graph or prompt   3 video cannot be read   4 model   5 results cannot be written
  6 device   7 a process of the graph died, or every frame failed   130 ended by Ctrl-C or SIGTERM"""


def make_parser() -> Parser:
    """The parser of the whole command line."""
    from argparse import RawDescriptionHelpFormatter

    parser = Parser(
        prog="streamseg",
        description="Point at a thing once and get its outline in every frame that follows.",
        epilog=_EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"streamseg {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, purpose in COMMANDS.items():
        commands.add_parser(name, help=purpose, fill=partial(_fill, name))
    return parser


def _fill(name: str, parser: Parser) -> None:
    """Add the arguments of a command, whose module is imported only now."""
    module, _, function = _ADD_TO.get(name, f"{name}:add_to").partition(":")
    getattr(importlib.import_module(f"streamseg.cli.commands.{module}"), function)(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    fill_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        check_words(words)
        # This imports what the command needs: numpy and the nodes.
        with interruptible():
            args = make_parser().parse_args(join_negative_numbers(words))
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except StreamsegError as error:
        return _ended_by(error, words)
    except BrokenPipeError:
        # Whoever read our output (``| head``) has gone; nothing may be flushed there at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # What the system refuses anywhere: a name that is too long, one more open file.
        return _ended_by(StreamsegError(_system_says(error)), words)
    except KeyboardInterrupt as interrupt:
        say(f"interrupted: {interrupt}" if str(interrupt) else "interrupted")
        return EXIT_INTERRUPTED


def _ended_by(error: StreamsegError, words: Sequence[str]) -> int:
    if "--json" in words:
        # It may be standard output that the error is about: then there is nowhere to say it to.
        with contextlib.suppress(OSError):
            print(json.dumps({"error": error_facts(error)}), flush=True)
    say(f"error: {error_facts(error)['message']}")
    return error.exit_code


def _system_says(error: OSError) -> str:
    name = "" if error.filename is None else f" for {str(error.filename)[:_LONGEST_NAME]}"
    hint = "; allow more open files (ulimit -n)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    return f"the system refused something{name}: {error.strerror or error}{hint}"
