"""Measuring in turns, and what is told of what was measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamseg.benchmarking.report import percentile, ratios

Rounds = Sequence[Sequence[float]]
"""The values of each round."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one thing, over all rounds."""

    name: str
    unit: str
    """``ms`` or ``frames/s``."""
    median: float
    least: float
    most: float
    p95: float
    count: int
    """How many values that is."""
    rounds: list[float]
    """The median of each round."""
    beside: str | None = None
    """The name of what took turns with it; None for that itself."""
    ratio: float | None = None
    """How many times as fast as that: the median of the ratios round by round."""
    ratio_least: float | None = None
    ratio_most: float | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one target of ``streamseg bench``."""

    benchmark: str
    settings: dict[str, Any]
    figures: list[Figure]
    facts: dict[str, Any] = {}
    """What else there is to say, such as frames that were lost."""


def figures(found: Mapping[str, Rounds], unit: str, *, more_is_faster: bool = False) -> list[Figure]:
    """Sum up ways that took turns; every way but the first one is compared with the first, round by round.

    Args:
        found: name of a way -> its values in each round, none of them empty, as many rounds for each.
        unit: of the values.
        more_is_faster: whether a larger value is better, as with frames/s.
    """
    told = []
    first = next(iter(found), None)
    medians = {name: [statistics.median(values) for values in rounds] for name, rounds in found.items()}
    for name, rounds in found.items():
        values = [value for each in rounds for value in each]
        compared: dict[str, Any] = {}
        if first is not None and name != first:
            faster, slower = (medians[name], medians[first])[:: 1 if more_is_faster else -1]
            ratio, least, most = ratios(faster, slower)
            compared = {
                "beside": first,
                "ratio": round(ratio, 3),
                "ratio_least": round(least, 3),
                "ratio_most": round(most, 3),
            }
        told.append(
            Figure(
                name=name,
                unit=unit,
                median=round(statistics.median(values), 3),
                least=round(min(values), 3),
                most=round(max(values), 3),
                p95=round(percentile(values, 95), 3),
                count=len(values),
                rounds=[round(value, 3) for value in medians[name]],
                **compared,
            )
        )
    return told


def in_turns(
    ways: Mapping[str, Callable[[], object]], *, rounds: int, calls: int, warm_up: int
) -> dict[str, list[list[float]]]:
    """Milliseconds of each call of each way: `calls` in a row, then the next way, and all of it `rounds` times.

    Before its calls in a round a way is called `warm_up` times, which are not counted: the caches hold what the way
    before it needed.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            for _ in range(warm_up):
                work()
            found[name].append([_timed_ms(work) for _ in range(calls)])
    return found


def _timed_ms(work: Callable[[], object]) -> float:
    started_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - started_ns) / 1e6
