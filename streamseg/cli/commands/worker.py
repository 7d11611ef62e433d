"""``streamseg worker``: let runs on other machines have nodes of theirs work here."""

from __future__ import annotations

import argparse
import logging
import sys

from streamseg_nodes.page.address import Service, parse

from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import say, shown
from streamseg.cli.parser import Parser
from streamseg.errors import UsageError
from streamseg.publishing.keys import load_door
from streamseg.remote.guard import Guard
from streamseg.remote.server import WorkerServer

DEFAULT = "127.0.0.1:7700"
_SERVICE = Service("worker", "--listen", DEFAULT, "start nodes")

_DESCRIPTION = """Start nodes here for runs on other machines, whose graph files name this one under 'hosts'. Only who
has a key on the list gets in, and all that travels is encrypted. Only nodes that are installed here are started, never
code that is sent; sources, sinks and files only if they are allowed. Ctrl-C ends it, and every node with it."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=DEFAULT,
        help=f"an IP address of this machine and a port (default: {DEFAULT}); 0.0.0.0 for all of its networks",
    )
    parser.add_argument(
        "--key", metavar="FILE", required=True, help="this machine's .key_secret file ('streamseg keys new NAME')"
    )
    parser.add_argument(
        "--allow", metavar="PATH", required=True, help="the .key file of who may start nodes here, or a folder of them"
    )
    parser.add_argument(
        "--node",
        metavar="NAME",
        action="append",
        help="a source or sink that may be started here, such as decode or record; again for another",
    )
    parser.add_argument(
        "--files",
        metavar="FOLDER",
        action="append",
        help="files in here, or URLs that begin so (rtsp://camera.lan/), may be named by options; again for another",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until somebody ends it; returns the exit code.

    Raises:
        StreamsegError: no address, keys that cannot be used, a port in use.
    """
    address = parse(args.listen, _SERVICE)
    door = load_door(args.key, args.allow)
    if door is None:
        raise UsageError("expected keys; 'streamseg worker --help' says which")
    guard = Guard(args.node or (), args.files or ())
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO, handlers=[_Said()], format="%(message)s", force=True
    )
    host = f"[{address.host}]" if address.is_ipv6 else address.host
    with Interrupts() as interrupts, WorkerServer(f"tcp://{host}:{address.port}", door, guard) as server:
        print(f"listening at {server.address}", flush=True)
        server.serve(lambda: interrupts.stop)
        say(f"ended by {interrupts.name}")
    return 0


class _Said(logging.Handler):
    """Writes records to standard error as the command says everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        print(f"streamseg: {shown(self.format(record))}", file=sys.stderr, flush=True)
