"""``streamseg run``: follow objects in a source, or run a graph file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from streamseg.cli import resuming, run_graph
from streamseg.cli.execution import Outcome, execute
from streamseg.cli.parser import moment, natural, numbers, positive
from streamseg.cli.run_record import write_record
from streamseg.cli.text import error_facts, redacted, say
from streamseg.errors import EXIT_INTERRUPTED, OutputError, RunError, UsageError
from streamseg.graph.plan import Plan
from streamseg.runtime.command_queue import CommandQueue
from streamseg.runtime.recovery import frames
from streamseg.runtime.report import Report, make_report
from streamseg.video.source import redact

NUMBER_OPTIONS = ("--box", "--point", "--negative")
"""Options whose value may start with a minus sign."""

_DESCRIPTION = """Follow objects in a video file, a folder of images, a camera (its number) or a stream (its URL), or
run a graph file (.yaml). Ctrl-C once finishes what is in flight and closes the files; twice stops at once."""


def add_to(commands: Any) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser("run", help="follow objects in a video or a live stream", description=_DESCRIPTION)
    parser.add_argument(
        "source", metavar="SOURCE", nargs="?", help="file, folder, camera number, URL, or a graph file (.yaml)"
    )
    what = parser.add_argument_group("what to follow (pixels of the frame)")
    what.add_argument(
        "--box",
        action="append",
        type=numbers,
        metavar="X0,Y0,X1,Y1",
        help="a box round one object; give it again for further objects, which get the ids 1, 2, …",
    )
    what.add_argument(
        "--point",
        action="append",
        type=numbers,
        metavar="X,Y",
        help="a point on the object: without a box all points make up one object, with one box they refine it "
        "(several boxes and points: use a graph file)",
    )
    what.add_argument(
        "--negative", action="append", type=numbers, metavar="X,Y", help="a point on what is not the object"
    )
    what.add_argument(
        "--choice",
        type=int,
        choices=(0, 1, 2),
        help="which of the things that a point may mean, the largest first; 'streamseg choose' shows them",
    )
    what.add_argument("--mask", action="append", metavar="FILE", help="a picture that is not black on one object")
    what.add_argument(
        "--frame", type=natural, metavar="N", help="these prompts are for frame N (default: 0, the first)"
    )
    what.add_argument(
        "--prompts",
        metavar="FILE",
        help="a YAML or JSON file instead of all that, with a list of prompts: several frames, corrections, removals",
    )
    what.add_argument("--text", metavar="WORDS", help="not understood; says what to do instead")
    what.add_argument("--everything", action="store_true", help="all objects of the first frame, without a prompt")
    what.add_argument(
        "--everything-frame", type=moment, metavar="N", help="the same in frame N, or at a time, say 2.5s"
    )
    what.add_argument(
        "--detect", metavar="NAME", help="what a detector finds, in every frame: motion, or package.module:Class"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--model", metavar="M", help="tiny (default), vit_b, vit_l or vit_h; see 'streamseg models'")
    how.add_argument("--checkpoint", metavar="FILE", help="the model's weights, if not the original ones")
    how.add_argument("--device", metavar="D", help="auto (default), cpu, cuda:N or mps")
    how.add_argument(
        "--engine",
        choices=("auto", "torch", "onnxruntime"),
        help="what computes; auto: onnxruntime for tiny on the CPU",
    )
    how.add_argument("--focus", choices=("auto", "on", "off"), default="auto", help="look closely where objects were")
    how.add_argument("--tracker", choices=("default", "naive"), default="default", help="naive: last box, no memory")
    how.add_argument("--live", action="store_true", default=None, help="drop frames rather than fall behind")
    how.add_argument("--max-frames", type=positive, metavar="N", help="stop after N frames")
    how.add_argument(
        "--control", metavar="PATH", help="listen there for 'streamseg prompt': a socket that only you can use"
    )
    how.add_argument("--inline", action="store_true", help="one process, for debugging")
    out = parser.add_argument_group("results")
    out.add_argument("-o", "--output", metavar="DIR", help="folder for the results (default: out/NAME OF THE SOURCE)")
    out.add_argument("--overwrite", action="store_true", help="write into DIR even if it is not empty")
    out.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="DIR",
        help="go on with the run that was interrupted in DIR; with SOURCE and -o: in that folder, or begin there",
    )
    out.add_argument("--no-overlay", action="store_true", help="no overlay.mp4")
    out.add_argument("--publish", metavar="ADDR", help="also publish over ZeroMQ, say at tcp://127.0.0.1:5600")
    out.add_argument(
        "--publish-key", metavar="FILE", help="this machine's .key_secret file: other machines may listen then"
    )
    out.add_argument(
        "--publish-allow",
        metavar="PATH",
        help="the .key file of who may listen, or a folder of such files",
    )
    out.add_argument("--json", action="store_true", help="print the final report as JSON")
    out.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    plan = Plan(run_graph.asked_for(args))
    outputs = run_graph.outputs(plan)
    if args.resume is not None and resuming.finished(outputs):
        say(f"the run in {', '.join(map(str, outputs.values()))} is finished; there is nothing to do")
        return 0
    run_graph.keep_sources(plan, outputs)
    run_graph.fetch_checkpoints(plan)
    if args.control is not None and args.inline:
        raise UsageError("--control needs processes: leave out --inline")
    job = resuming.begin(plan, resume=args.resume is not None)
    command_queue = None if args.control is None else CommandQueue(plan, Path(args.control))
    full_before = {name for name, folder in outputs.items() if _has_files(folder)}
    arrow = f" -> {', '.join(map(str, outputs.values()))}" if outputs else ""
    say(f"{redact(args.source or args.resume)}{arrow}")
    if job is not None and job.begun:
        say(f"going on at frame {frames(job)}")
    log_level = {0: 30, 1: 20}.get(args.verbose, 10)
    outcome = execute(plan, inline=args.inline, log_level=log_level, command_queue=command_queue, job=job)
    report = _judge(plan, outcome)
    written = [
        write_record(folder, report)
        for name, folder in outputs.items()
        if folder.is_dir() and _is_ours(outcome, name, full_before=name in full_before)
    ]
    if args.json:
        print(json.dumps(redacted(msgspec.to_builtins(report))), flush=True)
    _say_how_it_went(report, outcome, written)
    if outcome.error is not None:
        return EXIT_INTERRUPTED if outcome.interrupted else outcome.error.exit_code
    return EXIT_INTERRUPTED if outcome.interrupted else 0


def _judge(plan: Plan, outcome: Outcome) -> Report:
    """The report of a run; a run that finished no frame because all of them failed counts as an error."""
    report = make_report(plan, outcome.stats, outcome.facts, stopped_early=outcome.interrupted, job=outcome.job)
    if outcome.error is None and report.failed and not report.frames_out:
        outcome.error = RunError(f"all {report.failed} frames failed; the warnings above say why, -v says more")
    if outcome.error is None:
        return report
    code = EXIT_INTERRUPTED if outcome.interrupted else None
    return msgspec.structs.replace(report, error=error_facts(outcome.error, code))


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _is_ours(outcome: Outcome, recorder: str, *, full_before: bool) -> bool:
    """Whether what lies in the folder of a record node is of this run, and not of another one that has it."""
    stats, facts = outcome.stats.get(recorder), outcome.facts.get(recorder)
    if facts is not None and facts.get("folder") is None and (stats is None or not stats.frames):
        return False
    if outcome.job is not None and outcome.job.begun:
        return facts is not None or not isinstance(outcome.error, OutputError)
    return (stats is not None and stats.frames + stats.failed > 0) or (facts is not None and not full_before)


def _say_how_it_went(report: Report, outcome: Outcome, files: list[str]) -> None:
    counts = ((report.dropped, "dropped"), (report.failed, "failed"), (report.damaged, "damaged in the source"))
    extras = [f"{count} {what}" for count, what in counts if count]
    if outcome.facts:
        say(", ".join([f"{report.frames_out} frames at {report.fps:.1f} frames/s", *extras]))
    for line in files:
        say(line)
    if outcome.error is not None:
        say(f"error: {error_facts(outcome.error)['message']}")
