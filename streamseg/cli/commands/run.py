"""``streamseg run``: follow objects in a source, or run a graph file."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from streamseg.cli.flags.options import add_options, assignment, hide
from streamseg.cli.flags.prompts import add_prompts
from streamseg.cli.output.text import error_facts, redacted, say
from streamseg.cli.parser import Parser
from streamseg.cli.running import one_by_one, other_formats, resuming, run_graph
from streamseg.cli.running.execution import How, Outcome, execute
from streamseg.cli.running.run_json import write_run_json
from streamseg.cli.running.watching import add_watching, refuse_watching, watching
from streamseg.errors import EXIT_INTERRUPTED, OutputError, RunError, UsageError
from streamseg.graph.options import DETECTORS, named_options
from streamseg.graph.plan import Plan
from streamseg.runtime.report import Report, make_report
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.recovery import can_resume, frames
from streamseg.runtime.supervision.spares import Spares
from streamseg.video.source import redact

_DESCRIPTION = """Follow objects in a video file, a folder of images, a camera (its number) or a stream (its URL), or
run a graph file (.yaml). Ctrl-C once finishes what is in flight and closes the files; twice stops at once."""

MakeQueue = Callable[[Plan, argparse.Namespace], CommandQueue | None]

_GROUPS = {
    "source": ("decode",),
    "detector": DETECTORS,
    "model": ("embed", "propagate"),
    "masks": ("cleanup",),
    "results": ("record",),
    "publishing": ("publish",),
    "page": ("page",),
    "rerun": ("rerun",),
}
"""Title -> the nodes whose options are listed there."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="*",
        help="file, folder, camera number, URL, or a graph file (.yaml); several share one model",
    )
    parser.add_argument(
        "--one-by-one",
        action="store_true",
        help="several sources one after the other rather than side by side, each in a folder in -o DIR; --prompts may "
        "be a folder then, with NAME.yaml for NAME.mp4; said again, it goes on where it was ended",
    )
    add_prompts(parser)
    rare = add_groups(parser)
    add_run_options(parser)
    parser.add_argument_group("going on").add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="DIR",
        help="go on with the run that was interrupted in DIR; with SOURCE and -o: in that folder, or begin there",
    )
    parser.add_argument_group("debugging").add_argument("--inline", action="store_true", help="one process")
    hide(parser, rare)
    parser.set_defaults(run=run)


def add_run_options(parser: Parser) -> None:
    """Add what is about the run itself."""
    parser.add_argument_group("any other option").add_argument(
        "--set",
        action="append",
        type=assignment,
        metavar="NODE.OPTION=VALUE",
        help="an option of a node by its name, say record.alpha=0.3; 'streamseg nodes' lists them; again for more",
    )
    add_watching(parser)
    here = parser.add_argument_group("this run")
    here.add_argument(
        "--control", metavar="PATH", help="listen there for 'streamseg prompt': a socket that only you can use"
    )
    here.add_argument("--json", action="store_true", help="print the final report as JSON")
    here.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")


def add_groups(parser: Parser, without: Collection[str] = ()) -> list[argparse.Action]:
    """Add the flags of the nodes' options, in groups. Returns those that are rare.

    Args:
        parser: of the command.
        without: names of options that it does not have.
    """
    rare = []
    options = [option for option in named_options().values() if option.name not in without]
    for title, nodes in _GROUPS.items():
        group = parser.add_argument_group(title)
        rare += add_options(group, [option for option in options if option.nodes[0] in nodes])
    return rare


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    if not one_by_one.is_asked_for(args):
        return run_one(args)
    with Spares() as spares:
        return one_by_one.run(args, functools.partial(run_one, spares=spares))


def run_one(args: argparse.Namespace, spares: Spares | None = None) -> int:
    """Run it with its sources side by side; returns the exit code.

    Args:
        args: of the command line.
        spares: processes that stay for the next run.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    graph = run_graph.asked_for(args)
    shown = ", ".join(map(redact, args.sources)) or redact(args.resume)
    return run_plan(Plan(graph), args, shown, command_queue_of, spares)


def run_plan(
    plan: Plan, args: argparse.Namespace, shown: str, make_queue: MakeQueue, spares: Spares | None = None
) -> int:
    """Run a plan, as ``run`` does; returns the exit code.

    Args:
        plan: of the graph.
        args: ``resume``, ``inline``, ``control``, ``json``, ``verbose`` of the command line, and what is about
            watching the run.
        shown: where the frames come from, for people.
        make_queue: makes the command queue, once nothing else can be wrong.
        spares: processes that stay for the next run.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    outputs = run_graph.outputs(plan)
    also = other_formats.asked_for(plan)
    if args.resume is not None and resuming.finished(plan, outputs):
        say(f"the run in {', '.join(map(str, outputs.values()))} is finished; there is nothing to do")
        return 0
    run_graph.keep_sources(plan, outputs)
    run_graph.fetch_checkpoints(plan)
    elsewhere = [name for name, spec in plan.graph.nodes.items() if spec.host]
    if args.inline and elsewhere:
        raise UsageError(f"node {elsewhere[0]!r} is to run on another machine: leave out --inline, or its host")
    if args.inline and (args.control is not None or _is_commanded(plan)):
        raise UsageError("--control and --page need processes: leave out --inline")
    if args.inline:
        refuse_watching(args, "got --inline; leave one of them out")
    # Of many files also those are followed whose nodes cannot go on where they were interrupted.
    from_scratch = getattr(args, "resume_if_possible", False) and not can_resume(plan)
    job = resuming.begin(plan, resume=args.resume is not None and not from_scratch)
    with watching(plan, args) as watch:
        command_queue = make_queue(plan, args)
        full_before = {name for name, folder in outputs.items() if _has_files(folder)}
        arrow = f" -> {', '.join(map(str, outputs.values()))}" if outputs else ""
        say(f"{shown}{arrow}")
        if job is not None and job.begun:
            say(f"going on at frame {frames(job)}")
        how = How({0: 30, 1: 20}.get(args.verbose, 10), command_queue, watch, spares)
        outcome = execute(plan, how, inline=args.inline, job=job)
    report = _judge(plan, outcome)
    written = [
        write_run_json(folder, report)
        for name, folder in outputs.items()
        if folder.is_dir() and _is_ours(outcome, name, full_before=name in full_before)
    ]
    if outcome.error is None:
        for name, formats in also.items():
            if outputs[name].is_dir():
                lines, troubles = other_formats.write(outputs[name], formats)
                written += lines
                for trouble in troubles:
                    say(trouble)
    if args.json:
        print(json.dumps(redacted(msgspec.to_builtins(report))), flush=True)
    _say_how_it_went(report, outcome, written)
    if outcome.error is not None:
        return EXIT_INTERRUPTED if outcome.interrupted else outcome.error.exit_code
    return EXIT_INTERRUPTED if outcome.interrupted else 0


def command_queue_of(plan: Plan, args: argparse.Namespace) -> CommandQueue | None:
    """Where commands come in: from the socket of ``--control``, and from nodes that give some; None without either."""
    if args.control is None and not _is_commanded(plan):
        return None
    return CommandQueue(plan, None if args.control is None else Path(args.control))


def _is_commanded(plan: Plan) -> bool:
    return any(getattr(kind, "gives_commands", False) for kind in plan.kinds.values())


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
