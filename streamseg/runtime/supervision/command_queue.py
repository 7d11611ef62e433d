"""Where commands to a running graph come in, and from where their answers go out.

Whoever runs a graph has a command queue: it outlives the supervisor, holds what was asked until that is answered, and
answers what is left when the run is over. Commands come from this process (`submit`, from any thread) or, if the queue
has a socket, from others.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from streamseg.commands import Answer, Applied, Refused, Reply
from streamseg.errors import GraphError, RunError, StreamsegError, UsageError, nearest
from streamseg.graph.plan import Plan
from streamseg.jobs import PastCommand
from streamseg.transport.command_socket import CommandServer

log = logging.getLogger(__name__)

_MOST_WAITING = 1000
_MOST_PAST = 100
_MOST_PAST_BYTES = 32 << 20
_TAKEN_BACK = Refused("PromptError", "it was taken back before it came into force")


class _Command(NamedTuple):
    node: str
    body: msgspec.Raw
    reply: Reply


class CommandQueue:
    """Commands that wait to be handed on, and those that wait for their answer.

    Args:
        plan: of the graph, for the nodes that take commands.
        control: where other processes shall find a socket for commands; None takes them from this one only.

    Raises:
        GraphError: there shall be a socket, but no node in the graph takes commands.
        UsageError: the path is too long, something else is there, or another run listens there.
        OutputError: the socket cannot be made.
    """

    def __init__(self, plan: Plan, control: Path | None = None) -> None:
        self._takers = [name for name in plan.order if getattr(plan.kinds[name], "takes_commands", None) is not None]
        if control is not None and not self._takers:
            raise GraphError(f"no node of this graph takes commands, so nobody would listen at {control}")
        self._server = None if control is None else CommandServer(control)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[_Command] = deque()
        self._unanswered: dict[int, _Command] = {}
        self._withdrawn: dict[int, bool] = {}
        """Numbers of those among them that are wanted no more -> whether their node has been told."""
        self.past: list[PastCommand] = []
        """Those that have come into force, as far as they may have to do so once more (`forget_past`)."""
        self._next = 0
        self._over: StreamsegError | None = None

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        """Readable when other processes have sent commands; None if none can."""
        return None if self._server is None else self._server.socket

    def submit(self, node: str | None, body: bytes, reply: Reply) -> None:
        """Take a command. `reply` is called once, from the thread that runs the graph; at once if it is refused here.

        Args:
            node: which is meant; the only one that takes commands if None.
            body: msgpack, as that node understands it.
            reply: gets the answer.
        """
        try:
            name = self._taker(node)
            with self._lock:
                if self._over is not None:
                    raise self._over
                if len(self._waiting) + len(self._unanswered) >= _MOST_WAITING:
                    raise UsageError(f"{_MOST_WAITING} commands wait for their answers already; try again later")
                self._waiting.append(_Command(name, msgspec.Raw(body), reply))
        except StreamsegError as error:
            reply(Refused.of(error))

    def receive(self) -> None:
        """Take what other processes have sent; it waits here until it is handed on."""
        if self._server is not None:
            for request, reply in self._server.requests():
                if request.withdraw:
                    self.withdraw(reply)
                else:
                    self.submit(request.node, bytes(request.body), reply)

    def take(self) -> Iterator[tuple[str, int, msgspec.Raw]]:
        """Commands to be handed on now: the node, a number for the answer, and the command."""
        while self._waiting:
            with self._lock:
                command = self._waiting.popleft()
                self._next += 1
                self._unanswered[self._next] = command
            yield command.node, self._next, command.body

    def requeue(self, node: str) -> None:
        """A new process of a node has come: what was handed to the one before and has no answer is handed on again."""
        with self._lock:
            numbers = [number for number, command in self._unanswered.items() if command.node == node]
            commands = {number: self._unanswered.pop(number) for number in numbers}
            gone = [command for number, command in commands.items() if number in self._withdrawn]
            again = [command for number, command in commands.items() if number not in self._withdrawn]
            self._waiting.extendleft(reversed(again))
        for command in gone:
            command.reply(_TAKEN_BACK)
        for number in numbers:
            self._withdrawn.pop(number, None)

    def answer(self, number: int, answer: Answer) -> None:
        """Pass an answer on to whoever asked."""
        command = self._unanswered.pop(number, None)
        if command is None:
            return
        self._withdrawn.pop(number, None)
        if isinstance(answer, Applied):
            self.past.append(
                PastCommand(
                    node=command.node,
                    body=bytes(command.body),
                    id=answer.id,
                    stream=answer.stream,
                    frame=answer.frame,
                )
            )
        log.log(logging.INFO if isinstance(answer, Applied) else logging.WARNING, "command: %s", _text(answer))
        command.reply(answer)

    def withdraw(self, reply: Reply) -> None:
        """Take a command back that has not come into force; its answer says so.

        Args:
            reply: that it was submitted with.
        """
        with self._lock:
            waiting = next((command for command in self._waiting if command.reply == reply), None)
            if waiting is not None:
                self._waiting.remove(waiting)
            handed_on = [number for number, command in self._unanswered.items() if command.reply == reply]
            self._withdrawn |= dict.fromkeys(handed_on, False)
        if waiting is not None:
            reply(_TAKEN_BACK)

    def withdrawn(self) -> Iterator[tuple[str, int]]:
        """Commands whose node has to be told that they are wanted no more: the node, and the number."""
        for number in [number for number, told in self._withdrawn.items() if not told]:
            self._withdrawn[number] = True
            yield self._unanswered[number].node, number

    @property
    def past_is_long(self) -> bool:
        """Whether it is time for `forget_past`."""
        return len(self.past) > _MOST_PAST or sum(len(each.body) for each in self.past) > _MOST_PAST_BYTES

    def forget_past(self, frames: Mapping[str, int]) -> None:
        """What has come into force needs no second time where its frame is in a state that is kept.

        Args:
            frames: stream -> number of the last such frame.
        """
        self.past = [each for each in self.past if each.frame > frames.get(each.stream, -1)]

    def close(self, error: StreamsegError | None = None) -> None:
        """The run is over: what has no answer is refused, and so is all that comes later.

        Args:
            error: what ended the run; None if it came to its end.
        """
        if os.getpid() != self._pid:
            return  # forked from the one that runs the graph, maybe while a thread held the lock
        why = "it came to its end" if error is None else str(error)
        over = RunError(f"the run was over before the command could come into force: {why}")
        with self._lock:
            if self._over is not None:
                return
            self._over = over
            left = [command.reply for command in (*self._unanswered.values(), *self._waiting)]
            self._unanswered.clear()
            self._waiting.clear()
        for reply in left:
            reply(Refused.of(over))
        if self._server is not None:
            for _, reply in self._server.requests():
                reply(Refused.of(over))
            self._server.close()

    def _taker(self, node: str | None) -> str:
        if node is None and len(self._takers) == 1:
            return self._takers[0]
        if node is None:
            there = f"say which node: {', '.join(self._takers)}" if self._takers else "no node of this graph takes any"
            raise UsageError(f"a command without a node; {there}")
        if node not in self._takers:
            raise UsageError(f"node {node!r} takes no commands; {nearest(node, self._takers)}")
        return node


def _text(answer: Answer) -> str:
    return str(answer) if isinstance(answer, Applied) else f"refused: {answer.message}"
