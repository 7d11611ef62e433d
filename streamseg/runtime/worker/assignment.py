"""What a worker process is told to do, and the way there: a socket that is its standard input.

What it shares with others comes along as file descriptors. The socket stays open as long as the supervisor lives; when
it ends, so does the worker. A process that stays can be given another assignment when it is done with one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import threading

import msgspec

from streamseg.graph.plan import WorkerSpec
from streamseg.jobs import Job

_MOST_FDS = 200
"""That travel at once; Linux takes 253."""
_CHUNK_BYTES = 1 << 16


class Assignment(msgspec.Struct, frozen=True):
    """A line on standard input."""

    spec: WorkerSpec
    run_dir: str
    file_descriptors: dict[int, int]
    """Buffer number -> file descriptor, in the process that has this."""
    log_level: int
    job: Job | None = None
    heartbeat: tuple[int, int] | None = None
    """File descriptor of the heartbeats, and this process's number among them."""
    traced: bool = False
    """Whether to note when the node worked on what."""
    session: str = ""
    """Secret name of the run, the same for all its processes on other machines."""
    stays: bool = False
    """Whether the process shall wait for another assignment when it is done with this one."""

    @property
    def shared(self) -> list[int]:
        """The file descriptors, in the order in which they travel."""
        return [*self.file_descriptors.values(), *(self.heartbeat or ())[:1]]

    def let_go(self) -> None:
        """Close the file descriptors; what was mapped of them stays mapped."""
        for fd in self.shared:
            os.close(fd)

    def with_fds(self, fds: list[int]) -> Assignment:
        """The same where the file descriptors have other numbers; `fds` are in the order of `shared`."""
        buffers = dict(zip(self.file_descriptors, fds, strict=False))
        heartbeat = None if self.heartbeat is None else (fds[-1], self.heartbeat[1])
        return msgspec.structs.replace(self, file_descriptors=buffers, heartbeat=heartbeat)


def give(channel: socket.socket, assignment: Assignment) -> None:
    """Tell a worker process what to do.

    Args:
        channel: the other end of its standard input.
        assignment: with file descriptors of this process.

    Raises:
        OSError: it has ended.
    """
    data = memoryview(msgspec.json.encode(assignment) + b"\n")
    fds = assignment.shared
    for first in range(0, len(fds), _MOST_FDS):
        socket.send_fds(channel, [data[:1]], fds[first : first + _MOST_FDS])
        data = data[1:]
    channel.sendall(data)


class Assignments:
    """A worker's side: what it is told to do, one after the other.

    From the first on a thread listens, and ends the process with its parent.
    """

    def __init__(self) -> None:
        self._channel = socket.socket(fileno=os.dup(0))
        self._line = bytearray()
        self._fds: list[int] = []
        self._come: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self._run_dir: str | None = None

    def first(self) -> Assignment:
        """The first, before there is a thread.

        Raises:
            SystemExit: there is none, since the parent is gone.
        """
        assignment = self._read()
        if assignment is None:
            raise SystemExit(1)
        return assignment

    def listen(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def next(self) -> Assignment:
        """The next one; waits for it."""
        return self._come.get()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while (assignment := self._read()) is not None:
                self._come.put(assignment)
        # The supervisor is gone: leave no sockets behind.
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
        os._exit(1)

    def _read(self) -> Assignment | None:
        """A whole line with what belongs to it; None once the parent is gone. Nobody gives the next one before Bye."""
        while not self._line.endswith(b"\n"):
            chunk, fds, _, _ = socket.recv_fds(self._channel, _CHUNK_BYTES, _MOST_FDS)
            if not chunk:
                return None
            self._line += chunk
            self._fds += fds
        assignment = msgspec.json.decode(self._line, type=Assignment).with_fds(self._fds)
        self._line.clear()
        self._fds = []
        self._run_dir = assignment.run_dir
        return assignment
