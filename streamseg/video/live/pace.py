"""When the pictures of a stream that comes in bursts are due: at their own pace, as soon as that goes without gaps."""

from __future__ import annotations

from collections import deque

_NEW_BURST_S = 0.25
"""What comes after a longer wait begins a burst."""
_LONGEST_BURST_S = 2.0
"""What comes without a break is looked at as bursts of this length."""
_BURSTS = 6
_FEW = 3
_MARGIN_S = 0.1
_TOP_SPEED = 2.0
_CATCH_UP_S = 2.0
"""With so much more to give than is needed, pictures are given at top speed."""
_LONGEST_STEP_S = 10.0


class BurstPace:
    """Plans each packet when it comes.

    The first one is due at once and the others as their times say. One that comes later than it was due moves all that
    follow, so after some bursts there is enough in hand for the slowest of them. If more is in hand than the last
    bursts needed, as after a loss of the network, the next ones are due faster, up to twice as fast.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._came_s = 0.0
        self._began_s = 0.0
        self._rate = 1.0
        self._in_hand_s: deque[float] = deque(maxlen=_BURSTS)

    def due_s(self, time_s: float | None, now_s: float) -> float:
        """When a packet is due; never before one that came earlier.

        Args:
            time_s: by the source's clock; None if it has none.
            now_s: when it came, by the monotonic clock, which the result is by, too.
        """
        due_s = now_s if self._last is None else max(now_s, self._last[1])
        if time_s is not None and self._last is not None and 0 <= time_s - self._last[0] <= _LONGEST_STEP_S:
            due_s = self._planned(time_s - self._last[0], self._last[1], now_s)
        self._came_s = now_s
        if time_s is not None:
            self._last = (time_s, due_s)
        return due_s

    def _planned(self, step_s: float, last_due_s: float, now_s: float) -> float:
        in_hand_s = last_due_s + step_s / self._rate - now_s
        if in_hand_s < 0:
            self._in_hand_s.clear()
            self._rate, self._began_s = 1.0, now_s
            return now_s
        if now_s - self._came_s > _NEW_BURST_S or now_s - self._began_s > _LONGEST_BURST_S:
            self._in_hand_s.append(in_hand_s)
            # Of a few bursts it is not known yet how late they may come.
            few = len(self._in_hand_s) < _FEW
            needed_s = _MARGIN_S + (now_s - self._began_s if few else 0.0)
            spare_s = min(self._in_hand_s) - needed_s
            self._rate = 1.0 + (_TOP_SPEED - 1.0) * min(max(spare_s / _CATCH_UP_S, 0.0), 1.0)
            self._began_s = now_s
        return last_due_s + step_s / self._rate
