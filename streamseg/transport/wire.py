"""Messages as bytes: part 0 is a msgpack header, parts 1..n are the raw buffers of small or remote arrays.

An array in the header is ``[dtype, shape, buffer, offset, ticket, generation]``: ``buffer`` numbers a slot buffer of
this run and ``offset`` is in bytes, or ``buffer`` is -1 and ``offset`` numbers one of the parts. Everything in a header
is checked before an array is made of it. No pickle. A last part, to which no array refers, is the time of sending.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

import msgspec
import numpy as np
import zmq

from streamseg.errors import WireError
from streamseg.messages import Message, Stamp
from streamseg.transport.slots import SlotBuffer
from streamseg.transport.sockets import PART_MAX_BYTES

INLINE = -1
INLINE_MAX_BYTES = 8192
"""Up to here an array travels in the message itself: a shared slot would cost more than it saves."""
HEADER_MAX_BYTES = PART_MAX_BYTES
ARRAY_MAX_BYTES = 1 << 32
_DEEPEST_STAMP = 8
_TIME_BYTES = 8
DTYPES = frozenset({"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"})

Buffers = Mapping[int, SlotBuffer]
Place = Callable[[Stamp, np.ndarray], np.ndarray]
"""Copies an array into the slot of a frame and returns the copy."""
Natural = Annotated[int, msgspec.Meta(ge=0)]


class ArrayRef(msgspec.Struct, frozen=True, array_like=True):
    """Where the content of an array is."""

    dtype: str
    shape: Annotated[list[Natural], msgspec.Meta(max_length=8)]
    buffer: int
    offset: Natural
    ticket: Natural
    generation: Natural


class MessageEncoder:
    """Messages to bytes.

    Args:
        buffers: the slot buffers that the receiver has too; an array that already lies in one is sent as a reference.
        place: puts an array that lies in none of them into this node's own; None sends every array inline.
    """

    def __init__(self, buffers: Buffers, place: Place | None) -> None:
        self._buffers = buffers
        self._place = place
        self._packer = msgspec.msgpack.Encoder(enc_hook=self._ref)
        self._parts: list[Any] = []
        self._stamp: Stamp | None = None

    def encode(self, message: Message) -> list[Any]:
        """The parts to send, header first.

        Raises:
            WireError: something in it cannot travel, or a part is longer than any receiver takes.
        """
        self._parts = []
        self._stamp = getattr(message, "stamp", None)
        header = self._packer.encode(message)
        parts = [header, *self._parts]
        longest_bytes = max(map(len, parts))
        if longest_bytes > PART_MAX_BYTES:
            raise WireError(
                f"a {type(message).__name__} with a part of {longest_bytes >> 20} MiB cannot be sent, the limit is "
                f"{PART_MAX_BYTES >> 20} MiB; put large arrays into `context.empty`"
            )
        return parts

    def _ref(self, value: Any) -> ArrayRef:
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if not isinstance(value, np.ndarray):
            raise WireError(f"a {type(value).__name__} cannot be sent; use numbers, text, lists, structs and arrays")
        if value.dtype.str not in DTYPES:
            raise WireError(f"an array of {value.dtype} cannot be sent; use one of {', '.join(sorted(DTYPES))}")
        ref = self._shared(value)
        if ref is None and self._place is not None and self._stamp is not None and value.nbytes > INLINE_MAX_BYTES:
            ref = self._shared(self._place(self._stamp, value))
        return ref or self._inline(value)

    def _shared(self, array: np.ndarray) -> ArrayRef | None:
        stamp = self._stamp
        if stamp is None:
            return None
        for number, buffer in self._buffers.items():
            offset = buffer.find(array)
            # An array of another frame may be handed out again at any time: it has to be copied.
            if offset is not None and offset // buffer.slot_bytes == stamp.ticket:
                return ArrayRef(array.dtype.str, list(array.shape), number, offset, stamp.ticket, stamp.generation)
        return None

    def _inline(self, array: np.ndarray) -> ArrayRef:
        self._parts.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return ArrayRef(array.dtype.str, list(array.shape), INLINE, len(self._parts) - 1, 0, 0)


def stamp_of(parts: Sequence[Any]) -> Stamp | None:
    """Which frame a message is about that cannot be decoded otherwise; None if that cannot be told.

    Args:
        parts: as for `MessageDecoder.decode`.
    """
    if not parts or len(parts[0]) > HEADER_MAX_BYTES:
        return None
    try:
        level = [msgspec.msgpack.decode(bytes(parts[0]))]
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return None
    # A message carries what came before it: the stamp is in one of those, and the outermost one counts.
    for _ in range(_DEEPEST_STAMP):
        maps = [each for each in level if isinstance(each, dict)]
        for each in maps:
            try:
                return msgspec.convert(each.get("stamp"), Stamp)
            except msgspec.ValidationError:
                continue
        level = [value for each in maps for value in each.values()]
    return None


def with_sent_ns(parts: Sequence[Any]) -> list[Any]:
    """Parts of a message, and the time that it is by the monotonic clock, which all processes of a machine share."""
    return [*parts, time.monotonic_ns().to_bytes(_TIME_BYTES, "little")]


def sent_ns(parts: Sequence[Any]) -> int | None:
    """When a message was sent, in nanoseconds of the monotonic clock; None if that was not said."""
    last = parts[-1] if len(parts) > 1 else b""
    return int.from_bytes(bytes(last), "little") if len(last) == _TIME_BYTES else None


class MessageDecoder:
    """Bytes to messages of the given types. Arrays are read-only views of the slots or of the received parts."""

    def __init__(self, types: Sequence[type[Message]], buffers: Buffers) -> None:
        self._buffers = buffers
        self._parts: Sequence[Any] = []
        self.placed: list[ArrayRef] = []
        """The arrays of the last message that lie in slots."""
        self._unpacker = msgspec.msgpack.Decoder(reduce(or_, types), dec_hook=self._array)

    def decode(self, parts: Sequence[Any]) -> Message:
        """One message.

        Args:
            parts: byte buffers (bytes, memoryview or `zmq.Frame`), header first.

        Raises:
            WireError: anything about it is not valid, or its slots have been handed out to another frame since.
        """
        if not parts or len(parts[0]) > HEADER_MAX_BYTES:
            raise WireError(f"expected a header of at most {HEADER_MAX_BYTES >> 20} MiB, got {len(parts)} parts")
        self._parts = [part.buffer if isinstance(part, zmq.Frame) else part for part in parts[1:]]
        self.placed = []
        try:
            message: Message = self._unpacker.decode(parts[0] if isinstance(parts[0], bytes) else bytes(parts[0]))
        except WireError:
            raise
        except (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise WireError(f"not a valid message: {error}") from error
        finally:
            self._parts = []
        places = {(ref.ticket, ref.generation) for ref in self.placed}
        if places:
            stamp = getattr(message, "stamp", None)
            if stamp is None or places != {(stamp.ticket, stamp.generation)}:
                raise WireError(f"a {type(message).__name__} refers to slots of another frame than its own")
        return message

    def _array(self, kind: type, value: Any) -> np.ndarray:
        if kind is not np.ndarray:
            raise WireError(f"a field of type {kind!r} cannot be received")
        ref = msgspec.convert(value, ArrayRef)
        if ref.dtype not in DTYPES:
            raise WireError(f"an array of {ref.dtype!r} cannot be received")
        dtype = np.dtype(ref.dtype)
        size_bytes = math.prod(ref.shape) * dtype.itemsize
        if size_bytes > ARRAY_MAX_BYTES:
            raise WireError(f"an array of {size_bytes} bytes is over the limit of {ARRAY_MAX_BYTES}")
        if ref.buffer == INLINE:
            return self._from_part(ref, dtype, size_bytes)
        return self._from_slot(ref, dtype)

    def _from_part(self, ref: ArrayRef, dtype: np.dtype[Any], size_bytes: int) -> np.ndarray:
        if ref.offset >= len(self._parts):
            raise WireError(f"an array is said to be in part {ref.offset + 1}, but {len(self._parts)} parts came")
        part = self._parts[ref.offset]
        if len(part) != size_bytes:
            raise WireError(f"an array of {size_bytes} bytes came with {len(part)}")
        array = np.frombuffer(part, dtype).reshape(ref.shape)
        array.flags.writeable = False
        return array

    def _from_slot(self, ref: ArrayRef, dtype: np.dtype[Any]) -> np.ndarray:
        buffer = self._buffers.get(ref.buffer)
        if buffer is None:
            raise WireError(f"an array is said to be in buffer {ref.buffer}, which this process does not have")
        if ref.offset // buffer.slot_bytes != ref.ticket or ref.ticket >= buffer.slots:
            raise WireError(f"byte {ref.offset} is not in slot {ref.ticket}")
        if ref.offset % dtype.alignment:
            raise WireError(f"byte {ref.offset} is no place for numbers of {dtype}")
        self.placed.append(ref)
        array = buffer.view(ref.offset, ref.shape, dtype)
        if buffer.generation(ref.ticket) != ref.generation:
            raise WireError(f"slot {ref.ticket} has been handed out again since the message was sent")
        return array
