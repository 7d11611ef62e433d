"""Pictures that come in segments are given one by one, at their own pace."""

from __future__ import annotations

import itertools

import pytest

from streamseg.video.live.pace import BurstPace

RATE = 25


def planned(pace: BurstPace, segments: list[tuple[float, float]], first_s: float = 0.0) -> list[tuple[float, float]]:
    """(when it came, when it is due) of every packet of segments given as (when it comes, length in seconds)."""
    found = []
    number = 0
    for came_s, length_s in segments:
        for at in range(round(length_s * RATE)):
            came = came_s + at * 1e-4
            found.append((came, pace.due_s(first_s + number / RATE, came)))
            number += 1
    return found


def steps_s(found: list[tuple[float, float]]) -> list[float]:
    return [later - earlier for (_, earlier), (_, later) in itertools.pairwise(found)]


def waits_s(found: list[tuple[float, float]]) -> list[float]:
    return [due - came for came, due in found]


@pytest.mark.parametrize("length_s", [1.0, 2.0, 10.0])
def test_segments_that_come_in_time_are_given_without_a_break(length_s: float) -> None:
    found = planned(BurstPace(), [(100 + n * length_s, length_s) for n in range(12)], first_s=7000.0)
    assert steps_s(found) == pytest.approx([1 / RATE] * (len(found) - 1), abs=2e-3)
    assert found[0][1] == found[0][0] and max(waits_s(found)) < length_s + 0.2


def test_after_some_segments_there_is_enough_in_hand_for_those_that_come_late() -> None:
    late_s = [0.0, 0.7, 0.1, 0.9, 0.3, 0.0, 0.8]
    found = planned(BurstPace(), [(n * 2.0 + late_s[n % 7], 2.0) for n in range(40)])
    rest = steps_s(found)[500:]
    assert max(rest) < 0.5 and sum(step > 0.06 for step in rest) <= 4
    assert min(rest) >= 1 / RATE / 2 - 1e-6
    assert max(waits_s(found)) < 2.0 + 2 * max(late_s)


def test_what_has_piled_up_while_nothing_came_is_given_faster_until_it_is_as_before() -> None:
    usual = [(n * 2.0, 2.0) for n in range(10)]
    # Eight seconds of nothing, then four segments at once, then one every two seconds.
    rush = [(28.0 + n * 0.05, 2.0) for n in range(4)] + [(28.0 + n * 2.0, 2.0) for n in range(1, 20)]
    found = planned(BurstPace(), usual + rush)
    assert waits_s(found)[-1] < 2.5
    # Nothing is left out, and nothing comes faster than twice its pace, not even then.
    assert min(steps_s(found)[501:]) >= 1 / RATE / 2 - 1e-6
    assert all(due >= came for came, due in found)


def test_a_clock_that_jumps_or_is_missing_is_not_waited_for() -> None:
    pace = BurstPace()
    times_s: list[float | None] = [10.0, 10.04, 50_000.0, 50_000.04, 3.0, None, 3.04]
    dues_s = [pace.due_s(time_s, 1.0) for time_s in times_s]
    assert dues_s == sorted(dues_s) and dues_s[-1] <= 1.0 + 4 / RATE
