"""Frames of a test pattern, as a file has them or at the pace of a camera."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

from streamseg.errors import MediaError
from streamseg.video.live.live_decode import LATE
from streamseg.video.pattern import Pattern, parse_pattern
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import SourceKind


class PatternReader(Reader):
    """Reads ``test://…``. Nothing is drawn before somebody asks for the pixels.

    Live ones give each frame when it is due, by the clock, and leave out those that are over already, counted as
    ``late``; others give every frame as soon as it is asked for.

    Args:
        source: as `streamseg.video.pattern.parse_pattern` takes it.
        live: whether frames come at the pattern's own pace; None: if it has no end.
        start_index: number of the first frame to give.
        max_frames: give so many at most; None for all.
        max_pixels: a frame that has more is not drawn.
        max_age_s: how old a frame of a live one may be when it is given.

    Raises:
        MediaError: there is no such pattern, or its frames are too large.
    """

    def __init__(
        self,
        source: str,
        *,
        live: bool | None,
        start_index: int,
        max_frames: int | None,
        max_pixels: int,
        max_age_s: float,
    ) -> None:
        super().__init__(start_index, max_frames)
        spec = parse_pattern(source)
        if spec.width * spec.height > max_pixels:
            raise MediaError(
                f"{source} has {spec.width} x {spec.height} pixels, at most {max_pixels} are drawn; ask for less"
            )
        self._pattern = Pattern(spec)
        self._max_age_ns = round(max_age_s * 1e9)
        rate = Fraction(spec.fps).limit_denominator(1001)
        is_live = spec.frames is None if live is None else live
        if is_live:
            # There from the beginning, since other threads look at it.
            self.dropped[LATE] = 0
        self._info = SourceInfo(
            kind=SourceKind.TEST,
            width=spec.width,
            height=spec.height,
            fps=float(rate),
            frames=spec.frames,
            time_base=(rate.denominator, rate.numerator),
            codec="rgb24",
            live=is_live,
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self) -> Iterator[Picture]:
        index, frames = self._start_index, self.info.frames
        started_ns = time.monotonic_ns()
        while not self._stopping.is_set() and (frames is None or index < frames):
            if not self.info.live:
                yield self._picture(index, time.monotonic_ns(), None)
                index += 1
                continue
            due_ns = started_ns + self._ticks_ns(index - self._start_index)
            if self._stopping.wait(max(0.0, (due_ns - time.monotonic_ns()) / 1e9)):
                return
            if started_ns + self._ticks_ns(index + 1 - self._start_index) < time.monotonic_ns():
                # The next one is due as well: who looked away has missed this one.
                self.dropped[LATE] += 1
            else:
                yield self._picture(index, due_ns, due_ns + self._max_age_ns)
            index += 1

    def _ticks_ns(self, frames: int) -> int:
        numerator, denominator = self.info.time_base
        return frames * numerator * 1_000_000_000 // denominator

    def _picture(self, index: int, due_ns: int, good_until_ns: int | None) -> Picture:
        captured_ns = time.time_ns() - (time.monotonic_ns() - due_ns)
        return Picture(
            index=index,
            pts=index,
            time_base=self.info.time_base,
            captured_ns=captured_ns,
            captured_clock="arrival" if self.info.live else "reading",
            arrived_monotonic_ns=due_ns,
            good_until_monotonic_ns=good_until_ns,
            width=self.info.width,
            height=self.info.height,
            fill=partial(self._pattern.draw, index),
        )
