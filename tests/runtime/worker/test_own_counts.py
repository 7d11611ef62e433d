"""What nodes and sources count of their own, on its way to whoever watches."""

from __future__ import annotations

import os
from typing import Any

import pytest

from streamseg.messages import Frame
from streamseg.node import Node, Source
from streamseg.runtime.worker.own_counts import OwnCounts
from streamseg.transport.control import Stats


class Counting(Node[Frame, Frame]):
    given: Any = {"retries": 3}

    def counters(self) -> Any:
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given


class Dropping(Source[Frame]):
    dropped = 9
    dropped_by = {"late": 2, "refused": 4}


def test_counts_of_a_node_travel_with_its_figures() -> None:
    found = OwnCounts(Counting()).added_to(Stats(frames=7))
    assert (found.frames, found.counters, found.dropped_by, found.pid) == (7, {"retries": 3}, {}, os.getpid())


@pytest.mark.parametrize("bad", [ValueError("no luck"), {"retries": "many"}, {3: 4}, None, SystemExit(2)])
def test_a_node_that_cannot_count_costs_its_counts_only(bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    node = Counting()
    node.given = bad
    counts = OwnCounts(node)
    for _ in range(3):
        assert counts.added_to(Stats(frames=7)).counters == {}
    assert caplog.text.count("counters are left out from now on") == 1


def test_drops_have_a_reason_each_and_none_is_missing() -> None:
    # Two were dropped on this side of the source, and three the source says nothing about.
    stats = Stats(dropped=11, dropped_by={"replaced": 1, "late": 1})
    assert OwnCounts(Dropping()).added_to(stats).dropped_by == {"replaced": 1, "late": 3, "refused": 4, "other": 3}
    stats = Stats(dropped=8, dropped_by={"replaced": 1, "late": 1})
    assert OwnCounts(Dropping()).added_to(stats).dropped_by == {"replaced": 1, "late": 3, "refused": 4}
