"""ZeroMQ sockets of one process of a run, by the names of their endpoints.

All of them are Unix sockets in the run's own directory, which only its owner may enter.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq

from streamseg.errors import RunError

SUPERVISOR = "supervisor"
PART_MAX_BYTES = 64 << 20
"""A connection that announces a longer part of a message is cut before there is memory for it. Pictures and features
lie in slots, so a part is a header or an array of a few kilobytes."""
_OWNER = "owner"
"""A file in the directory of a run that its supervisor holds a lock on; the system lets go of it when that dies."""
_RUN_DIR = re.compile(r"streamseg-[0-9a-f]{12}")
_SETTLED_S = 60.0
_LONGEST_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


def make_run_dir(announce: Callable[[Path], None] | None = None) -> tuple[Path, int]:
    """A new directory with mode 0700 whose path is short enough for Unix sockets, and a file descriptor that owns it.

    As long as that is open in some process, `sweep_run_dirs` leaves the directory alone.

    Args:
        announce: told the path before there is anything, so that whoever cleans up knows of it in any case.

    Raises:
        RunError: there is no place for it.
    """
    places = _places()
    for place in places:
        if len(place) + 40 < _LONGEST_PATH and os.access(place, os.W_OK | os.X_OK):
            path = Path(place) / f"streamseg-{secrets.token_hex(6)}"
            if announce is not None:
                announce(path)
            path.mkdir(mode=0o700)
            fd = os.open(path / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path, fd
    raise RunError(f"no writable directory with a short path for sockets; tried {', '.join(places)}")


def sweep_run_dirs() -> None:
    """Remove directories of this user's runs of which no process is left, not even one to clean up."""
    for place in dict.fromkeys(_places()):
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(place)):
                if _RUN_DIR.fullmatch(entry.name):
                    _sweep(entry)


def _sweep(entry: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):
        facts = entry.stat(follow_symlinks=False)
        ours = entry.is_dir(follow_symlinks=False) and facts.st_uid == os.geteuid()
        # Between its making and its locking a directory has no owner yet.
        if not ours or time.time() - facts.st_mtime < _SETTLED_S:
            return
        fd = os.open(Path(entry.path) / _OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry.path, ignore_errors=True)
        finally:
            os.close(fd)


def _places() -> list[str]:
    places = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    return [place for place in places if place]


class Sockets:
    """Makes sockets of a run and closes them all. Nothing waits for unsent messages on closing."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)
        # Held here: those that their user drops in a circle of references are forgotten by the context before they are
        # closed, and it would wait for them for ever.
        self._open: list[zmq.Socket[Any]] = []

    def __enter__(self) -> Sockets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket."""
        for socket in self._open:
            socket.close(linger=0)
        self._open.clear()
        self._context.term()

    def pull(self, endpoint: str) -> zmq.Socket[bytes]:
        """Takes messages that others send to `endpoint`."""
        socket = self._make(zmq.PULL)
        socket.bind(self._address(endpoint))
        return socket

    def push(self, endpoints: Iterable[str]) -> zmq.Socket[bytes]:
        """Sends each message to one of `endpoints`, in turn."""
        socket = self._make(zmq.PUSH)
        for endpoint in endpoints:
            socket.connect(self._address(endpoint))
        return socket

    def supervisor(self) -> zmq.Socket[bytes]:
        """The supervisor's side of the control channel."""
        socket = self._make(zmq.ROUTER)
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.set(zmq.ROUTER_HANDOVER, 1)
        socket.bind(self._address(SUPERVISOR))
        return socket

    def worker(self, identity: str) -> zmq.Socket[bytes]:
        """A worker's side of the control channel."""
        socket = self._make(zmq.DEALER)
        socket.set(zmq.IDENTITY, identity.encode())
        socket.connect(self._address(SUPERVISOR))
        return socket

    def _make(self, kind: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[Any] = self._context.socket(kind)
        socket.set(zmq.LINGER, 0)
        # Tickets bound what is in flight; a high-water mark on top could only block or drop.
        socket.set(zmq.SNDHWM, 0)
        socket.set(zmq.RCVHWM, 0)
        socket.set(zmq.MAXMSGSIZE, PART_MAX_BYTES)
        self._open = [other for other in self._open if not other.closed] + [socket]
        return socket

    def _address(self, endpoint: str) -> str:
        return f"ipc://{self._run_dir / endpoint}"
