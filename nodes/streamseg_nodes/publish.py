"""Results over ZeroMQ for listeners outside of the graph: robots, dashboards, other programs on this machine."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import zmq

from streamseg.errors import GraphError, OutputError
from streamseg.messages import Gap, Segmented
from streamseg.node import Node, NodeConfig
from streamseg_nodes import published

_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):(\d{1,5}|\*)")
_LAST_WORDS_MS = 1000


class Publish(Node[Segmented, None]):
    """Sends each frame's objects to whoever listens; the format is described in `streamseg_nodes.published`.

    Nobody is waited for: a listener that is too slow, or not there yet, misses frames. Anyone who reaches the port may
    listen, so only this machine's own addresses are taken.
    """

    class Config(NodeConfig, frozen=True):
        """Options of publish."""

        bind: str = "tcp://127.0.0.1:5560"
        """``tcp://127.0.0.1:PORT`` (``*`` for any free port) or ``ipc://PATH``."""
        masks: published.MaskKind = "rle"
        """``rle`` as COCO has it, ``raw`` bytes, or ``none``."""
        image: published.ImageKind = "none"
        """Whether the picture goes along, and how."""
        queue: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
        """Messages that wait for a slow listener before newer ones are dropped for it."""

    config: Config
    _endpoint = ""
    _sent = 0

    def setup(self) -> None:
        """Open the port.

        Raises:
            GraphError: the address is not one of this machine alone.
            OutputError: it is in use, or cannot be had.
        """
        address = local_address(self.config.bind)
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.PUB)
        self._socket.set(zmq.SNDHWM, self.config.queue)
        self._socket.set(zmq.LINGER, _LAST_WORDS_MS)
        self._socket.set(zmq.IPV6, "[" in address)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise _cannot(address, error) from error
        self._endpoint = self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def describe(self) -> dict[str, Any]:
        """Where to listen, and how many messages have been sent."""
        return {
            "endpoint": self._endpoint,
            "version": published.VERSION,
            "masks": self.config.masks,
            "image": self.config.image,
            "sent": self._sent,
        }

    def process(self, message: Segmented) -> None:
        """Send one frame."""
        self._send(published.encode_frame(message, time.time_ns(), self.config.masks, self.config.image))

    def gap(self, gap: Gap) -> None:
        """Say that a frame is missing."""
        self._send(published.encode_gap(gap))

    def finish(self, stream: str) -> None:
        """Say that a stream is over."""
        self._send(published.encode_end(stream))

    def close(self) -> None:
        """Give what is still in the queues a moment to leave, then close the port."""
        self._context.destroy(linger=_LAST_WORDS_MS)
        if self._endpoint.startswith("ipc://"):
            # ZeroMQ leaves the socket file behind.
            Path(self._endpoint.removeprefix("ipc://")).unlink(missing_ok=True)

    def _send(self, parts: list[bytes]) -> None:
        # A PUB socket never blocks: it drops what does not fit into a listener's queue.
        self._socket.send_multipart(parts, copy=False)
        self._sent += 1


def local_address(bind: str) -> str:
    """The address to bind, once it is sure that only this machine can reach it.

    Raises:
        GraphError: it is another machine's, every interface's, or no address at all.
        OutputError: an ``ipc://`` path that is taken.
    """
    if bind.startswith("ipc://"):
        _check_free(Path(bind.removeprefix("ipc://")))
        return bind
    match = _TCP.fullmatch(bind)
    if match is None or (match[2] != "*" and int(match[2]) > 65535):
        raise GraphError(f"publish: expected bind as tcp://127.0.0.1:PORT or ipc://PATH, got {bind!r}")
    host, port = match[1], match[2]
    if host == "localhost":
        # ZeroMQ would take it for the name of a network interface.
        host = "127.0.0.1"
    if not _is_loopback(host):
        raise GraphError(
            f"publish: expected an address that only this machine reaches, got {bind!r}, where anyone on the network "
            f"could listen; bind tcp://127.0.0.1:{port} and forward it through a tunnel such as ssh -L"
        )
    return f"tcp://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_free(path: Path) -> None:
    """ZeroMQ removes whatever lies at the path before it binds; only a socket that nobody serves may go."""
    if not path.exists():
        return
    if not path.is_socket():
        raise OutputError(f"expected ipc://{path} to be free, but a file is there; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise OutputError(f"expected ipc://{path} to be free, but somebody serves it; end that or choose another")


def _cannot(address: str, error: zmq.ZMQError) -> OutputError:
    if error.errno == errno.EADDRINUSE:
        return OutputError(
            f"expected {address} to be free, but it is in use, perhaps by another streamseg; "
            f"end that one or choose another port (bind: tcp://127.0.0.1:*)"
        )
    return OutputError(f"expected to open {address}, got: {error.strerror}; choose another address")
