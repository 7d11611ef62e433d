"""``streamseg serve``: a page to point at what moves, in cameras, streams and files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from streamseg.cli.commands.run import add_groups, add_run_options, command_queue_of, run_plan
from streamseg.cli.flags.options import given_options, hide, with_option
from streamseg.cli.flags.prompts import add_detectors, detector
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import say
from streamseg.cli.parser import Parser, port
from streamseg.cli.running import other_formats, run_graph
from streamseg.cli.running.page_formats import PageFormats
from streamseg.cli.running.watching import refuse_watching
from streamseg.errors import EXIT_INTERRUPTED, UsageError
from streamseg.graph.plan import Plan, cores, thread_environment
from streamseg.video.source import SourceKind, classify, redact

_DESCRIPTION = """Open a page in the browser that shows cameras, streams or files, and takes clicks on what is to be
followed. Only this machine reaches it, unless a token and a certificate are given. Ctrl-C ends it. The same page beside
a run that records or publishes: 'streamseg run ... --page'."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="file, folder, camera number or URL; several get a tab each (files, or what is live)",
    )
    where = parser.add_argument_group("where the page is")
    where.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="of this machine (default: 127.0.0.1)")
    where.add_argument("--port", type=port, default=8765, metavar="N", help="0 for any free one (default: 8765)")
    add_detectors(parser.add_argument_group("also follow"))
    rare = add_groups(parser, without=("page",))
    add_run_options(parser)
    hide(parser, rare)
    parser.set_defaults(run=run, resume=None, inline=False)


def run(args: argparse.Namespace) -> int:
    """Serve until the sources end, or somebody ends it; returns the exit code.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    host = f"[{args.host}]" if ":" in args.host else args.host
    bind = f"{host}:{args.port}"
    title = ", ".join(map(redact, args.sources))
    files = [source for source in args.sources if classify(source) in (SourceKind.FILE, SourceKind.FOLDER)]
    options = given_options(args)
    if not files or options.get("live") or "follow_folder" in options or detector(args)[0] is not None:
        return run_plan(Plan(run_graph.page_of(args, bind)), args, title, command_queue_of)
    if len(files) < len(args.sources):
        raise UsageError(
            f"expected files alone or cameras and streams alone, got both: {title}; open a page for each (--port), or "
            f"show the files as if they were live (--live)"
        )
    if args.control is not None:
        raise UsageError(
            "--control is for what is live: files are pointed at on the page; leave it out, or give --live"
        )
    refuse_watching(args, "got files, which the page plays itself; leave it out, or give --live")
    return _serve_files(args, bind, title)


def _serve_files(args: argparse.Namespace, bind: str, title: str) -> int:
    """Files can be paused and gone to and fro in, so they are played without a graph of processes."""
    output = given_options(args).get("output")
    if output is not None and len(args.sources) > 1:
        raise UsageError(
            f"expected one file with -o {output}, got {len(args.sources)}, and their results would mix; leave it out: "
            f"each has a folder of its own below out/"
        )
    # The page exports where there is no record node, too.
    also = other_formats.named(given_options(args).get("also") or [])
    graph = run_graph.page_of(with_option(args, "also", None), bind)
    plan = Plan(graph)
    options: dict[str, Any] = dict(plan.options)
    run_graph.fetch_checkpoints(plan)
    stems = options["page"].titles

    def folder(stream: str) -> str:
        return output or run_graph.free_folder(Path("out") / stems.get(stream, stream))

    os.environ.update({**thread_environment(cores()), **os.environ})
    from streamseg_nodes.page.files import FilesPage
    from streamseg_nodes.page.stepper import StepOptions
    from streamseg_nodes.record.node import Record

    steps = StepOptions(options["embed"], options["propagate"], options["cleanup"], focus=bool(graph.feedback))
    record = options.get("record", Record.Config())
    files = {name: options[name] for name, spec in graph.nodes.items() if "source" in spec.options}
    say(title)
    exporting = PageFormats(plan, files, also)
    with (
        Interrupts() as interrupts,
        FilesPage(files, steps, options["page"], record, folder, exporting, threads=cores()) as page,
    ):
        say(f"page: {page.url}" + (" (it asks for the token)" if options["page"].token else ""))
        while not interrupts.wait(3600.0):
            continue
    return EXIT_INTERRUPTED
