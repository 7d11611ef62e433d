"""Commands that a node gives to others, on the supervisor's side: into the command queue, and the answer back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from streamseg.commands import Answer, Refused, Request, Response
from streamseg.errors import UsageError
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.worker_pool import WorkerPool
from streamseg.transport.control import Figures, Responded, Stats

_EVERY_S = 1.0
_NO_QUEUE = Refused.of(UsageError("this run takes no commands; start it with a command queue"))


def take_from_node(command_queue: CommandQueue | None, pool: WorkerPool, who: str, request: Request) -> None:
    """Take what a node has asked, as if it had come from a person.

    Args:
        command_queue: of the run.
        pool: its processes.
        who: identity of the process that asked.
        request: what it asked.
    """
    reply = _Responder(pool, who, request.number)
    if command_queue is None:
        reply(_NO_QUEUE)
    elif request.withdraw:
        command_queue.withdraw(reply)
    else:
        command_queue.submit(request.node, bytes(request.body), reply)


class FigureTeller:
    """Tells the nodes that people sit before what every process does.

    Args:
        plan: of the graph.
        pool: its processes.
    """

    def __init__(self, plan: Plan, pool: WorkerPool) -> None:
        self._pool = pool
        workers = plan.workers()
        self._to = [spec.identity for spec in workers if spec.gives_commands]
        self._order = sorted(
            (spec.identity for spec in workers), key=lambda who: plan.order.index(who.partition(".")[0])
        )
        self._next_s = 0.0

    def tell(self, stats: Mapping[str, Stats]) -> None:
        """Tell them, if it is time."""
        now_s = time.monotonic()
        if self._to and now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            figures = Figures({identity: stats[identity] for identity in self._order if identity in stats})
            for identity in self._to:
                self._pool.send(identity, figures)


@dataclass(frozen=True)
class _Responder:
    """The way to answer a process; equal for a command and for taking it back."""

    pool: WorkerPool
    who: str
    number: int

    def __call__(self, answer: Answer) -> None:
        self.pool.send(self.who, Responded(Response(self.number, answer)))
