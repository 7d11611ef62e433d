"""``streamseg top``: what a run with ``--metrics`` does, as a table that lives."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg_nodes.page.address import read_token

from streamseg import extras
from streamseg.cli.output.text import say
from streamseg.cli.parser import Parser
from streamseg.cli.running.watching import METRICS
from streamseg.errors import RunError
from streamseg.monitoring.client import FiguresClient

if TYPE_CHECKING:
    from rich.live import Live

_EVERY_S = 0.5

_DESCRIPTION = """Watch a run that was started with --metrics: for each node frames a second, load and times, for each
stream what came in, went out and was dropped, how old frames are at the end, and its objects. q or Ctrl-C ends it."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "address",
        metavar="HOST:PORT",
        nargs="?",
        default=METRICS.default,
        help=f"where the run is (default: {METRICS.default}); https://HOST:PORT if it has a certificate",
    )
    parser.add_argument("--once", action="store_true", help="print the table once; so it is, too, where no terminal is")
    parser.add_argument("--token", metavar="FILE", help="the file with the token that the run was given")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="a certificate (PEM) to trust, for https")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the table until somebody ends it, or the run is over; returns the exit code.

    Raises:
        StreamsegError: a package is missing, it is no address, or nobody answers there.
    """
    extras.load("rich", "metrics", "for 'streamseg top'")
    client = FiguresClient(args.address, None if args.token is None else read_token(args.token, METRICS), args.ca)
    from rich.console import Console
    from rich.live import Live

    from streamseg.monitoring.table import tables

    first = tables(client.ask(), client.address)
    console = Console(highlight=False)
    if args.once or not console.is_terminal:
        console.print(first)
        return 0
    with contextlib.suppress(KeyboardInterrupt), _keys() as keys:
        return _live(client, Live(first, console=console, screen=True, auto_refresh=False), keys)
    return 0


def _live(client: FiguresClient, live: Live, keys: Callable[[float], str]) -> int:
    from streamseg.monitoring.table import tables

    over = False
    with live:
        while not over and "q" not in keys(_EVERY_S):
            try:
                live.update(tables(client.ask(), client.address), refresh=True)
            except RunError:
                over = True
    if over:
        say(f"the run at {client.address} is over, or answers no more")
    return 0


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key, for so many seconds at most, and gives it; empty if none was pressed."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _key
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _key(seconds: float) -> str:
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), 64).decode("utf-8", "replace") if readable else ""


def _sleep(seconds: float) -> str:
    time.sleep(seconds)
    return ""
