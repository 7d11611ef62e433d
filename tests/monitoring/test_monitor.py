"""What becomes of the figures of processes: sums that never fall, and whether the run is well."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.graphs import toy_graph

from streamseg.graph.plan import Plan
from streamseg.monitoring import health
from streamseg.monitoring.figures import figures
from streamseg.monitoring.monitor import Monitor
from streamseg.monitoring.snapshot import Snapshot
from streamseg.transport.control import Stats
from streamseg.transport.histogram import Histogram


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(toy_graph(tmp_path / "lines", replicas=2))


def times(count: int) -> Histogram:
    found = Histogram()
    for _ in range(count):
        found.add(4e6)
    return found


def node(pid: int, frames: int, **more: Any) -> Stats:
    return Stats(pid=pid, frames=frames, passed=frames, process_times=times(frames), **more)


EVERYBODY = ("count", "sum", "sum.2", "write")


def test_what_a_process_has_done_stays_when_another_takes_its_place(plan: Plan) -> None:
    monitor = Monitor(plan)
    monitor.look("running", {"sum": node(10, 5, failed=1, counters={"retries": 2})}, EVERYBODY)
    monitor.look("running", {"sum": node(10, 7, failed=1, counters={"retries": 2})}, EVERYBODY)
    total = monitor.snapshot.totals["sum"]
    assert (total.frames, total.failed, total.counters, total.process_times.count) == (7, 1, {"retries": 2}, 7)
    # It died: nothing is known of the new one for a while.
    monitor.look("running", {}, ("count",))
    assert monitor.snapshot.totals["sum"].frames == 7 and "sum" not in monitor.snapshot.now
    # The new one has done more than the old one before it is heard of: numbers of processes tell, not counts.
    monitor.look("running", {"sum": node(11, 9, counters={"retries": 1, "other": 4})}, EVERYBODY)
    monitor.look("running", {"sum": node(11, 10, counters={"retries": 1, "other": 4})}, EVERYBODY)
    total = monitor.snapshot.totals["sum"]
    assert (total.frames, total.failed, total.process_times.count) == (17, 1, 17)
    assert total.counters == {"retries": 3, "other": 4}


def test_only_what_goes_on_now_is_in_flight(plan: Plan) -> None:
    monitor = Monitor(plan)
    monitor.look("running", {"count": Stats(pid=1, entered=9, finished={"done": 4})}, EVERYBODY)
    assert monitor.snapshot.in_flight("count") == 5
    # All of the run was started again; what was in flight then is nowhere.
    monitor.look("starting", {}, ())
    assert monitor.snapshot.in_flight("count") == 0
    monitor.look("running", {"count": Stats(pid=2, entered=3, finished={"done": 2, "dropped": 1})}, EVERYBODY)
    assert monitor.snapshot.in_flight("count") == 0
    (stream,) = figures(monitor).streams
    assert (stream.frames_in, stream.frames_out, stream.dropped) == (12, 6, {"graph": 1})


def test_rates_are_those_of_the_last_seconds(plan: Plan) -> None:
    monitor = Monitor(plan)
    monitor.look("running", {"sum": node(1, 1000, busy_s=90, running_s=100)}, EVERYBODY)
    monitor.look("running", {"sum": node(1, 1050, busy_s=91, running_s=105)}, EVERYBODY)
    found = {each.name: each for each in figures(monitor).processes}
    assert list(found) == ["count", "sum", "sum.2", "write"]
    assert (found["sum"].fps, found["sum"].load) == (10.0, 0.2)
    assert found["sum"].p50_ms == pytest.approx(4, abs=1)
    assert (found["write"].fps, found["write"].p50_ms) == (0.0, None)


def well(plan: Plan, **changes: Any) -> Snapshot:
    """A run in which frames move."""
    monitor = Monitor(plan)
    source = Stats(pid=1, entered=5, finished={"done": 3}, **changes.pop("source", {}))
    monitor.look("running", {"count": source}, changes.pop("ready", EVERYBODY))
    return msgspec.structs.replace(monitor.snapshot, **changes)


def test_a_run_that_moves_is_well(plan: Plan) -> None:
    assert health.unhealthy(well(plan)) is None
    assert health.unready(well(plan)) is None


def test_a_run_is_not_ready_until_all_of_it_is(plan: Plan) -> None:
    fresh = Monitor(plan).snapshot
    assert health.unhealthy(fresh) is None
    assert health.unready(fresh) == "not set up yet: count, sum, sum.2, write"
    assert health.unready(well(plan, ready=("count", "write"))) == "not set up yet: sum, sum.2"
    assert health.unready(well(plan, state="stopping")) == "the run is stopping"


def test_a_live_source_needs_a_picture(plan: Plan) -> None:
    without = well(plan, now={"count": Stats(live=True)})
    assert (health.unhealthy(without), health.unready(without)) == (None, "count has had no picture yet")
    away = well(plan, source={"live": True, "away": "no answer from rtsp://me:secret@camera/1"})
    assert health.unhealthy(away) is None
    reason = health.unready(away)
    assert reason is not None and reason.startswith("count is away: no answer from rtsp://") and "secret" not in reason
    assert health.unready(well(plan, now={"count": Stats(live=True, ended=True)})) is None
    assert health.unready(well(plan, now={"count": Stats()})) is None
    assert health.unready(well(plan, source={"live": True})) is None


def test_nothing_that_moves_is_unhealthy_only_if_something_should(plan: Plan) -> None:
    long_ago = time.monotonic() - 60
    reason = health.unhealthy(well(plan, moved_s=long_ago))
    assert reason == "nothing has moved for 60 s although 2 frames are in flight"
    assert health.unready(well(plan, moved_s=long_ago)) == reason
    # One process is being replaced, which takes its time.
    assert health.unhealthy(well(plan, moved_s=long_ago, ready=frozenset(["count"]))) is None
    assert health.unhealthy(well(plan, moved_s=long_ago, now={"count": Stats(entered=3, finished={"done": 3})})) is None


def test_waiting_and_working_count_as_moving(plan: Plan) -> None:
    monitor = Monitor(plan)
    stats = {"count": Stats(pid=1, entered=2)}
    monitor.look("running", stats, EVERYBODY)
    moved_s = monitor.snapshot.moved_s
    monitor.look("running", stats, EVERYBODY)
    assert monitor.snapshot.moved_s == moved_s
    monitor.look("running", stats, EVERYBODY, working=True)
    assert monitor.snapshot.moved_s > moved_s


def test_a_supervisor_that_looks_no_more_is_unhealthy(plan: Plan) -> None:
    reason = health.unhealthy(well(plan, seen_s=time.monotonic() - 60))
    assert reason == "the supervisor has said nothing for 60 s"
