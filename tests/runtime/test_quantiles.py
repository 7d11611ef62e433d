from __future__ import annotations

import random

import pytest

from streamseg.runtime.quantiles import Durations


def test_quantiles_are_right_within_a_percent():
    durations = Durations()
    values_ms = [random.Random(k).lognormvariate(1, 1) for k in range(5000)]
    for value in values_ms:
        durations.add(value * 1e6)
    values_ms.sort()
    for fraction in (0.5, 0.95, 0.99):
        exact = values_ms[int(fraction * len(values_ms)) - 1]
        assert durations.quantile_ms(fraction) == pytest.approx(exact, rel=0.02)


def test_no_durations_no_quantiles():
    assert Durations().summary() == {}


@pytest.mark.parametrize("duration_ns", [0, 1, 10**18])
def test_extreme_durations_are_kept(duration_ns):
    durations = Durations()
    durations.add(duration_ns)
    assert durations.count == 1
    assert durations.quantile_ms(0.5) > 0
