"""Pictures of a folder that is still being filled, as they come."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from streamseg.errors import MediaError
from streamseg.regular_files import opened
from streamseg.video.files.folder_reader import natural_key, write_bgr
from streamseg.video.files.image_loading import ImageLoading
from streamseg.video.live.live_decode import WAITED
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import IMAGE_SUFFIXES, SourceKind

_LOOK_EVERY_S = 0.1
_LISTING_SHARE = 0.1
"""Of the time that goes into listing the folder."""
_ABANDONED_S = 5.0
"""Whoever writes an image and has not gone on for so long never will."""
_END_BYTES = 4096
_ENDS = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
"""What stands at the end of a whole file; behind it there may be something else."""


@dataclass(frozen=True)
class _Seen:
    """A file as it was when it was looked at last."""

    size_bytes: int
    mtime_ns: int
    since_s: float
    """Since when it has been like this, by the monotonic clock."""
    first_ns: int
    """When it was seen first, nanoseconds since the epoch."""
    is_as_found: bool
    """Whether it was there before anybody looked and has not changed since: only then its own time says when it was
    written last. That of one that comes is by the writer's clock, or the time of what it is a copy of."""


@dataclass(frozen=True)
class _Ready:
    """A file that is wholly there."""

    path: Path
    came_ns: int | None
    """When it was written, nanoseconds since the epoch; None if it was there before anybody looked."""


