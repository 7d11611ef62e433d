"""One growing presentation time out of clocks that jump, stand still or start again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from streamseg.video.decode import Timing

_JUMP_S = 1.0
"""A live source's clock that gains or loses more than this from one frame to the next has jumped."""


@dataclass(frozen=True)
class _Moved:
    """When a source's clock last moved on."""

    own: int
    placed: int
    timing: Timing


class Timeline:
    """Presentation times of a live source, in one time base, out of connections that each have a clock of their own.

    Where a clock starts again, jumps or stands still, the time that went by at our end is put in between.

    Args:
        time_base: of the times it gives, in seconds.
        jump_s: how far the source's clock may be from ours, from one frame to the next.
    """

    def __init__(self, time_base: Fraction, jump_s: float = _JUMP_S) -> None:
        self._time_base = time_base
        self._jump = round(jump_s / time_base)
        self._offset = 0
        self._first_ns: int | None = None
        self._last = 0  # the last frame's time as given
        self._moved: _Moved | None = None
        self._interrupted = False
        self.jumps = 0
        """How often the clock of one connection jumped."""

    def interrupt(self) -> None:
        """The next frame comes from a new connection."""
        self._interrupted = True

    def place(self, timing: Timing) -> int:
        """The frame's time in units of the time base; larger than that of every frame before."""
        if self._first_ns is None:
            self._first_ns = timing.received_ns
        own = self._ticks(timing.received_ns - self._first_ns)
        if timing.pts is not None:
            own = round(timing.pts * timing.time_base / self._time_base)
        placed = own if self._moved is None else self._follow(own, timing, self._moved)
        if self._moved is None or own != self._moved.own:
            self._moved = _Moved(own, placed, timing)
        self._interrupted = False
        self._last = placed
        return placed

    def _follow(self, own: int, timing: Timing, moved: _Moved) -> int:
        """The time of a frame that is not the first; where the source's clock is not to be believed, it is moved."""
        passed = self._passed(moved.timing, timing)
        jumped = own < moved.own or all(abs(own - moved.own - each) > self._jump for each in passed)
        if self._interrupted or jumped:
            self._offset = max(self._last + 1, moved.placed + passed[0]) - own
            self.jumps += not self._interrupted
            self._moved = None
        return max(own + self._offset, self._last + 1)

    def _passed(self, then: Timing, now: Timing) -> tuple[int, ...]:
        """How much time went by at our end, by all that may be said of it."""
        received = self._ticks(now.ages_from_ns - then.ages_from_ns)
        if then.demuxed_ns is None or now.demuxed_ns is None:
            return (received,)
        return received, self._ticks(now.demuxed_ns - then.demuxed_ns)

    def _ticks(self, duration_ns: int) -> int:
        return round(Fraction(duration_ns, 10**9) / self._time_base)


class FileTimeline:
    """Presentation times of a file, as they are, as long as they grow.

    Where they go back, as in transport streams that were put one behind the other, the frame comes as long after the
    one before as that one came after its own; all later ones are moved by as much. A time that comes twice is
    moved by one unit.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._own: int | None = None
        self._placed: int | None = None
        self._step = 1
        self.jumps = 0
        """How often the times went back."""

    def place(self, pts: int | None) -> int | None:
        """The frame's time in units of the file's time base; None if it has none."""
        if pts is None:
            return None
        if self._own is not None and self._placed is not None:
            if pts < self._own:
                self._offset = self._placed + self._step - pts
                self.jumps += 1
            elif pts > self._own:
                self._step = pts - self._own
            placed = max(pts + self._offset, self._placed + 1)
        else:
            placed = pts
        self._own, self._placed = pts, placed
        return placed
