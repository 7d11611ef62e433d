"""The two files of a recording that grow: the tracks and the overlay video."""

from __future__ import annotations

import contextlib
import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import cv2
import msgspec
import numpy as np

from streamseg.errors import OutputError
from streamseg.jobs import Natural
from streamseg.messages import Segmented, Stamp
from streamseg.regular_files import open_own
from streamseg.tracking.records import TrackRecord, write_lines
from streamseg.video.writing.fragmented_mp4 import Piece, is_plain, to_fragments, to_plain
from streamseg_nodes.drawn_masks import drawn_masks

_log = logging.getLogger("streamseg.nodes.record")

_USUAL_FPS = 25.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAD_PX = 4

Side = Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
"""Of a picture, in pixels."""


class TracksFile:
    """``tracks.jsonl``, which ends with a whole line whatever happens.

    Args:
        keep_bytes: how much of an earlier run's file to keep.
        root: a folder from which on no part of the path may be a link; None for its own.
    """

    def __init__(self, path: Path, keep_bytes: int = 0, root: Path | None = None) -> None:
        self._path = path
        self.whole_bytes = keep_bytes
        """Length of the file up to the last whole frame."""
        try:
            # Unbuffered: a frame's lines are in the file once `append` is over, so a crash cannot take them away.
            fd = open_own(path, os.O_RDWR if keep_bytes else os.O_WRONLY | os.O_CREAT, root=root)
            self._file = os.fdopen(fd, "r+b" if keep_bytes else "wb", buffering=0)
            if (there_bytes := os.fstat(self._file.fileno()).st_size) < keep_bytes:
                self._file.close()
                raise OutputError(
                    f"expected {keep_bytes} bytes of an earlier run in {path}, there are {there_bytes}; "
                    f"start again with --overwrite"
                )
            self._file.truncate(keep_bytes)
            self._file.seek(keep_bytes)
        except OutputError:
            raise
        except OSError as error:
            raise _cannot(self._path, error) from error

    def append(self, tracks: list[TrackRecord]) -> None:
        """Write the lines of one frame, all or none."""
        rest = memoryview(write_lines(tracks))
        end = self.whole_bytes + len(rest)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            # Where even this fails the disk is gone, and there is no file to keep whole.
            with contextlib.suppress(OSError):
                self._file.truncate(self.whole_bytes)
                self._file.seek(self.whole_bytes)
            raise _cannot(self._path, error) from error
        self.whole_bytes = end

    def sync(self) -> None:
        """Make it durable. May be called from another thread than the rest."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class OverlayMark(msgspec.Struct, frozen=True, kw_only=True):
    """How far an overlay is in its file."""

    bytes: Natural
    last_tick: Natural
    origin_s: float
    size: tuple[Side, Side]
    """(width, height)"""


class OverlayFile:
    """``overlay.mp4``: the pictures with the masks over them, at the times and with the pixels the stream says.

    Times begin at 0. A stream without times is shown at 25 frames a second. A picture of another size than the first
    is scaled. Pictures are gathered in pieces (`streamseg.video.writing.fragmented_mp4`); the file holds those
    that were appended.

    Args:
        keep: how much of an earlier run's file to keep; None begins a new one.
        root: a folder from which on no part of the path may be a link; None for its own.
    """

    def __init__(self, path: Path, alpha: float, keep: OverlayMark | None = None, root: Path | None = None) -> None:
        self._path = path
        self._root = root
        self._alpha = alpha
        self._piece: Piece | None = None
        self._last_rgb: np.ndarray = np.zeros((0, 0, 3), np.uint8)
        self._origin_s: float | None = None
        self._last_tick: int | None = None
        self._whole_bytes = 0
        if keep is not None:
            self._keep(keep)

    def begin(self, width: int, height: int) -> None:
        """Say how large the pictures are."""
        self._last_rgb = np.zeros((height, width, 3), np.uint8)

    def add(self, message: Segmented) -> None:
        """One frame with its objects."""
        drawn = drawn_masks(message, self._alpha)
        height, width = self._last_rgb.shape[:2]
        self._last_rgb = drawn if drawn.shape[:2] == (height, width) else cv2.resize(drawn, (width, height))
        self._write(self._last_rgb, message.stamp)

    def add_note(self, stamp: Stamp, text: str) -> None:
        """The last picture once more, with a note that it is not this frame's."""
        noted = self._last_rgb.copy()
        scale = max(0.4, noted.shape[0] / 900)
        (width, height), below_px = cv2.getTextSize(text, _FONT, scale, 1)
        cv2.rectangle(noted, (0, 0), (width + 2 * _PAD_PX, height + below_px + 2 * _PAD_PX), (0, 0, 0), cv2.FILLED)
        cv2.putText(noted, text, (_PAD_PX, height + _PAD_PX), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
        self._write(noted, stamp)

    def cut(self) -> Piece | None:
        """The pictures since the last cut, to be given to `append`."""
        piece, self._piece = self._piece, None
        return piece

    def append(self, piece: Piece, *, sync: bool) -> OverlayMark:
        """Put a piece at the end of the file, all or nothing. May be called from another thread than the rest.

        Raises:
            OutputError: the disk is full or gone; the file keeps what it has.
        """
        head, body = piece.finish()
        data = body if self._whole_bytes else head + body
        try:
            flags = os.O_RDWR if self._whole_bytes else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            fd = open_own(self._path, flags, root=self._root)
            with os.fdopen(fd, "r+b" if self._whole_bytes else "wb", buffering=0) as file:
                file.seek(self._whole_bytes)
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._cut_off(self._whole_bytes)
            raise _cannot(self._path, error) from error
        self._whole_bytes += len(data)
        height, width = self._last_rgb.shape[:2]
        return OverlayMark(
            bytes=self._whole_bytes,
            last_tick=piece.last_tick or 0,
            origin_s=self._origin_s or 0.0,
            size=(width, height),
        )

    def close(self, *, plain: bool = True) -> None:
        """Make a plain MP4 of the file, once every piece is in it; or leave it in fragments, which can be cut off."""
        if self._whole_bytes and plain:
            try:
                to_plain(self._path)
            except OutputError as error:
                _log.warning("%s stays a fragmented MP4: %s", self._path, error)

    def _keep(self, mark: OverlayMark) -> None:
        try:
            # A run that was stopped in good order has made a plain file, which has all that was committed.
            if is_plain(self._path):
                to_fragments(self._path)
                self._whole_bytes = self._path.stat().st_size
            else:
                self._whole_bytes = mark.bytes
                if self._path.stat().st_size < mark.bytes:
                    raise OutputError(
                        f"expected {mark.bytes} bytes of an earlier run in {self._path}, it is shorter; "
                        f"start again with --overwrite"
                    )
                self._cut_off(mark.bytes)
        except OutputError:
            raise
        except OSError as error:
            raise _cannot(self._path, error) from error
        self.begin(*mark.size)
        self._origin_s, self._last_tick = mark.origin_s, mark.last_tick

    def _cut_off(self, end_bytes: int) -> None:
        fd = open_own(self._path, os.O_WRONLY, root=self._root)
        try:
            os.ftruncate(fd, end_bytes)
        finally:
            os.close(fd)

    def _write(self, image_rgb: np.ndarray, stamp: Stamp) -> None:
        shown_s = stamp.index / _USUAL_FPS if stamp.pts_s is None else stamp.pts_s
        if self._origin_s is None:
            self._origin_s = shown_s
        if self._piece is None:
            height, width = self._last_rgb.shape[:2]
            # Measured for 1280x720 on one core: 13 ms of veryfast beside 5 ms for all else that is recorded.
            self._piece = Piece(
                self._path,
                width,
                height,
                after_tick=self._last_tick,
                rate_hint=_USUAL_FPS,
                threads=1,
                pixel_aspect=Fraction(*stamp.pixel_aspect),
            )
        self._piece.write(image_rgb, max(0.0, shown_s - self._origin_s))
        self._last_tick = self._piece.last_tick


def _cannot(path: Path, error: OSError) -> OutputError:
    return OutputError(f"expected to write {path}, got: {error.strerror}; free space or choose another output")