class FollowedFolderReader(Reader):
    """Reads the images of a folder in natural order, then those that come, in the order in which they come.

    `index` counts them, `pts` is the same in units of 1/fps. An image is taken when it is wholly there: it has the end
    that its format has and has not changed since the last look, or nothing has been added to it for five seconds. Until
    then those behind it wait. The end is when nothing has come for `idle_s`, or the folder is gone; one that cannot be
    listed for so long is an error.

    Args:
        path: of the folder; it may be empty yet.
        fps: frames per second, for the times that the frames get.
        idle_s: so long without a new image is the end.
        live: whether of several images that are there only the newest is given; the others are counted as ``waited``.
        start_index: number of the first image to give.
        max_frames: give so many at most; None for all.
        max_pixels: a picture that has more is left out.

    Raises:
        MediaError: the folder is not there or may not be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float,
        idle_s: float,
        live: bool,
        start_index: int,
        max_frames: int | None,
        max_pixels: int,
    ) -> None:
        super().__init__(start_index, max_frames)
        self._path = path
        self._rate = Fraction(fps).limit_denominator(1001)
        self._idle_s = idle_s
        self._is_live = live
        self._max_pixels = max_pixels
        if live:
            # There from the beginning, since other threads look at it.
            self.dropped[WAITED] = 0
        self._images: ImageLoading | None = None
        self._index = 0
        self._taken: set[str] = set()
        self._seen: dict[str, _Seen] = {}
        self._waiting: deque[_Ready] = deque()
        if not path.is_dir():
            raise MediaError(f"expected a folder to follow, but {path} is none; make it first")
        try:
            self._old = set(self._names())
        except OSError as error:
            raise MediaError(
                f"expected a readable folder, but {path} gave: {error.strerror}; change its mode"
            ) from None

    @property
    def live(self) -> bool:
        """Whether images are left out rather than kept waiting; known before the first has come."""
        return self._is_live

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self) -> Iterator[Picture]:
        while (ready := self._next()) is not None:
            index = self._index
            self._index += 1
            if index < self._start_index:
                continue
            image = self._load(ready.path)
            if image is not None:
                yield self._picture(index, image, ready)
        if self._info is None and not self._stopping.is_set():
            what = "none of its images can be decoded" if self._taken else f"none came within {self._idle_s:g} s"
            raise MediaError(
                f"expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {self._path}, but {what}; check who writes "
                f"them, or wait longer (--follow-folder)"
            )

    def _next(self) -> _Ready | None:
        """The next image; None at the end.

        Raises:
            MediaError: the folder is there, and cannot be listed.
        """
        came_s = time.monotonic()
        failed: OSError | None = None
        while not self._stopping.is_set():
            # Who takes every image need not know of later ones while some wait.
            if not self._waiting or self._is_live:
                began_s = time.monotonic()
                try:
                    names, failed = self._names(), None
                except (FileNotFoundError, NotADirectoryError):
                    if not self._waiting:
                        return None  # the folder is gone
                    names = []
                except OSError as error:
                    # A network drive may be away for a moment, or too many files be open.
                    names, failed = [], error
                if self._look(names):
                    came_s = time.monotonic()
                listing_s = time.monotonic() - began_s
            while self._is_live and len(self._waiting) > 1:
                self._waiting.popleft()
                self.dropped[WAITED] += self._index >= self._start_index
                self._index += 1
            if self._waiting:
                return self._waiting.popleft()
            if time.monotonic() - came_s >= self._idle_s:
                if failed is not None:
                    raise MediaError(
                        f"expected to list {self._path} again within {self._idle_s:g} s, got: {failed.strerror}; check "
                        f"the drive that it is on"
                    ) from failed
                return None
            self._stopping.wait(max(_LOOK_EVERY_S, listing_s / _LISTING_SHARE))
        return None

    def _names(self) -> list[str]:
        """Names of the images that have not been taken yet, in natural order."""
        with os.scandir(self._path) as entries:
            found = [
                entry.name
                for entry in entries
                if entry.name not in self._taken
                and not entry.name.startswith(".")
                and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
            ]
        return sorted(found, key=lambda name: natural_key(Path(name)))

    def _look(self, names: list[str]) -> bool:
        """Take those that are wholly there, up to the first that is not. Returns whether anything has come."""
        changed, in_turn = False, True
        for name in names:
            path = self._path / name
            try:
                found = path.stat()
            except OSError:
                continue  # renamed or taken away since the folder was listed
            now_s, now_ns, seen = time.monotonic(), time.time_ns(), self._seen.get(name)
            if seen is None or (seen.size_bytes, seen.mtime_ns) != (found.st_size, found.st_mtime_ns):
                first_ns = now_ns if seen is None else seen.first_ns
                is_as_found = seen is None and name in self._old
                seen = self._seen[name] = _Seen(found.st_size, found.st_mtime_ns, now_s, first_ns, is_as_found)
                changed = True
            # Those behind one that is still being written are not taken, but may be whole as soon as it is.
            in_turn = in_turn and _is_whole(path, seen, now_s, now_ns)
            if not in_turn:
                continue
            del self._seen[name]
            self._taken.add(name)
            came_ns = None if name in self._old else min(max(seen.first_ns, seen.mtime_ns), now_ns)
            self._waiting.append(_Ready(path, came_ns))
        return changed

    def _load(self, path: Path) -> np.ndarray | None:
        """(H, W, 3) uint8 BGR, of the size of the first; None, counted, if it cannot be decoded.

        Raises:
            MediaError: it has another size, or may not be read.
        """
        if self._images is None:
            self._images = ImageLoading([path], self._max_pixels, self.note)
        image = self._images.load(path)
        self.damaged = self._images.left_out
        if image is None:
            return None
        height, width = image.shape[:2]
        if self._info is None:
            self._info = SourceInfo(
                kind=SourceKind.FOLDER,
                width=width,
                height=height,
                fps=float(self._rate),
                frames=None,
                time_base=(self._rate.denominator, self._rate.numerator),
                codec=path.suffix.lower().lstrip("."),
                live=self._is_live,
            )
        if (width, height) != (self.info.width, self.info.height):
            raise MediaError(
                f"expected every image to be {self.info.width}x{self.info.height} like the first one, but {path} is "
                f"{width}x{height}; resize it or write it elsewhere"
            )
        return image

    def _picture(self, index: int, image_bgr: np.ndarray, ready: _Ready) -> Picture:
        now_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        came_ns = now_ns if ready.came_ns is None else ready.came_ns
        return Picture(
            index=index,
            pts=index,
            time_base=self.info.time_base,
            captured_ns=came_ns,
            captured_clock="reading" if ready.came_ns is None else "arrival",
            arrived_monotonic_ns=monotonic_ns - max(0, now_ns - came_ns),
            width=self.info.width,
            height=self.info.height,
            fill=partial(write_bgr, image_bgr),
        )


def _is_whole(path: Path, seen: _Seen, now_s: float, now_ns: int) -> bool:
    """Whether nothing more will be written to a file."""
    is_old = seen.is_as_found and now_ns - seen.mtime_ns >= _ABANDONED_S * 1e9
    if is_old or now_s - seen.since_s >= _ABANDONED_S:
        return True
    return now_s - seen.since_s >= _LOOK_EVERY_S / 2 and _has_end(path)


def _has_end(path: Path) -> bool:
    """Whether a file ends as its format does; True for formats of which that is not told."""
    end = _ENDS.get(path.suffix.lower(), b"")
    try:
        with opened(path) as fd, os.fdopen(fd, "rb", closefd=False) as file:
            file.seek(-min(_END_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return end in file.read(_END_BYTES)
    except OSError:
        return True  # what is no file is left out by whoever loads it
