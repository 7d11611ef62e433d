"""When the data of a packet came, which may be long before the packet comes out of the demuxer."""

from __future__ import annotations

_STALL_S = 0.3
"""A longer wait for a packet may have kept back one that had come before."""
_LONGEST_STEP_S = 10.0
_LOOK_AGAIN_S = 0.25
_CATCHES_UP = 0.1
"""Seconds a second by which a source that was held up must catch up, or what it sends is taken for new."""


class ArrivalClock:
    """How old each packet is when it comes out of the demuxer, told from the source's own clock.

    Demuxers hold a packet back until the next one begins, networks and servers hold back everything for a while, and
    what was read to find out about a stream waits until it is open. In all these cases packets then come faster than
    their times are apart, until the source has caught up. A source whose clock does not fit the pace at which it sends
    never catches up, and is believed to send what is new.

    Args:
        opening_s: how long it took to open the source; the first packets may be that old.
        now_s: by the monotonic clock.
    """

    def __init__(self, opening_s: float, now_s: float) -> None:
        self._behind_s = opening_s
        self._last_s = now_s
        self._last_time_s: float | None = None
        self._stalled = False
        self._marked = (now_s, opening_s)

    def age_s(self, time_s: float | None, now_s: float) -> float:
        """The age in seconds of the packet that came out just now.

        Args:
            time_s: by the source's clock, growing from packet to packet; None if it has none.
            now_s: by the monotonic clock.
        """
        gap_s = now_s - self._last_s
        step_s = None if time_s is None or self._last_time_s is None else time_s - self._last_time_s
        first = self._last_time_s is None
        self._last_s = now_s
        self._last_time_s = time_s
        if step_s is None or not 0 <= step_s <= _LONGEST_STEP_S:
            # Who has to be waited for has nothing left that is old; before the first packet there is no telling.
            self._behind_s = self._behind_s if gap_s < _CATCHES_UP or (first and time_s is not None) else 0.0
            return self._behind_s
        stalled, self._stalled = self._stalled, gap_s > _STALL_S
        if self._stalled and stalled:
            self._behind_s = 0.0
        elif self._stalled and step_s < gap_s:
            self._behind_s += gap_s - step_s
            self._marked = (now_s, self._behind_s)
        else:
            self._behind_s = max(0.0, self._behind_s - max(0.0, step_s - gap_s))
            self._give_up(now_s)
        return self._behind_s

    def _give_up(self, now_s: float) -> None:
        marked_s, behind_s = self._marked
        passed_s = now_s - marked_s
        if passed_s >= _LOOK_AGAIN_S:
            if behind_s - self._behind_s < _CATCHES_UP * passed_s:
                self._behind_s = 0.0
            self._marked = (now_s, self._behind_s)
