from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from streamseg.runtime import processes
from streamseg.runtime.processes import Child
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


def test_a_process_that_does_not_end_when_it_is_killed_is_given_up_stand_in_for_one_that_cannot_be(monkeypatch):
    """A process that waits for a broken device cannot be made in a test: here the kill does not reach it."""
    monkeypatch.setattr(processes, "_KILLED_WITHIN_S", 0.2)
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = object.__new__(Child)
    child._process, child.pid, child.identity, child._unending = sleeper, sleeper.pid, "sum", False
    monkeypatch.setattr(sleeper, "kill", lambda: None)
    assert child.alive and not child.failed
    child.kill()
    assert child.failed and not child.alive
    os.kill(sleeper.pid, 9)
    sleeper.communicate()
