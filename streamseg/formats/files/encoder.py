"""Videos that are not for every player: lossless, with alpha."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from streamseg.errors import OutputError

_TIME_BASE = Fraction(1, 90_000)


class Encoder:
    """Writes arrays as a video, each at its time.

    Args:
        path: of the file; its ending says which container it is.
        codec: of FFmpeg.
        size: (height, width) of the pictures.
        fps: frames a second, for what has no times.
        pixels: how FFmpeg calls the values in the arrays, say ``rgba``.
        stored: how it calls them as they are stored.
        options: of the codec.

    Raises:
        OutputError: the file cannot be made, or this FFmpeg lacks the codec.
    """

    def __init__(
        self,
        path: Path,
        codec: str,
        size: tuple[int, int],
        fps: float,
        *,
        pixels: str,
        stored: str,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._fps = fps
        self._pixels = pixels
        self._stored = stored
        # One picture is encoded while the next one is made.
        self._thread = ThreadPoolExecutor(1, "encoder")
        self._encoding: Future[None] | None = None
        self._last: int | None = None
        self._begin_s: float | None = None
        try:
            self._container = av.open(f"file:{path}", "w", format=_CONTAINERS[path.suffix])
            stream = self._container.add_stream(
                codec, rate=Fraction(fps).limit_denominator(1001), options=dict(options or {})
            )
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise self._cannot(error) from error
        if not isinstance(stream, VideoStream):
            raise OutputError(f"expected {codec} to be a video encoder, got {stream.type}; reinstall PyAV")
        stream.height, stream.width = size
        stream.pix_fmt = stored
        stream.time_base = stream.codec_context.time_base = _TIME_BASE
        if stored.startswith("gray"):
            # All values count, from 0 to the largest; without this, readers stretch those from 16 to 235.
            stream.codec_context.color_range = ColorRange.JPEG
        self._stream = stream

    def write(self, image: np.ndarray, pts_s: float | None) -> None:
        """Append a picture, shown at a time in seconds; None: one frame after the one before.

        Raises:
            OutputError: the disk is full or gone, or the codec refuses the picture, or has refused the one before.
        """
        try:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=self._pixels)
            if self._stored != self._pixels:
                frame = frame.reformat(format=self._stored)
            if self._stored.startswith("gray"):
                frame.color_range = ColorRange.JPEG
            frame.pts = self._next(pts_s)
            frame.time_base = _TIME_BASE
            self._wait()
            self._encoding = self._thread.submit(self._encode, frame)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise self._cannot(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        try:
            if kind is None:
                self._wait()
                self._encode(None)
            self._container.close()
        except (av.error.FFmpegError, ValueError, OSError) as reason:
            if kind is None:
                raise self._cannot(reason) from reason

    def _encode(self, frame: av.VideoFrame | None) -> None:
        self._container.mux(self._stream.encode(frame))

    def _wait(self) -> None:
        if self._encoding is not None:
            self._encoding.result()

    def _next(self, pts_s: float | None) -> int:
        step = round(1 / self._fps / _TIME_BASE)
        if pts_s is None:
            pts = 0 if self._last is None else self._last + step
        else:
            self._begin_s = pts_s if self._begin_s is None else self._begin_s
            pts = round((pts_s - self._begin_s) / _TIME_BASE)
        self._last = pts if self._last is None else max(pts, self._last + 1)
        return self._last

    def _cannot(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or error
        return OutputError(
            f"expected to write the video {self._path}, got: {reason}; free space, or choose another codec or folder"
        )


_CONTAINERS = {".mkv": "matroska", ".webm": "webm", ".mov": "mov"}
