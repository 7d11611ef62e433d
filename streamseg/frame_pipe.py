"""Frames on a pipe, from a process that has them in memory to the one that reads them into the graph.

A pipe holds a few hundred kilobytes, so whoever writes is at most a frame ahead of who reads. Both ends are to be
non-blocking: either side looks several times a second whether it is to stop.
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamseg.errors import MediaError

_HEADER = struct.Struct("<8sBIIqqqIII")
_MAGIC = b"SSEGFRM1"
_FRAME, _END, _FAILURE = range(3)
_NO_TIME = -(1 << 63)
_MOST_TEXT_BYTES = 4096
_LOOK_EVERY_MS = 200

Stopping = Callable[[], bool]
"""Whether it is time to give up."""


class PipedFrame(NamedTuple):
    """One frame on its way."""

    image_rgb: np.ndarray
    """(H, W, 3) uint8, RGB, contiguous."""
    pts_ns: int | None
    """Its time in nanoseconds, if it has one."""
    captured_ns: int
    """When it was there, nanoseconds since the epoch."""
    monotonic_ns: int
    """The same by the monotonic clock, which all processes of a machine share."""
    scaled_from: tuple[int, int] | None
    """(width, height) before it was scaled; None if it was not."""


def send_frame(fd: int, frame: PipedFrame, stopping: Stopping) -> bool:
    """Write a frame. False if nobody wants it any more."""
    height, width = frame.image_rgb.shape[:2]
    pts_ns = _NO_TIME if frame.pts_ns is None else frame.pts_ns
    times_ns = (pts_ns, frame.captured_ns, frame.monotonic_ns)
    header = _HEADER.pack(_MAGIC, _FRAME, width, height, *times_ns, *(frame.scaled_from or (0, 0)), 0)
    return _write(fd, header, stopping) and _write(fd, frame.image_rgb.reshape(-1).data, stopping)


def send_end(fd: int, stopping: Stopping) -> bool:
    """Say that there are no more frames. False if nobody wants to know."""
    return _write(fd, _header(_END), stopping)


def send_failure(fd: int, reason: str, stopping: Stopping) -> bool:
    """Say that there are no more frames, and why there should have been. False if nobody wants to know."""
    text = reason.encode("utf-8", "backslashreplace")[:_MOST_TEXT_BYTES]
    return _write(fd, _header(_FAILURE, len(text)) + text, stopping)


def receive(fd: int, most_pixels: int, stopping: Stopping) -> PipedFrame | None:
    """Read a frame; None if there are no more, or it is time to give up.

    Raises:
        MediaError: the other side has failed or is gone, sends something else, or a frame of more pixels.
    """
    header = bytearray(_HEADER.size)
    if not _read(fd, memoryview(header), stopping):
        return None
    magic, kind, width, height, pts_ns, captured_ns, monotonic_ns, *scaled_from, text_bytes = _HEADER.unpack(header)
    if magic != _MAGIC or kind not in (_FRAME, _END, _FAILURE) or text_bytes > _MOST_TEXT_BYTES:
        raise MediaError("expected frames as segment_video hands them over, got other bytes")
    if kind == _FAILURE:
        text = bytearray(text_bytes)
        _read(fd, memoryview(text), stopping)
        raise MediaError(text.decode("utf-8", "replace"))
    if kind == _END:
        return None
    if not 0 < width * height <= most_pixels:
        raise MediaError(f"expected a frame of at most {most_pixels} pixels, got one of {width}x{height}")
    image_rgb = np.empty((height, width, 3), np.uint8)
    if not _read(fd, image_rgb.reshape(-1).data, stopping):
        return None
    from_width, from_height = scaled_from
    return PipedFrame(
        image_rgb,
        None if pts_ns == _NO_TIME else pts_ns,
        captured_ns,
        monotonic_ns,
        (from_width, from_height) if from_width else None,
    )


def _header(kind: int, text_bytes: int = 0) -> bytes:
    return _HEADER.pack(_MAGIC, kind, 0, 0, 0, 0, 0, 0, 0, text_bytes)


def _write(fd: int, data: bytes | memoryview, stopping: Stopping) -> bool:
    left = memoryview(data)
    room = select.poll()
    room.register(fd, select.POLLOUT)
    while left:
        if stopping():
            return False
        if room.poll(_LOOK_EVERY_MS):
            try:
                left = left[os.write(fd, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
    return True


def _read(fd: int, into: memoryview, stopping: Stopping) -> bool:
    """Fill `into`. False if it is time to give up."""
    ready = select.poll()
    ready.register(fd, select.POLLIN)
    while into:
        if stopping():
            return False
        if not ready.poll(_LOOK_EVERY_MS):
            continue
        try:
            count = os.readv(fd, [into])
        except BlockingIOError:
            continue
        if not count:
            raise MediaError("expected more frames, but the process that gave them is gone")
        into = into[count:]
    return True
