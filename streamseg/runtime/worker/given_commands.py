"""Commands that a node gives to others, on the node's side: from any of its threads to the supervisor, and back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque

import msgspec

from streamseg.commands import LARGEST_BYTES, Answer, Refused, Reply, Request, Response
from streamseg.errors import RunError, UsageError

_OVER = RunError("the run was over before the command could come into force")


class GivenCommands:
    """Those that wait to be sent, and those that wait for their answer.

    The loop of the worker sends what `take` gives and hands on what comes back; `ear` wakes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A process in the place of one that died must not take answers to what that one asked.
        self._next = time.time_ns()
        self._waiting: deque[Request] = deque()
        self._replies: dict[int, Reply] = {}
        self._over = False
        self.ear, self._bell = socket.socketpair()
        """Readable when there is something to send."""
        self.ear.setblocking(False)
        self._bell.setblocking(False)

    def give(self, body: bytes, reply: Reply, node: str | None = None) -> None:
        """Take a command; see `streamseg.commands.GiveCommand`."""
        if len(body) > LARGEST_BYTES:
            reply(Refused.of(UsageError(f"the command has {len(body)} bytes, at most {LARGEST_BYTES} are taken")))
            return
        with self._lock:
            over = self._over
            if not over:
                self._next += 1
                self._replies[self._next] = reply
                self._waiting.append(Request(self._next, node, msgspec.Raw(body)))
        if over:
            reply(Refused.of(_OVER))
        else:
            self._ring()

    def take(self) -> list[Request]:
        """What is to be sent now."""
        with contextlib.suppress(BlockingIOError):
            while self.ear.recv(4096):
                continue
        with self._lock:
            found = list(self._waiting)
            self._waiting.clear()
        return found

    def answer(self, number: int, answer: Answer) -> None:
        """Pass an answer on to whoever asked."""
        with self._lock:
            reply = self._replies.pop(number, None)
        if reply is not None:
            reply(answer)

    def respond(self, response: Response) -> None:
        """The same, as it travels."""
        self.answer(response.number, response.answer)

    def close(self) -> None:
        """The node is about to be closed: what has no answer is refused, and so is all that comes later."""
        with self._lock:
            if self._over:
                return
            self._over = True
            left = list(self._replies.values())
            self._replies.clear()
            self._waiting.clear()
        for reply in left:
            reply(Refused.of(_OVER))
        self.ear.close()
        self._bell.close()

    def _ring(self) -> None:
        # A full pipe wakes as well as one more byte, and a closed one has nobody left to wake.
        with contextlib.suppress(BlockingIOError, OSError):
            self._bell.send(b"!")
