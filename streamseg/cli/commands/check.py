"""``streamseg check``: is this graph sound? Nothing is started."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.cli.output.text import shown, table
from streamseg.cli.parser import Parser
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.sam.models import check_installed, find


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = __doc__
    parser.add_argument("graph", metavar="GRAPH.yaml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan of a graph file.

    Raises:
        GraphError: it is not sound.
        ModelError: it names a model that there is not, or that needs a package that is not installed.
    """
    graph = config.load(Path(args.graph))
    plan = Plan(graph)
    for name, options in plan.options.items():
        # On another machine it is that one's.
        if not graph.nodes[name].host and isinstance(model := getattr(options, "model", None), str):
            check_installed(find(model))
    rows = [("NODE", "USE", "TAKES", "GIVES", "PROCESSES", "THREADS", *(["HOST"] if graph.hosts else []))]
    for name in plan.order:
        spec, port = graph.nodes[name], plan.ports[name]
        takes, gives = (kind.__name__ if kind else "-" for kind in (port.takes, port.gives))
        # Those of another machine are shared out there.
        threads = spec.threads or "-" if spec.host else plan.worker(name, 0).threads
        where = [spec.host or "-"] if graph.hosts else []
        rows.append((name, spec.use, takes, gives, str(spec.replicas), str(threads), *where))
    print(table(rows))
    print()
    for origin, to in graph.links:
        gives_type = plan.ports[origin].gives
        print(f"{origin} -> {to}  ({gives_type.__name__ if gives_type else '-'})")
    for origin, to in graph.feedback:
        print(f"{origin} -> {to}  (back-edge)")
    print(f"\n{shown(args.graph)}: sound; {graph.tickets} frames in flight for each source")
    return 0
