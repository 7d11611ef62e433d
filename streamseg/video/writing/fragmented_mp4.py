"""A video that grows by whole pieces: each is encoded by itself, and the file is good after any of them.

The file is a fragmented MP4. A piece is made in memory and appended in one go, so the file can be cut off at the end of
any piece and gone on with, by another process too. `to_plain` turns it into a plain MP4 that every editor takes.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamseg.errors import OutputError
from streamseg.regular_files import check_own, open_own, sync
from streamseg.video.writing.writer import FRAGMENTED, SQUARE, VideoWriter

_PIECE = f"{FRAGMENTED}+skip_trailer"


class Piece(VideoWriter):
    """Some pictures of a longer video, encoded in memory.

    Args:
        name: of the video, for errors.
        after_tick: time of the last picture of the piece before, in units of 1 / `ticks_per_s`; None for the first.
        others: as for `VideoWriter`; times are those of the whole video.
    """

    def __init__(
        self,
        name: Path,
        width: int,
        height: int,
        *,
        after_tick: int | None,
        rate_hint: float,
        threads: int,
        pixel_aspect: Fraction = SQUARE,
    ) -> None:
        self._buffer = io.BytesIO()
        super().__init__(
            name, width, height, rate_hint=rate_hint, preset="veryfast", threads=threads, pixel_aspect=pixel_aspect
        )
        self._last_pts = after_tick
        self._origin_s = 0.0
        self._first_pts: int | None = None

    @property
    def last_tick(self) -> int | None:
        """Time of the last picture so far."""
        return self._last_pts

    def finish(self) -> tuple[bytes, bytes]:
        """Encode what is left. Returns what a file begins with, and what is appended to it.

        Raises:
            OutputError: it cannot be encoded.
        """
        self.close()
        data = self._buffer.getvalue()
        start = next((at for kind, at, _ in _boxes(data) if kind == b"moof"), len(data))
        return data[:start], _shifted(data[start:], self._first_pts or 0)

    def _next_pts(self, pts_s: float | None) -> int:
        pts = super()._next_pts(pts_s)
        if self._first_pts is None:
            self._first_pts = pts
        # The muxer begins each file at 0; `finish` moves the piece to its place.
        return pts - self._first_pts

    def _open(self) -> OutputContainer:
        return av.open(self._buffer, "w", format="mp4", options={"movflags": _PIECE})

    def _written_bytes(self) -> int:
        return self._buffer.tell()

    def _keep_whole_fragments(self) -> None:
        """Nothing is on a disk."""


def is_plain(path: Path) -> bool:
    """Whether a file is an MP4 that is not fragmented.

    Raises:
        OSError: it cannot be read.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        while head := file.read(8):
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind == b"moof":
                return False
            head_bytes = 8
            if size == 1:
                size, head_bytes = int.from_bytes(file.read(8), "big"), 16
            # A box that is said to be smaller than its head would be read for ever.
            if not head_bytes <= size < 1 << 62:
                break
            file.seek(size - head_bytes, io.SEEK_CUR)
    return True


def to_plain(path: Path) -> None:
    """Turn a fragmented file into a plain one, in one step; nothing is encoded again.

    Raises:
        OutputError: there is no room for the copy; the file stays as it is.
    """
    _copy(path, {})


def to_fragments(path: Path) -> None:
    """Turn a plain file into a fragmented one, so that pieces can be appended.

    Raises:
        OutputError: there is no room for the copy; the file stays as it is.
    """
    _copy(path, {"movflags": _PIECE})


def _copy(path: Path, options: dict[str, str]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        check_own(path)
        # FFmpeg would follow a link that lies there.
        part.unlink(missing_ok=True)
        with av.open(f"file:{path}") as source, av.open(f"file:{part}", "w", format="mp4", options=options) as copy:
            video = source.streams.video[0]
            stream: VideoStream = copy.add_stream_from_template(video)
            for packet in source.demux(video):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
        # What the name stands for was durable, and has to be so after the change.
        sync(part)
        part.replace(path)
        sync(path.parent)
    except (av.error.FFmpegError, OSError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"expected to rewrite {path} in another form, got: {reason}; free space") from error


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(type, position, size) of the boxes of an MP4 that lie one after the other."""
    at, end = start, len(data) if end is None else end
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            break
        yield data[at + 4 : at + 8], at, size
        at += size


def _shifted(data: bytes, ticks: int) -> bytes:
    """Fragments with `ticks` added to their time (the box ``tfdt``: ISO/IEC 14496-12, 8.8.12)."""
    moved = bytearray(data)
    for kind, at, size in _boxes(data):
        if kind != b"moof":
            continue
        for inner, inner_at, inner_size in _boxes(data, at + 8, at + size):
            if inner != b"traf":
                continue
            for box, box_at, _ in _boxes(data, inner_at + 8, inner_at + inner_size):
                if box == b"tfdt" and data[box_at + 8] == 1:
                    (time,) = struct.unpack_from(">Q", data, box_at + 12)
                    struct.pack_into(">Q", moved, box_at + 12, time + ticks)
    return bytes(moved)
