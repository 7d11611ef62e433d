"""Numbered messages that arrive once and in order, over connections that break and come back.

What was sent is kept until the other side has said that it is there. When there is a new connection each side says
which number it has, and the rest is sent again. No sockets here. Memory is bounded by what may be in flight, so by the
tickets of the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from streamseg.errors import WireError
from streamseg.remote.terms import PIECE_BYTES, Natural

MESSAGE_MAX_BYTES = 1 << 32
Parts = Sequence[Any]
"""Byte buffers."""
Send = Callable[[list[Any]], None]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Begins each piece."""

    number: Natural
    """Of the message it is a piece of; 0 for a sign of life."""
    received: Natural
    """Number of the last message that has come from the other side, whole."""
    sizes: list[Natural] | None = None
    """Of the message's parts in bytes, in its first piece."""
    pulse: tuple[float | None, float | None] | None = None
    """Of a worker: how long it has been silent, and how long at one thing, in seconds."""


class _Coming:
    def __init__(self, number: int, sizes: list[int]) -> None:
        self.number = number
        self.sizes = sizes
        self.content = bytearray(sum(sizes))
        self.filled = 0

    def parts(self) -> list[memoryview]:
        view, found, begin = memoryview(self.content), [], 0
        for size in self.sizes:
            found.append(view[begin : begin + size])
            begin += size
        return found


class Link:
    """One end."""

    def __init__(self) -> None:
        self._send: Send | None = None
        self._packer = msgspec.msgpack.Encoder()
        self._unpacker = msgspec.msgpack.Decoder(Head)
        self._next = 1
        self._kept: deque[tuple[int, Parts]] = deque()
        self._parked: dict[str, Parts] = {}
        self._coming: _Coming | None = None
        self.received = 0
        """Number of the last message that has come, whole."""
        self.pulse: tuple[float | None, float | None] | None = None
        """What the other side has said last of its worker."""
        self.sent_bytes = 0
        """Of messages, those that went again included."""
        self.received_bytes = 0

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._send is not None

    @property
    def kept_bytes(self) -> int:
        """What the other side may not have got yet."""
        return sum(_size(parts) for _, parts in self._kept)

    @property
    def all_arrived(self) -> bool:
        """Whether the other side has got everything."""
        return not self._kept and not self._parked

    def connect(self, send: Send, received: int) -> None:
        """There is a connection.

        Args:
            send: sends the frames of one message of ZeroMQ.
            received: number of the last message that the other side has got.

        Raises:
            WireError: it cannot have got that.
        """
        first = self._kept[0][0] if self._kept else self._next
        if not first - 1 <= received < self._next:
            raise WireError(f"the other side has {received} messages, expected {first - 1} to {self._next - 1}")
        self._send = send
        self._coming = None
        self._forget(received)
        for number, parts in list(self._kept):
            self._emit(number, parts)
        parked, self._parked = self._parked, {}
        for parts in parked.values():
            self.push(parts)

    def disconnect(self) -> None:
        """The connection is lost."""
        self._send = None
        self._coming = None

    def push(self, parts: Parts, *, newest: str = "") -> None:
        """Send a message now or, without a connection, when there is one.

        Args:
            parts: byte buffers that stay as they are.
            newest: of messages of this name only the newest is kept while there is no connection.
        """
        if newest and not self.up:
            self._parked[newest] = parts
            return
        number, self._next = self._next, self._next + 1
        self._kept.append((number, parts))
        self._emit(number, parts)

    def ping(self, pulse: tuple[float | None, float | None] | None = None) -> None:
        """Give a sign of life."""
        self._out([self._packer.encode(Head(0, self.received, None, pulse)), b""])

    def take(self, head: Any, piece: Any) -> list[memoryview] | None:
        """Take the two frames that have come. Returns the parts of a message if it is whole now, and new.

        Raises:
            WireError: they do not fit what came before.
        """
        try:
            found = self._unpacker.decode(head)
        except (msgspec.DecodeError, ValueError) as error:
            raise WireError(f"not a piece of a message: {error}") from error
        self._forget(found.received)
        if found.number == 0:
            self.pulse = found.pulse if found.pulse is not None else self.pulse
            return None
        if found.sizes is not None:
            if sum(found.sizes) > MESSAGE_MAX_BYTES:
                raise WireError(f"a message of {sum(found.sizes)} bytes is over the limit of {MESSAGE_MAX_BYTES}")
            self._coming = _Coming(found.number, found.sizes)
        coming = self._coming
        if coming is None or coming.number != found.number or coming.filled + len(piece) > len(coming.content):
            raise WireError(f"a piece of message {found.number} does not fit what came before it")
        coming.content[coming.filled : coming.filled + len(piece)] = piece
        coming.filled += len(piece)
        return self._whole(coming) if coming.filled == len(coming.content) else None

    def _whole(self, coming: _Coming) -> list[memoryview] | None:
        self._coming = None
        self.received_bytes += len(coming.content)
        if coming.number <= self.received:
            return None
        if coming.number != self.received + 1:
            raise WireError(f"message {self.received + 1} is missing, {coming.number} came")
        self.received = coming.number
        if len(coming.content) > PIECE_BYTES:
            # The other side keeps it until it hears of this.
            self.ping()
        return coming.parts()

    def _emit(self, number: int, parts: Parts) -> None:
        sizes: list[int] | None = [len(part) for part in parts]
        self.sent_bytes += _size(parts)
        for piece in _pieces(parts):
            self._out([self._packer.encode(Head(number, self.received, sizes)), piece])
            sizes = None

    def _out(self, frames: list[Any]) -> None:
        if self._send is not None:
            self._send(frames)

    def _forget(self, received: int) -> None:
        while self._kept and self._kept[0][0] <= received:
            self._kept.popleft()


def _size(parts: Parts) -> int:
    return sum(len(part) for part in parts)


def _pieces(parts: Parts) -> Iterator[Any]:
    if _size(parts) <= PIECE_BYTES:
        yield b"".join(parts)
        return
    for part in parts:
        view = memoryview(part)
        for begin in range(0, len(view), PIECE_BYTES):
            yield view[begin : begin + PIECE_BYTES]
