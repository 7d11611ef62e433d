"""Commands that a node gives to others, on the supervisor's side: into the command queue, and the answer back."""

from __future__ import annotations

from dataclasses import dataclass

from streamseg.commands import Answer, Refused, Request, Response
from streamseg.errors import UsageError
from streamseg.runtime.command_queue import CommandQueue
from streamseg.runtime.worker_pool import WorkerPool
from streamseg.transport.control import Responded

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


@dataclass(frozen=True)
class _Responder:
    """The way to answer a process; equal for a command and for taking it back."""

    pool: WorkerPool
    who: str
    number: int

    def __call__(self, answer: Answer) -> None:
        self.pool.send(self.who, Responded(Response(self.number, answer)))
