"""What a reader gives: facts about the source, then pictures whose pixels are converted only when wanted."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.redaction import utf8
from streamseg.types import CaptureClock, SourceState
from streamseg.video.source import SourceKind

_log = logging.getLogger("streamseg.video")

_MOST_NOTES = 50
"""A source that changes all the time is not told of for ever."""


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source once its first picture has been decoded."""

    kind: SourceKind
    width: int
    """Pixels, after rotation."""
    height: int
    """Pixels, after rotation."""
    fps: float | None
    """Mean frames per second as the source states it; None if it does not."""
    frames: int | None
    """How many frames to expect: an estimate, good for progress bars only. None if unknown or endless."""
    time_base: tuple[int, int]
    """Seconds per pts unit as (numerator, denominator)."""
    codec: str
    live: bool
    """Whether frames come at the source's own pace, so that a slow consumer must drop some."""


@dataclass(frozen=True)
class SourceEvent:
    """A live source was lost, is tried again, or is back."""

    state: SourceState
    reason: str
    """Why it was lost, or why the last attempt failed; empty when it is back."""
    since_ns: int
    """When it was lost, nanoseconds since the epoch."""
    attempts: int = 0
    """How many attempts have been begun since."""


class Picture:
    """One decoded picture. Its pixels are converted by `write_rgb`, so a dropped picture costs no conversion.

    Valid until the reader is closed; not to be shared between threads.
    """

    __slots__ = (
        "_fill",
        "arrived_monotonic_ns",
        "arrived_ns",
        "captured_clock",
        "captured_ns",
        "damaged",
        "frame_id",
        "good_until_monotonic_ns",
        "height",
        "index",
        "pts",
        "size_in_source",
        "time_base",
        "width",
    )

    def __init__(
        self,
        *,
        index: int,
        pts: int | None,
        time_base: tuple[int, int],
        captured_ns: int,
        width: int,
        height: int,
        fill: Callable[[np.ndarray], None],
        captured_clock: CaptureClock = "reading",
        arrived_ns: int | None = None,
        arrived_monotonic_ns: int | None = None,
        good_until_monotonic_ns: int | None = None,
        damaged: bool = False,
        size_in_source: tuple[int, int] | None = None,
        frame_id: str = "",
    ) -> None:
        self.index = index
        """Position among all frames of the source, from 0; goes on over a reconnect."""
        self.pts = pts
        """Presentation time in units of `time_base`; None if the source has none."""
        self.time_base = time_base
        """Seconds per pts unit as (numerator, denominator)."""
        self.captured_ns = captured_ns
        """When it was taken, as far as that is known, nanoseconds since the epoch by `captured_clock`."""
        self.captured_clock = captured_clock
        """``reading`` for files; ``sender`` if a stream says when its pictures were taken, ``recording`` if a bag does;
        else ``arrival``."""
        self.arrived_ns = captured_ns if arrived_ns is None else arrived_ns
        """When the packet with the picture came, nanoseconds since the epoch; not when it was decoded."""
        self.arrived_monotonic_ns = time.monotonic_ns() if arrived_monotonic_ns is None else arrived_monotonic_ns
        """The same by the monotonic clock."""
        self.good_until_monotonic_ns = good_until_monotonic_ns
        """When it is too old to be of use, by the monotonic clock; None if it does not age."""
        self.width = width
        self.height = height
        self.damaged = damaged
        """Whether parts of it were lost and made up by the decoder; live sources only, and only if asked for."""
        self.size_in_source = size_in_source or (width, height)
        """(width, height) before it was scaled to the size of the first, after rotation."""
        self.frame_id = frame_id
        """Name of the camera's coordinate frame, as robots have it; empty where there is none."""
        self._fill = fill

    @property
    def pts_s(self) -> float | None:
        """Presentation time in seconds."""
        return None if self.pts is None else self.pts * self.time_base[0] / self.time_base[1]

    def write_rgb(self, out: np.ndarray) -> None:
        """Convert the picture into `out`, (height, width, 3) uint8, RGB, upright; rows must be contiguous.

        Raises:
            UsageError: `out` has another shape or type, or is read-only.
        """
        wanted = (self.height, self.width, 3)
        if out.shape != wanted or out.dtype != np.uint8 or out.strides[1:] != (3, 1) or not out.flags.writeable:
            raise UsageError(
                f"expected a writable uint8 array {wanted} with contiguous rows for the picture, got {out.dtype} "
                f"{out.shape} with strides {out.strides}; allocate it by the reader's info.height and info.width"
            )
        self._fill(out)

    def to_rgb(self) -> np.ndarray:
        """The picture as a new (height, width, 3) uint8 array, RGB, upright."""
        out = np.empty((self.height, self.width, 3), np.uint8)
        self.write_rgb(out)
        return out


class Reader(ABC, Iterator[Picture]):
    """Pictures of one source, in order, once. A context manager; made by `streamseg.video.open.open_source`."""

    def __init__(self, start_index: int, max_frames: int | None) -> None:
        self._info: SourceInfo | None = None
        self.damaged = 0
        """Packets, pictures or image files found damaged so far; what could not be decoded was left out."""
        self.reconnects = 0
        """How often a lost connection has been made again."""
        self.jumps = 0
        """How often the presentation times of the source went back or jumped, which was mended."""
        self.dropped: Counter[str] = Counter()
        """Pictures that a live source has sent and that were not given, by the reason."""
        self.clock: Counter[str] = Counter()
        """What the clocks did by which the pictures of a live source are told apart (`streamseg.video.live.clocks`)."""
        self.notes: list[str] = []
        """What the source holds or says and is not used, one sentence each; said in the log too."""
        self.pixel_aspect = Fraction(1)
        """Width of a pixel by its height, after rotation."""
        self._start_index = start_index
        self._left = max_frames
        self._stopping = threading.Event()
        self._pictures: Iterator[Picture] | None = None
        self._on_event: Callable[[SourceEvent], None] | None = None

    @property
    def is_known(self) -> bool:
        """Whether there are facts about the source already; a live one may still be waited for."""
        return self._info is not None

    @property
    def info(self) -> SourceInfo:
        """Facts about the source.

        Raises:
            MediaError: it is a live source whose first picture has not come yet.
        """
        if self._info is None:
            raise MediaError("expected facts about the source, but its first picture has not come yet; wait for it")
        return self._info

    @property
    def live(self) -> bool:
        """Whether frames come at the source's own pace."""
        return self.info.live

    def note(self, sentence: str | None) -> None:
        """Say what is not used, once; None says nothing."""
        sentence = None if sentence is None else utf8(sentence)
        if sentence is not None and sentence not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(sentence)
            _log.warning("%s", sentence)

    def _say(self, state: SourceState, reason: str, since_ns: int, attempts: int = 0) -> None:
        """Tell who wants to know what a live source goes through."""
        if self._on_event is not None:
            self._on_event(SourceEvent(state, reason, since_ns, attempts))

    @abstractmethod
    def _read(self) -> Iterator[Picture]:
        """The pictures from `start_index` on; looks at `_stopping` between pictures."""

    @abstractmethod
    def close(self) -> None:
        """Release the source. To be called by the thread that reads; safe to call twice."""

    def stop(self) -> None:
        """End the iteration early. The only method that another thread may call.

        A live one ends at once; another that waits for its source notices when the next packet comes, or after the
        read timeout.
        """
        self._stopping.set()

    def __next__(self) -> Picture:
        if self._stopping.is_set() or self._left == 0:
            raise StopIteration
        if self._pictures is None:
            self._pictures = self._read()
        picture = next(self._pictures)
        if self._left is not None:
            self._left -= 1
        return picture

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
