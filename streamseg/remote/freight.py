"""What of the slots goes along with a message, and where it is put on the other side.

Both machines have the buffers of the run, with the same numbers and the same layout. So a message stays as it is, and
what it refers to is copied to the same place in the other's buffer.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np

from streamseg.errors import WireError
from streamseg.messages import End, Gap, Message, SourceStatus
from streamseg.remote.packing import Mode, opened, packed
from streamseg.remote.terms import Slice, Waybill, unpacked
from streamseg.transport.slots import SlotBuffer
from streamseg.transport.wire import Buffers, MessageDecoder, sent_ns, with_sent_ns

log = logging.getLogger(__name__)

_packer = msgspec.msgpack.Encoder()


class Loader:
    """Makes messages ready to leave.

    Args:
        types: of the messages.
        buffers: those of this machine.
        there: numbers of those whose content the other side has.
        mode: how pictures travel.
        quality: of JPEG.
    """

    def __init__(
        self, types: Sequence[type[Message]], buffers: Buffers, there: Collection[int], mode: Mode, quality: int
    ) -> None:
        self._decoder = MessageDecoder([*types, Gap, End, SourceStatus], buffers)
        self._buffers = buffers
        self._there = frozenset(there)
        self._mode = mode
        self._quality = quality

    def load(self, way: str, parts: Sequence[Any]) -> list[bytes]:
        """A message of a data edge with all that it refers to and the other side has not got.

        Args:
            way: that it goes.
            parts: as they came; the time of sending means nothing on another machine and is left out.
        """
        kept = [bytes(part) for part in (parts[:-1] if sent_ns(parts) is not None else parts)]
        slices: list[Slice] = []
        contents: list[bytes] = []
        try:
            self._decoder.decode(parts)
            for ref in {(ref.buffer, ref.offset): ref for ref in self._decoder.placed}.values():
                if ref.buffer in self._there:
                    continue
                buffer = self._buffers[ref.buffer]
                packing, content = packed(
                    buffer.view(ref.offset, ref.shape, np.dtype(ref.dtype)), self._mode, self._quality
                )
                if buffer.generation(ref.ticket) != ref.generation:
                    raise WireError(f"slot {ref.ticket} was handed out again before it could be sent")
                slices.append(Slice(ref.buffer, ref.offset, ref.generation, packing, ref.dtype, ref.shape))
                contents.append(content)
        except WireError as error:
            # Whoever gets it cannot read it either, and makes a gap of it.
            log.warning("a message goes to another machine without its arrays: %s", error)
            slices, contents = [], []
        return [_packer.encode(Waybill(way, len(kept), slices)), *kept, *contents]


def plain(way: str, *parts: bytes) -> list[bytes]:
    """A message that refers to nothing, ready to leave."""
    return [_packer.encode(Waybill(way, len(parts))), *parts]


def billed(parts: Sequence[memoryview]) -> Waybill:
    """The first part of a message that has come; all others that it speaks of are there.

    Raises:
        WireError: they are not, or it says nothing.
    """
    waybill: Waybill = unpacked(parts[0] if parts else b"", Waybill)
    if waybill.parts < 1 or waybill.parts + len(waybill.slices) != len(parts) - 1:
        raise WireError(
            f"a message of {waybill.parts} parts with {len(waybill.slices)} arrays came in {len(parts) - 1}"
        )
    return waybill


def unload(waybill: Waybill, parts: Sequence[memoryview], writable: dict[int, SlotBuffer]) -> list[Any]:
    """Put what has come along into the slots. Returns the parts of the message, ready to be sent on.

    Args:
        waybill: as `billed` gave it.
        parts: those after it.
        writable: buffers that are written on the other machine.

    Raises:
        WireError: something in it cannot be put where it says.
    """
    for each, content in zip(waybill.slices, parts[waybill.parts :], strict=True):
        buffer = writable.get(each.buffer)
        if buffer is None:
            raise WireError(f"an array is to be put into buffer {each.buffer}, which is not written from there")
        # One of a frame that was given up meanwhile is in nobody's way.
        buffer.write(each.offset, each.generation, opened(each.packing, content, each.dtype, each.shape))
    return with_sent_ns(parts[: waybill.parts])
