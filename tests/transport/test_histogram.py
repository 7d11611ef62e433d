from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streamseg.transport.histogram import BOUNDS_MS, Histogram


def filled(*durations_ms: float) -> Histogram:
    found = Histogram()
    for duration_ms in durations_ms:
        found.add(duration_ms * 1e6)
    return found


def test_a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    found = filled(*BOUNDS_MS, BOUNDS_MS[-1] + 1, 0, -3)
    # Each bound is in its own bucket; 0 and what is below it are with the shortest.
    assert found.counts == [3] + [1] * len(BOUNDS_MS)
    assert found.count == len(BOUNDS_MS) + 3
    assert found.sum_ms == pytest.approx(sum(BOUNDS_MS) + BOUNDS_MS[-1] + 1)


def test_sums_and_differences() -> None:
    first, second = filled(1, 20, 20), filled(4)
    both = first.plus(second)
    assert both == filled(1, 20, 20, 4)
    assert both.since(first) == second
    kept = first.copy()
    first.add(5e6)
    assert kept.count == 3 and first.count == 4


def test_quantiles_are_within_their_bucket() -> None:
    times_ms = np.random.default_rng(1).gamma(2, 20, 5000)
    found = filled(*times_ms)
    for fraction in (0.1, 0.5, 0.95, 0.99):
        true = float(np.quantile(times_ms, fraction))
        upper = min(bound for bound in BOUNDS_MS if bound >= true)
        lower = max([0, *(bound for bound in BOUNDS_MS if bound < true)])
        estimate = found.quantile_ms(fraction)
        assert estimate is not None and lower <= estimate <= upper
    assert Histogram().quantile_ms(0.5) is None
    assert filled(99_999).quantile_ms(0.5) == BOUNDS_MS[-1]


def test_it_travels() -> None:
    found = filled(1, 2, 300)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Histogram) == found
