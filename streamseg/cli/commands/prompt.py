"""``streamseg prompt``: tell a run that is under way about an object."""

from __future__ import annotations

import argparse
import json
import signal

import msgspec

from streamseg.cli.output.text import say, shown
from streamseg.cli.parser import Parser, natural, numbers
from streamseg.errors import PromptError
from streamseg.prompts.rules import NO_WORDS
from streamseg.runtime.library.prompting import send_prompt

_DESCRIPTION = """Add an object to a run that was started with --control PATH, correct it, or remove it. A new id adds
an object; for a known one clicks alone refine its mask, a box or a mask points it out anew, and a label alone renames
it. Says from which frame on it holds, or why it cannot be; waits for that as long as it takes, and Ctrl-C takes the
prompt back."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("control", metavar="PATH", help="what the run was given as --control")
    parser.add_argument("--id", type=natural, metavar="N", help="of the object; a new one by itself if left out")
    parser.add_argument("--label", metavar="TEXT", help="what it is called")
    parser.add_argument("--box", type=numbers, metavar="X0,Y0,X1,Y1", help="a box round it")
    parser.add_argument("--point", action="append", type=numbers, metavar="X,Y", help="a point on it")
    parser.add_argument("--negative", action="append", type=numbers, metavar="X,Y", help="a point on what it is not")
    parser.add_argument("--choice", type=int, choices=(0, 1, 2), help="which of the things that a point may mean")
    parser.add_argument("--mask", metavar="FILE", help="a picture of the frame's size that is not black on it")
    parser.add_argument("--remove", action="store_true", default=None, help="follow it no longer")
    parser.add_argument(
        "--undo", action="store_true", default=None, help="it is again what it was before the last prompt about it"
    )
    parser.add_argument(
        "--everything", action="store_true", default=None, help="all objects that are not followed yet, by themselves"
    )
    parser.add_argument("--text", metavar="WORDS", help="not understood; says what to do instead")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--frame", type=natural, metavar="N", help="a frame to come; the next one possible if left out")
    when.add_argument("--time", type=float, metavar="S", help="or a presentation time in seconds to come")
    parser.add_argument("--stream", metavar="NAME", help="which stream, if the graph has several")
    parser.add_argument("--node", metavar="NAME", help="which node, if several take prompts")
    parser.add_argument("--timeout", type=float, metavar="S", help="wait no longer than this for the answer")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send it and print the answer.

    Raises:
        StreamsegError: it was refused, or nobody listens.
    """
    if args.text is not None:
        raise PromptError(f"--text {args.text!r}: {NO_WORDS}")
    values = {
        "id": args.id,
        "label": args.label,
        "box": args.box,
        "points": args.point,
        "negative": args.negative,
        "choice": args.choice,
        "mask": args.mask,
        "remove": args.remove,
        "undo": args.undo,
        "everything": args.everything,
        "frame": args.frame,
        "time_s": args.time,
        "stream": args.stream,
    }
    prompt = {name: value for name, value in values.items() if value is not None}
    # Whoever ends this command in another way than by Ctrl-C does not want the object either.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    applied = send_prompt(args.control, prompt, node=args.node, timeout_s=args.timeout, waiting=_say_that_it_waits)
    print(json.dumps(msgspec.to_builtins(applied)) if args.json else shown(str(applied)))
    return 0


def _say_that_it_waits() -> None:
    say("the prompt waits for its frame; none has come yet, maybe the camera is away. Ctrl-C takes it back")
