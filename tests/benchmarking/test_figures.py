"""Measuring in turns, and summing it up."""

from __future__ import annotations

import pytest

from streamseg.benchmarking.figures import figures, in_turns


def test_a_way_is_compared_with_the_first_round_by_round() -> None:
    one, two = figures({"one": [[10.0, 12.0, 11.0], [40.0]], "two": [[5.0, 5.5], [10.0]]}, "ms")
    assert (one.median, one.least, one.most, one.count) == (11.5, 10.0, 40.0, 4)
    assert one.rounds == [11.0, 40.0]
    assert one.beside is None
    assert one.ratio is None
    assert two.beside == "one"
    # 11 / 5.25 and 40 / 10: the slow round hits both.
    assert (two.ratio, two.ratio_least, two.ratio_most) == (3.048, 2.095, 4.0)


def test_of_rates_more_is_faster() -> None:
    _, two = figures({"one": [[20.0]], "two": [[30.0]]}, "frames/s", more_is_faster=True)
    assert two.ratio == 1.5


def test_nothing_measured_is_no_figure() -> None:
    assert figures({}, "ms") == []


@pytest.mark.parametrize("warm_up", [0, 2])
def test_ways_take_turns_and_the_warm_up_does_not_count(warm_up: int) -> None:
    called: list[str] = []
    ways = {"a": lambda: called.append("a"), "b": lambda: called.append("b")}
    found = in_turns(ways, rounds=2, calls=3, warm_up=warm_up)
    turn = 3 + warm_up
    assert called == (["a"] * turn + ["b"] * turn) * 2
    assert {name: [len(values) for values in rounds] for name, rounds in found.items()} == {"a": [3, 3], "b": [3, 3]}
    assert all(value >= 0 for rounds in found.values() for values in rounds for value in values)
