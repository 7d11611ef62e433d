"""ZeroMQ sockets of one process of a run, by the names of their endpoints.

All of them are Unix sockets in the run's own directory, which only its owner may enter.
"""

from __future__ import annotations

import os
import secrets
import tempfile
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
_LONGEST_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


def make_run_dir(announce: Callable[[Path], None] | None = None) -> Path:
    """A new directory with mode 0700 whose path is short enough for Unix sockets.

    Args:
        announce: told the path before there is anything, so that whoever cleans up knows of it in any case.

    Raises:
        RunError: there is no place for it.
    """
    places = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]
    for place in places:
        if place and len(place) + 40 < _LONGEST_PATH and os.access(place, os.W_OK | os.X_OK):
            path = Path(place) / f"streamseg-{secrets.token_hex(6)}"
            if announce is not None:
                announce(path)
            path.mkdir(mode=0o700)
            return path
    raise RunError(f"no writable directory with a short path for sockets; tried {', '.join(p for p in places if p)}")


class Sockets:
    """Makes sockets of a run and closes them all. Nothing waits for unsent messages on closing."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)

    def __enter__(self) -> Sockets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket."""
        self._context.destroy(linger=0)

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
        return socket

    def _address(self, endpoint: str) -> str:
        return f"ipc://{self._run_dir / endpoint}"
