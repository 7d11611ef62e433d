"""Signs of life of worker processes, in memory they share with the supervisor.

Each process has two numbers there. A thread of its own keeps writing the time into the first, so a process that is
stopped or swapped out shows. Into the second its loop writes when it began what it is at, so work without end shows.
"""

from __future__ import annotations

import mmap
import threading
import time

import numpy as np

from streamseg.transport.slots import make_shared_file

_EVERY_S = 0.25
_BYTES = 16


def make_heartbeats(count: int) -> int:
    """A file descriptor of the memory for so many processes."""
    return make_shared_file(max(1, count) * _BYTES)


class Heartbeats:
    """The supervisor's view."""

    def __init__(self, fd: int, count: int) -> None:
        self._times = _times(fd, max(1, count))

    def clear(self, number: int) -> None:
        """Another process takes this number."""
        self._times[number] = 0

    def silent_s(self, number: int) -> float | None:
        """How long ago the process gave a sign; None if it has not given one yet."""
        return _ago(int(self._times[number, 0]))

    def busy_s(self, number: int) -> float | None:
        """For how long the process has been at one thing; None if it waits for something to do."""
        return _ago(int(self._times[number, 1]))


class HeartbeatWriter:
    """A worker's side."""

    def __init__(self, fd: int, number: int) -> None:
        self._own = _times(fd, number + 1)[number]
        self._over = threading.Event()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def close(self) -> None:
        """Give no more signs."""
        self._over.set()

    def busy(self) -> None:
        """Something is begun."""
        self._own[1] = time.monotonic_ns()

    def idle(self) -> None:
        """There is nothing to do."""
        self._own[1] = 0

    def _beat(self) -> None:
        self._own[0] = time.monotonic_ns()
        while not self._over.wait(_EVERY_S):
            self._own[0] = time.monotonic_ns()


class RelayedHeartbeat:
    """The signs of life of a process on another machine, written by the one that hears of them here."""

    def __init__(self, fd: int, number: int) -> None:
        self._own = _times(fd, number + 1)[number]

    def tell(self, silent_s: float, busy_s: float | None) -> None:
        """The process gave a sign so long ago, and has been at one thing for so long; None if it has nothing to do."""
        now_ns = time.monotonic_ns()
        self._own[0] = now_ns - round(silent_s * 1e9)
        self._own[1] = 0 if busy_s is None else now_ns - round(busy_s * 1e9)


def _times(fd: int, count: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(fd, count * _BYTES), np.uint64).reshape(count, 2)


def _ago(then_ns: int) -> float | None:
    return None if then_ns == 0 else max(0.0, (time.monotonic_ns() - then_ns) / 1e9)
