"""The output buffer of a node: anonymous shared memory, one slot for each ticket.

A buffer has no name: its file descriptor is handed on, so nothing is left behind however a run ends. On Linux it is a
memfd, elsewhere an unlinked temporary file. Slots are much larger than what is usually written; memory is taken up
only by pages that were touched, and they are used again by the next frame with the same ticket.

Layout of a slot: 64 bytes of header (the generation, uint64), then arrays, each aligned to 64 bytes.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamseg.errors import RunError, WireError

HEADER_BYTES = 64
ALIGN_BYTES = 64


def make_shared_file(size_bytes: int) -> int:
    """A file descriptor of `size_bytes` of anonymous shared memory. Not inherited unless passed on.

    Raises:
        RunError: the system gives no such memory.
    """
    try:
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("streamseg", os.MFD_CLOEXEC)
        else:
            fd, path = tempfile.mkstemp(prefix="streamseg-")
            os.unlink(path)  # noqa: PTH108 (a path string, gone in the next moment)
        os.ftruncate(fd, size_bytes)
    except OSError as error:
        raise RunError(
            f"cannot reserve {size_bytes / 2**20:.0f} MiB of shared memory: {error}; lower tickets or slot_mb"
        ) from error
    return fd


class SlotBuffer:
    """A node's output buffer as one process sees it: the node's own may write, everyone else only reads."""

    def __init__(self, fd: int, slots: int, slot_bytes: int, *, writable: bool) -> None:
        self.slots = slots
        self.slot_bytes = slot_bytes
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._map = mmap.mmap(fd, slots * slot_bytes, flags=mmap.MAP_SHARED, prot=protection)
        self._base = np.frombuffer(self._map, np.uint8).ctypes.data
        self._generations = np.ndarray((slots,), np.uint64, self._map, 0, (slot_bytes,))
        self._used = [(0, 0)] * slots

    def empty(self, ticket: int, generation: int, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """A writable array of undefined content in the slot of `ticket`.

        Arrays of one (ticket, generation) lie one after the other; a new generation starts again at the beginning.

        Raises:
            RunError: the slot is full.
        """
        kind = np.dtype(dtype)
        owner, used = self._used[ticket]
        if owner != generation:
            used = HEADER_BYTES
            self._generations[ticket] = generation
        count = math.prod(shape)
        end = used + count * kind.itemsize
        if end > self.slot_bytes:
            raise RunError(
                f"a frame needs more than the {self.slot_bytes >> 20} MiB of its slot ({end / 2**20:.0f} MiB so far); "
                f"set slot_mb higher in the graph"
            )
        self._used[ticket] = (generation, -(-end // ALIGN_BYTES) * ALIGN_BYTES)
        return np.ndarray(tuple(shape), kind, self._map, ticket * self.slot_bytes + used)

    def find(self, array: np.ndarray) -> int | None:
        """Byte offset of a C-contiguous array that lies wholly in this buffer; None for any other."""
        # Not `__array_interface__`: each call leaves names in the table of interned strings, which then grows.
        offset = array.ctypes.data - self._base
        inside = offset >= 0 and offset + array.nbytes <= self.slots * self.slot_bytes
        return offset if inside and array.flags.c_contiguous else None

    def generation(self, ticket: int) -> int:
        """The generation that last wrote into this slot."""
        return int(self._generations[ticket])

    def write(self, offset: int, generation: int, data: Any) -> bool:
        """Put bytes where a buffer of the same layout on another machine has them. False if the slot has moved on.

        Raises:
            WireError: they would not lie within one slot.
        """
        content = np.frombuffer(data, np.uint8)
        ticket, start = divmod(offset, self.slot_bytes)
        if not 0 <= ticket < self.slots or start < HEADER_BYTES or start + content.size > self.slot_bytes:
            raise WireError(f"{content.size} bytes at byte {offset} are not within one slot of the buffer")
        if self.generation(ticket) > generation:
            return False
        self._generations[ticket] = generation
        np.ndarray(content.shape, np.uint8, self._map, offset)[...] = content
        return True

    def view(self, offset: int, shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray:
        """The array at a byte offset, without a copy; read-only unless the buffer is writable.

        Raises:
            WireError: it would not lie within one slot.
        """
        count = math.prod(shape)
        start = offset % self.slot_bytes
        in_slot = start >= HEADER_BYTES and start + count * dtype.itemsize <= self.slot_bytes
        if offset < 0 or offset >= self.slots * self.slot_bytes or not in_slot:
            raise WireError(f"an array of {count} x {dtype} at byte {offset} is not within one slot of the buffer")
        array = np.ndarray(tuple(shape), dtype, self._map, offset)
        array.flags.writeable = False
        return array
