"""Results over ZeroMQ for listeners outside of the graph: robots, dashboards, other programs on this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import zmq

from streamseg.errors import OutputError
from streamseg.messages import Gap, Segmented, SourceStatus
from streamseg.node import Node, NodeConfig, Option
from streamseg.publishing import curve, format, keys
from streamseg.publishing.address import check_free, checked_address
from streamseg.types import SourceState

_LAST_WORDS_MS = 1000
_HEARTBEAT_S = 1.0
_LISTENER_MAX_BYTES = 4096  # all that a listener sends is what it subscribes to
_KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 30, zmq.TCP_KEEPALIVE_INTVL: 10, zmq.TCP_KEEPALIVE_CNT: 3}


class Publish(Node[Segmented, None]):
    """Sends each frame's objects to whoever listens; the format is described in `streamseg.publishing.format`.

    Nobody is waited for: a listener that is too slow, or not there yet, misses frames. Without keys anyone who reaches
    the port may listen, so only this machine's own addresses are taken; with keys any address is, and only those listen
    whose public key is on the list.
    """

    class Config(NodeConfig, frozen=True):
        """Options of publish."""

        bind: Annotated[
            str,
            Option(
                "publish over ZeroMQ at tcp://127.0.0.1:PORT (*: any free port), ipc://PATH, or with keys at "
                "tcp://ADDRESS:PORT",
                flag="--publish",
                metavar="ADDR",
            ),
        ] = "tcp://127.0.0.1:5560"
        key: Annotated[
            str | None,
            Option(
                "this machine's .key_secret file ('streamseg keys'): other machines may listen then",
                flag="--publish-key",
                metavar="FILE",
            ),
        ] = None
        allow: Annotated[
            str | None,
            Option(
                "the .key file of who may listen, or a folder of such files", flag="--publish-allow", metavar="PATH"
            ),
        ] = None
        masks: Annotated[
            format.MaskKind, Option("rle as COCO has it, raw bytes, or none", flag="--publish-masks", rare=True)
        ] = "rle"
        image: Annotated[
            format.ImageKind,
            Option("whether the picture goes along, and how", flag="--publish-image", rare=True),
        ] = "none"
        queue: Annotated[
            int,
            msgspec.Meta(ge=1, le=1000),
            Option("messages that wait for a slow listener before newer ones are dropped for it"),
        ] = 4

    resumable = True

    config: Config
    _endpoint = ""
    _sent = 0
    _doorkeeper: curve.Doorkeeper | None = None
    _said_closed = False

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse an address that others reach without keys, and keys that are not sound.

        Raises:
            GraphError: the address is not one of this machine alone and there are no keys, or it is no address.
            UsageError: a key cannot be read, is not secret, or nobody is allowed.
        """
        checked_address(config.bind, closed=_door(config) is not None)

    def setup(self) -> None:
        """Open the port; nothing is opened before address and keys have been found good.

        Raises:
            GraphError: the address is not one of this machine alone and there are no keys, or it is no address.
            UsageError: a key cannot be read, is not secret, or nobody is allowed.
            OutputError: the address is in use, or cannot be had.
        """
        config = self.config
        door = _door(config)
        address = checked_address(config.bind, closed=door is not None)
        check_free(address)
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.PUB)
        self._socket.set(zmq.SNDHWM, config.queue)
        self._socket.set(zmq.LINGER, _LAST_WORDS_MS)
        self._socket.set(zmq.IPV6, "[" in address)
        self._socket.set(zmq.MAXMSGSIZE, _LISTENER_MAX_BYTES)
        # A listener that vanished without a word is noticed after a minute, and its queue let go.
        for option, value in _KEEPALIVE.items():
            self._socket.set(option, value)
        if door is not None:
            self._doorkeeper = curve.Doorkeeper(self._context, door)
            self._doorkeeper.guard(self._socket)
        try:
            with _private_files():
                self._socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise _cannot(address, error) from error
        self._silent_since_s = dict.fromkeys(self.context.streams, time.monotonic())
        self._states: dict[str, SourceState] = {}
        self._endpoint = self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def describe(self) -> dict[str, Any]:
        """Where to listen, how many messages have been sent, and how many listeners had a key that is not known."""
        return {
            "endpoint": self._endpoint,
            "version": format.VERSION,
            "masks": self.config.masks,
            "image": self.config.image,
            "sent": self._sent,
            "keys": self._doorkeeper is not None,
            "refused": self._doorkeeper.refused if self._doorkeeper is not None else 0,
        }

    def process(self, message: Segmented) -> None:
        """Send one frame."""
        parts = format.encode_frame(message, time.time_ns(), self.config.masks, self.config.image)
        self._send(parts, message.stamp.stream)

    def gap(self, gap: Gap) -> None:
        """Say that a frame is missing."""
        self._send(format.encode_gap(gap), gap.stamp.stream)

    def finish(self, stream: str) -> None:
        """Say that a stream is over."""
        self._send(format.encode_end(stream), stream)
        self._silent_since_s.pop(stream, None)

    def status(self, status: SourceStatus) -> None:
        """Say that a source is away or back."""
        self._states[status.stream] = status.state
        self._send(format.encode_status(status, time.time_ns()), status.stream)

    def tick(self) -> None:
        """Say of each stream that has been silent for a second that we are still there."""
        now_s = time.monotonic()
        for stream, since_s in self._silent_since_s.items():
            if now_s - since_s >= _HEARTBEAT_S:
                self._silent_since_s[stream] = now_s
                heartbeat = format.encode_heartbeat(stream, self._states.get(stream), time.time_ns())
                self._socket.send_multipart(heartbeat, copy=False)

    def close(self) -> None:
        """Give what is still in the queues a moment to leave, then close the port."""
        if self._doorkeeper is not None:
            self._doorkeeper.close()
        self._context.destroy(linger=_LAST_WORDS_MS)
        if self._endpoint.startswith("ipc://"):
            # ZeroMQ leaves the socket file behind.
            Path(self._endpoint.removeprefix("ipc://")).unlink(missing_ok=True)

    def _send(self, parts: format.Parts, stream: str = "") -> None:
        if self._doorkeeper is not None and not self._doorkeeper.alive and not self._said_closed:
            self._said_closed = True
            self.context.log.warning("nobody new is let in any more: the thread that knows the keys has ended")
        # A PUB socket never blocks: it drops what does not fit into a listener's queue.
        self._socket.send_multipart(parts, copy=False)
        self._sent += 1
        if stream in self._silent_since_s:
            self._silent_since_s[stream] = time.monotonic()


def _door(config: Publish.Config) -> keys.Door | None:
    return keys.load_door(config.key, config.allow)


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    """Files made meanwhile, such as the socket of an ``ipc://`` address, are for their owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _cannot(address: str, error: zmq.ZMQError) -> OutputError:
    if error.errno == errno.EADDRINUSE:
        return OutputError(
            f"expected {address} to be free, but it is in use, perhaps by another streamseg; "
            f"end that one or choose another port (bind: tcp://127.0.0.1:*)"
        )
    return OutputError(f"expected to open {address}, got: {error.strerror}; choose another address")
