"""``--metrics`` and ``--trace``: a run that can be watched from outside."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from streamseg_nodes.page.address import Service, checked, is_own, open_port

from streamseg import extras
from streamseg.cli.output.text import say
from streamseg.errors import OutputError, UsageError
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.monitoring.monitor import Monitor
from streamseg.monitoring.trace import MOST_SPANS, TraceFile
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport.spans import Span

METRICS = Service("metrics", "--metrics", "127.0.0.1:9400", "read them")


def add_watching(parser: argparse._ActionsContainer) -> None:
    """Add the flags."""
    here = parser.add_argument_group("watching it")
    here.add_argument(
        "--metrics",
        nargs="?",
        const=METRICS.default,
        metavar="HOST:PORT",
        help="serve figures there: /metrics for Prometheus, /healthz, /readyz; 'streamseg top' shows them "
        f"({METRICS.default} if left out)",
    )
    here.add_argument("--metrics-token", metavar="FILE", help="a file with the token that whoever asks has to know")
    here.add_argument("--metrics-cert", metavar="FILE", help="a certificate (PEM), for https")
    here.add_argument("--metrics-key", metavar="FILE", help="the key of that certificate (PEM)")
    here.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="write there when each process worked on which frame, for ui.perfetto.dev; "
        f"the first {MOST_SPANS:,} spans",
    )


def refuse_watching(args: argparse.Namespace, why: str) -> None:
    """Refuse the flags where there are no processes to watch.

    Raises:
        UsageError: one of them was given.
    """
    for flag, given in (("--metrics", args.metrics), ("--trace", args.trace)):
        if given is not None:
            raise UsageError(f"expected a run of processes with {flag}, {why}")


class Watch:
    """Looks at a run on behalf of those who watch it.

    Args:
        monitor: told how far the run is; None if nobody asks.
        trace: told who worked on what; None if nobody wants to know.
    """

    def __init__(self, monitor: Monitor | None, trace: TraceFile | None) -> None:
        self._monitor = monitor
        self._trace = trace
        self._said_full = False

    @property
    def traced(self) -> bool:
        """Whether processes are to say what they worked on."""
        return self._trace is not None

    def look(self, supervisor: Supervisor, job: Job | None) -> None:
        """See how far it is.

        Args:
            supervisor: of the run.
            job: what the run is a part of.
        """
        if self._monitor is not None:
            self._monitor.look(
                # Whether more is to come after this run, which may be started again, is not known here.
                "stopping" if supervisor.state == "finished" else supervisor.state,
                supervisor.stats,
                supervisor.ready,
                working=supervisor.pool.working,
                restarts=supervisor.replaced + (0 if job is None else job.restarts),
            )
        spans = supervisor.pool.spans
        while spans:
            who, pid, found = spans.popleft()
            if self._trace is not None:
                self._add(self._trace, who, pid, found)

    def close(self) -> None:
        """End the trace."""
        if self._trace is not None:
            try:
                self._trace.close()
            except OutputError as error:
                say(f"warning: {error}")

    def _add(self, trace: TraceFile, who: str, pid: int, spans: list[Span]) -> None:
        try:
            trace.add(who, pid, spans)
        except OutputError as error:
            # The results are worth more than the trace.
            say(f"warning: {error}; the run goes on without it")
            self._trace = None
        if trace.left_out and not self._said_full:
            self._said_full = True
            say(f"warning: the trace is full ({MOST_SPANS:,} spans); what comes from now on is not in it")


@contextlib.contextmanager
def watching(plan: Plan, args: argparse.Namespace) -> Iterator[Watch | None]:
    """What watches the run for as long as the block lasts; None if nobody wants that.

    Raises:
        StreamsegError: the address or the file cannot be had, or a package is missing.
    """
    if args.metrics is None and (args.metrics_token or args.metrics_cert or args.metrics_key):
        raise UsageError("expected --metrics HOST:PORT with --metrics-token, --metrics-cert and --metrics-key")
    if args.metrics is None and args.trace is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        monitor = None if args.metrics is None else _served(plan, args, stack)
        watch = Watch(monitor, None if args.trace is None else TraceFile(args.trace, plan))
        stack.callback(watch.close)
        yield watch


def _served(plan: Plan, args: argparse.Namespace, stack: contextlib.ExitStack) -> Monitor:
    extras.load("prometheus_client", "metrics", "for --metrics")
    address, secrets = checked(args.metrics, args.metrics_token, args.metrics_cert, args.metrics_key, METRICS)
    listener = open_port(address, METRICS)
    stack.callback(listener.close)
    from streamseg.monitoring.metrics import exposition
    from streamseg.monitoring.server import MonitorServer

    monitor = Monitor(plan)
    server = MonitorServer(
        listener,
        monitor,
        exposition(monitor),
        is_own=is_own,
        token=secrets.token,
        cert=secrets.cert,
        key=secrets.key,
    )
    server.start()
    stack.callback(server.close)
    host = f"[{address.host}]" if address.is_ipv6 else address.host
    say(f"metrics: {'http' if secrets.cert is None else 'https'}://{host}:{listener.getsockname()[1]}/metrics")
    return monitor
