"""How many durations fell into which bucket: a few numbers that can be added up, and compared with those of before."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

BOUNDS_MS = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000, 10000)
"""Upper bounds of the buckets, each within its bucket; one more bucket has all that is longer."""


class Histogram(msgspec.Struct):
    """Durations, counted in buckets that are the same for all."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum_ms: float = 0.0

    def add(self, duration_ns: float) -> None:
        """Enter one duration; one below 0 counts as 0."""
        duration_ms = max(0.0, duration_ns / 1e6)
        self.counts[bisect_left(BOUNDS_MS, duration_ms)] += 1
        self.sum_ms += duration_ms

    @property
    def count(self) -> int:
        """How many were entered."""
        return sum(self.counts)

    def copy(self) -> Histogram:
        """The same, which stays as it is."""
        return Histogram(list(self.counts), round(self.sum_ms, 3))

    def plus(self, other: Histogram) -> Histogram:
        """Both together."""
        pairs = zip(self.counts, other.counts, strict=True)
        return Histogram([mine + its for mine, its in pairs], self.sum_ms + other.sum_ms)

    def since(self, before: Histogram) -> Histogram:
        """What was entered after `before`, which is an earlier copy of the same."""
        pairs = zip(self.counts, before.counts, strict=True)
        return Histogram([max(0, now - then) for now, then in pairs], max(0.0, self.sum_ms - before.sum_ms))

    def quantile_ms(self, fraction: float) -> float | None:
        """The duration below which that fraction lies, as if all of a bucket were spread evenly over it; None if empty.

        Those above the last bound count as that bound.
        """
        target = fraction * self.count
        if not target:
            return None
        seen, lower_ms = 0, 0.0
        for count, upper_ms in zip(self.counts, BOUNDS_MS, strict=False):
            if seen + count >= target:
                return lower_ms + (upper_ms - lower_ms) * (target - seen) / count
            seen, lower_ms = seen + count, upper_ms
        return float(BOUNDS_MS[-1])
