"""Quantiles of durations in constant memory."""

from __future__ import annotations

import math

from streamseg.transport.histogram import Histogram

_STEP = math.log(1.02)
_SMALLEST_MS = 0.001
_BUCKETS = 1200


class Durations:
    """A histogram with buckets 2 % apart, from a microsecond to hours: quantiles within 1 %."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self._coarse = Histogram()

    def add(self, duration_ns: float) -> None:
        """Enter one duration."""
        duration_ms = max(duration_ns / 1e6, _SMALLEST_MS)
        bucket = int(math.log(duration_ms / _SMALLEST_MS) / _STEP)
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.count += 1
        self._coarse.add(duration_ns)

    @property
    def histogram(self) -> Histogram:
        """The same in the buckets that all histograms share."""
        return self._coarse.copy()

    def quantile_ms(self, fraction: float) -> float:
        """The duration below which that fraction lies, in milliseconds; 0 if there are none."""
        target = fraction * self.count
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= target:
                return _SMALLEST_MS * math.exp((bucket + 0.5) * _STEP)
        return 0.0

    def summary(self) -> dict[str, float]:
        """p50, p95 and p99 in milliseconds; empty if nothing was entered."""
        if not self.count:
            return {}
        return {name: round(self.quantile_ms(f), 3) for name, f in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
