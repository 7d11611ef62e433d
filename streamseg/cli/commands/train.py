"""``streamseg train``: train the bundled model, or fine-tune it on your own masks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import msgspec

from streamseg import extras
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import duration_text, say
from streamseg.cli.parser import Parser, positive
from streamseg.errors import EXIT_INTERRUPTED
from streamseg.training import recipe

_DESCRIPTION = """Train the bundled model as a recipe says (samples/train explains it). What comes out is used by
'--model tiny --checkpoint DIR/weights.safetensors'. Ctrl-C saves and ends; --resume goes on as if nothing had been."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("recipe", metavar="RECIPE.yaml")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder of the run (default: out/NAME OF THE RECIPE)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    parser.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu or cuda:N")
    parser.add_argument("--steps", type=positive, metavar="N", help="end at step N of the recipe's schedule")
    parser.add_argument("--json", action="store_true", help="print how it ended as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code.

    Raises:
        StreamsegError: something was wrong before anything started, or in between.
    """
    path = Path(args.recipe)
    wanted = recipe.load(path)
    output = Path(args.output) if args.output else Path("out") / path.stem
    extras.check_torch("'streamseg train'")
    # Only now: torch takes seconds to import.
    from streamseg.training.training_run import TrainingRun

    training_run = TrainingRun(wanted, output, resume=args.resume, device=args.device, tell=say)
    try:
        with Interrupts() as interrupts:
            outcome = training_run.run(lambda: interrupts.stop, args.steps)
    finally:
        training_run.close()
    if args.json:
        print(json.dumps(msgspec.to_builtins(outcome)), flush=True)
    how = {"steps": "ended as told", "time limit": "time is up"}.get(outcome.ended, outcome.ended)
    say(f"{how} at step {outcome.steps} of {outcome.of_steps} after {duration_text(outcome.seconds)}")
    say(f"weights: {outcome.weights}")
    return EXIT_INTERRUPTED if outcome.ended == "interrupted" else 0
