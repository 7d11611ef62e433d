"""Frames that the caller has in memory, on their way into the graph: a thread hands them over on a pipe.

A thread, so that a loop may take results while its frames are made, even if each frame depends on the result before.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from streamseg import frame_pipe
from streamseg.errors import MediaError, RunError, StreamsegError, UsageError
from streamseg.frame_pipe import PipedFrame
from streamseg.runtime.library import given
from streamseg.runtime.library.given_images import GivenImages, check_colors
from streamseg.runtime.plain_text import text_of

_PIPE_BYTES = 1 << 20
_NAMES = (str, bytes, bytearray, memoryview, os.PathLike, int, float, io.IOBase, Mapping, AbstractSet, type(None))
"""What is no sequence of frames, though some of it can be iterated over."""


def frames_in(source: Any, *, bgr: bool, gray: bool) -> Iterable[Any] | None:
    """The frames, if a source is frames; None if it names them.

    Args:
        source: an array (T, H, W, 3), a list, an iterator or a generator of pictures, or of (picture, time in seconds).
        bgr: the colors are blue, green, red.
        gray: pictures are (H, W).

    Raises:
        UsageError: it is a single picture, or the first of a list is none.
    """
    check_colors(bgr=bgr, gray=gray)
    dimensions = getattr(source, "ndim", None)
    if isinstance(source, _NAMES) or dimensions == 0 or not isinstance(source, Iterable):
        return None
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], (str, bytes, os.PathLike)):
        return None
    if dimensions is not None and dimensions != (3 if gray else 4):
        wanted = "(T, H, W)" if gray else "(T, H, W, 3)"
        raise UsageError(
            f"expected frames as an array {wanted}, got an array of {tuple(source.shape)}; a single picture is "  # type: ignore[attr-defined]
            f"image[None]"
        )
    if dimensions is not None or isinstance(source, (list, tuple)):
        if not len(source):  # type: ignore[arg-type]
            raise UsageError("expected at least one frame, got none")
        _taken(GivenImages(), 0, source[0], bgr, gray)  # type: ignore[index]
    return source


class Feeder:
    """Hands frames over. A context manager: entering it begins to, leaving it ends that.

    Args:
        frames: to iterate over once, as `frames_in` returns them.
        bgr: the colors are blue, green, red.
        gray: pictures are (H, W).

    Raises:
        UsageError: the system has no way for another process to read a pipe of this one.
    """

    def __init__(self, frames: Iterable[Any], *, bgr: bool = False, gray: bool = False) -> None:
        if not Path("/proc/self/fd").is_dir():
            raise UsageError("expected the path of a video, got frames: without /proc a run cannot read them")
        self._frames: Iterator[Any] | None = iter(frames)
        self._bgr, self._gray = bgr, gray
        self._stopping = threading.Event()
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)
        # As it is if the system grants no more.
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self._write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._close_read_end = weakref.finalize(self, os.close, self._read_end)
        # Closed by the thread once there is one, which may be writing to it.
        self._close_write_end = weakref.finalize(self, os.close, self._write_end)
        self.error: StreamsegError | None = None
        """What ended the frames before their end."""

    @property
    def source(self) -> str:
        """As the decode node takes it. The pipe can be read as long as this object is there."""
        return f"frames:///proc/{os.getpid()}/fd/{self._read_end}"

    def __enter__(self) -> Feeder:
        self._close_write_end.detach()
        threading.Thread(target=self._feed, name="frames", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        # An iterator that takes its time is not waited for: its thread ends with its next frame.
        self._stopping.set()
        self._close_read_end()

    def _feed(self) -> None:
        stopping = self._stopping.is_set
        try:
            if self._send_frames():
                frame_pipe.send_end(self._write_end, stopping)
        except Exception as error:  # noqa: BLE001 (whatever it is, who waits for frames has to know)
            reason = f"frames cannot be handed over: {type(error).__name__}: {text_of(error)}"
            self.error = error if isinstance(error, StreamsegError) else RunError(reason)
            frame_pipe.send_failure(self._write_end, str(self.error), stopping)
        finally:
            self._frames = None
            os.close(self._write_end)

    def _send_frames(self) -> bool:
        """All of them. False if they were not wanted any more."""
        images = GivenImages()
        number = 0
        for number, item in enumerate(self._given()):
            frame = _taken(images, number, item, self._bgr, self._gray)
            if not frame_pipe.send_frame(self._write_end, frame, self._stopping.is_set):
                return False
        return True

    def _given(self) -> Iterator[Any]:
        """What the caller's iterator gives.

        Raises:
            MediaError: it raised something.
        """
        number = 0
        while self._frames is not None and not self._stopping.is_set():
            try:
                item = next(self._frames)
            except StopIteration:
                return
            except BaseException as error:
                raise MediaError(
                    f"expected frame {number}, but its iterator raised {type(error).__name__}: {text_of(error)}"
                ) from error
            yield item
            number += 1


def _taken(images: GivenImages, number: int, item: Any, bgr: bool, gray: bool) -> PipedFrame:
    image, time_s = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
    try:
        taken = images.take(image, bgr=bgr, gray=gray)
        pts_ns = None if time_s is None else given.nanoseconds(time_s)
    except UsageError as error:
        raise UsageError(f"frame {number}: {error}") from error
    return PipedFrame(taken.image_rgb, pts_ns, time.time_ns(), time.monotonic_ns(), taken.scaled_from)
