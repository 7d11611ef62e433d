"""Frames that another process has in memory and hands over on a pipe (`streamseg.frame_pipe`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from streamseg import frame_pipe
from streamseg.errors import MediaError
from streamseg.frame_pipe import PipedFrame
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import SourceKind

_TIME_BASE = (1, 1_000_000_000)


class MemoryReader(Reader):
    """Reads what `segment_video` is given as arrays. Nothing is known of it before the first frame has come.

    Args:
        path: of the pipe, which is in nobody's way if it is one of another process's open files.
        live: whether frames are dropped rather than kept waiting.
        start_index: number of the first frame to give; those before it are read and left out.
        max_frames: give so many at most; None for all.
        max_pixels: a frame that has more is not taken.
        max_age_s: how old a frame of a live one may be when it is given.

    Raises:
        MediaError: there is no such pipe.
    """

    def __init__(
        self,
        path: Path,
        *,
        live: bool,
        start_index: int,
        max_frames: int | None,
        max_pixels: int,
        max_age_s: float,
    ) -> None:
        super().__init__(start_index, max_frames)
        self._is_live = live
        self._max_pixels = max_pixels
        self._max_age_ns = round(max_age_s * 1e9) if live else None
        try:
            self._fd: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise MediaError(
                f"expected frames on the pipe {path}, but it cannot be opened: {error.strerror}; begin a new run"
            ) from None
        if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            self.close()
            raise MediaError(f"expected frames on a pipe, but {path} is none; give segment_video the frames")

    @property
    def live(self) -> bool:
        """Whether frames are dropped rather than kept waiting; known before the first has come."""
        return self._is_live

    def close(self) -> None:
        """Let go of the pipe."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self) -> Iterator[Picture]:
        index = 0
        while self._fd is not None and not self._stopping.is_set():
            frame = frame_pipe.receive(self._fd, self._max_pixels, self._stopping.is_set)
            if frame is None:
                break
            if self._info is None:
                self._info = self._facts(frame)
            if index >= self._start_index:
                yield self._picture(index, frame)
            index += 1
        if self._info is None and not self._stopping.is_set():
            raise MediaError("expected at least one frame, got none; give frames that are not used up")

    def _facts(self, frame: PipedFrame) -> SourceInfo:
        height, width = frame.image_rgb.shape[:2]
        return SourceInfo(
            kind=SourceKind.MEMORY,
            width=width,
            height=height,
            fps=None,
            frames=None,
            time_base=_TIME_BASE,
            codec="rgb24",
            live=self._is_live,
        )

    def _picture(self, index: int, frame: PipedFrame) -> Picture:
        height, width = frame.image_rgb.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise MediaError(
                f"expected frames of {self.info.width}x{self.info.height} like the first, got one of {width}x{height}"
            )
        return Picture(
            index=index,
            pts=frame.pts_ns,
            time_base=_TIME_BASE,
            captured_ns=frame.captured_ns,
            width=width,
            height=height,
            fill=partial(_copy, frame.image_rgb),
            captured_clock="arrival",
            arrived_monotonic_ns=frame.monotonic_ns,
            good_until_monotonic_ns=None if self._max_age_ns is None else frame.monotonic_ns + self._max_age_ns,
            size_in_source=frame.scaled_from,
        )


def _copy(image_rgb: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, image_rgb)
