"""``streamseg serve``: a page to point at what moves, in cameras, streams and files."""

from __future__ import annotations

import argparse

from streamseg.cli import run_graph
from streamseg.cli.option_flags import hide
from streamseg.cli.parser import Parser, port
from streamseg.cli.run import add_groups, add_run_options, run_plan
from streamseg.graph.plan import Plan
from streamseg.video.source import redact

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
        help="file, folder, camera number or URL; several are shown side by side",
    )
    where = parser.add_argument_group("where the page is")
    where.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="of this machine (default: 127.0.0.1)")
    where.add_argument("--port", type=port, default=8765, metavar="N", help="0 for any free one (default: 8765)")
    parser.add_argument("--detect", metavar="NAME", help="also follow what a detector finds: motion, or your own")
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
    plan = Plan(run_graph.from_sources(args, f"{host}:{args.port}"))
    return run_plan(plan, args, ", ".join(map(redact, args.sources)))
