"""Pacing, first in a world of its own: a camera, nodes in a row, and a clock that goes as fast as it is counted."""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import yaml
from support.graphs import wait_until
from support.media import moving_images, write_video
from support.storm import chained_graph

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.runtime.worker.pacing import NodeClock, Pacing
from streamseg.transport.tickets import Begun

MS = 1_000_000
TICKETS = 6
CAMERA_MS = 33.3


@dataclass
class World:
    """Frames of a camera go through nodes, which take `work_ms` for each, and then to a sink.

    A frame has number, time of arrival at the source; the newest is taken. With `pacing` None a ticket is enough.
    """

    work_ms: Sequence[Callable[[], float]]
    pacing: Pacing | None
    camera_ms: float = CAMERA_MS
    sink_ms: float = 1.0
    latencies_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> World:
        count = len(self.work_ms)
        order = itertools.count()
        events: list[tuple[int, int, Callable[[int], None]]] = []
        self.free_ns = [0] * (count + 1)
        self.queues: list[list[tuple[int, int, int]]] = [[] for _ in range(count + 1)]
        self.working = [False] * (count + 1)
        tickets, newest = list(range(TICKETS)), None

        def at(time_ns: int, do: Callable[[int], None]) -> None:
            heapq.heappush(events, (time_ns, next(order), do))

        def shoot(now_ns: int) -> None:
            nonlocal newest
            newest = now_ns
            at(now_ns + round(self.camera_ms * MS), shoot)
            look(now_ns)

        def look(now_ns: int) -> None:
            nonlocal newest
            if newest is None or not tickets:
                return
            wait_ns = 0 if self.pacing is None else self.pacing.wait_ns(now_ns)
            if wait_ns is None:
                return
            if wait_ns:
                at(now_ns + wait_ns, look)
                return
            ticket, arrived_ns, newest = tickets.pop(0), newest, None
            if self.pacing is not None:
                self.pacing.enter(ticket)
            at(now_ns + 3 * MS, lambda then_ns: queue(then_ns, 0, ticket, arrived_ns))

        def queue(now_ns: int, node: int, ticket: int, arrived_ns: int) -> None:
            self.queues[node].append((ticket, arrived_ns, now_ns))
            begin(now_ns, node)

        def begin(now_ns: int, node: int) -> None:
            if self.working[node] or not self.queues[node]:
                return
            ticket, arrived_ns, sent_ns = self.queues[node].pop(0)
            self.working[node] = True
            slack_ns = self.free_ns[node] - sent_ns
            if node < count:
                self.waited_ms.append(max(0, slack_ns) / MS)
                if self.pacing is not None:
                    self.pacing.begin(Begun(f"n{node}", ticket, 1, slack_ns), now_ns)
            took_ms = self.work_ms[node]() if node < count else self.sink_ms
            at(now_ns + round(took_ms * MS), lambda then_ns: end(then_ns, node, ticket, arrived_ns))
            look(now_ns)

        def end(now_ns: int, node: int, ticket: int, arrived_ns: int) -> None:
            self.working[node], self.free_ns[node] = False, now_ns
            if node < count:
                queue(now_ns, node + 1, ticket, arrived_ns)
            else:
                self.latencies_ms.append((now_ns - arrived_ns) / MS)
                tickets.append(ticket)
                if self.pacing is not None:
                    self.pacing.leave(ticket, now_ns)
                look(now_ns)
            begin(now_ns, node)

        at(0, shoot)
        while events[0][0] < seconds * 1e9:
            now_ns, _, do = heapq.heappop(events)
            do(now_ns)
        return self

    @property
    def settled_ms(self) -> float:
        """Median latency, without the first tenth."""
        return statistics.median(self.latencies_ms[len(self.latencies_ms) // 10 :])


def _steady(ms: float) -> Callable[[], float]:
    return lambda: ms


def _uneven(ms: float, spread: float, seed: int) -> Callable[[], float]:
    random = np.random.default_rng(seed)
    return lambda: float(ms * max(0.3, 1 + spread * random.standard_normal()))


def _pacing(count: int, *, alone: bool = True) -> Pacing:
    return Pacing([f"n{number}" for number in range(count)], TICKETS, alone=alone)


@pytest.mark.parametrize(
    "work_ms",
    [(45, 4), (20, 45, 4), (4, 20, 60), (30, 30, 30), (70,), (28, 28, 28, 28), (120, 100, 5)],
    ids=str,
)
def test_an_overloaded_graph_stays_busy_and_nothing_waits_in_it(work_ms):
    ways = [World([_steady(ms) for ms in work_ms], pacing).run(60) for pacing in (None, _pacing(len(work_ms)))]
    free, paced = ways
    assert len(paced.latencies_ms) >= 0.97 * len(free.latencies_ms)
    # The age of the newest picture, its way through the nodes, the sink, and little else.
    assert paced.settled_ms <= CAMERA_MS / 2 + 3 + sum(work_ms) + 1 + 5


@pytest.mark.parametrize("work_ms", [(45, 4), (25, 45, 4), (4, 45, 20)], ids=str)
def test_uneven_work_costs_few_frames(work_ms):
    def nodes() -> list[Callable[[], float]]:
        return [_uneven(ms, 0.2, seed) for seed, ms in enumerate(work_ms)]

    free, paced = (World(nodes(), pacing).run(120) for pacing in (None, _pacing(len(work_ms))))
    assert len(paced.latencies_ms) >= 0.97 * len(free.latencies_ms)
    assert paced.settled_ms <= 0.6 * free.settled_ms


def test_a_graph_that_keeps_up_gets_every_frame_at_once():
    for work_ms in ([20, 10, 4], [29, 5], [8, 31]):
        free, paced = (World([_uneven(ms, 0.1, 1) for ms in work_ms], p).run(60) for p in (None, _pacing(len(work_ms))))
        assert len(paced.latencies_ms) >= len(free.latencies_ms) - 3
        assert paced.settled_ms <= free.settled_ms + 1


def test_a_node_that_gets_slower_and_quicker_is_followed():
    # Half a second of each, at most: 30 frames of 20 ms, then 10 of 60 ms.
    turns = itertools.cycle([20.0] * 30 + [60.0] * 10)
    free, paced = (World([lambda: next(turns), _steady(5)], pacing).run(60) for pacing in (None, _pacing(2)))
    # With six frames waiting, slow moments would be made up for; those frames would be old ones.
    assert len(paced.latencies_ms) >= 0.9 * len(free.latencies_ms)
    assert max(paced.latencies_ms) < 0.7 * max(free.latencies_ms)


def test_what_waits_for_a_sink_holds_nobody_up():
    free, paced = (World([_steady(10), _steady(5)], pacing, sink_ms=50).run(30) for pacing in (None, _pacing(2)))
    assert len(paced.latencies_ms) >= len(free.latencies_ms) - 3


def test_sources_that_share_nodes_have_two_frames_each_on_the_way():
    pacing = _pacing(1, alone=False)
    World([_steady(60)], pacing).run(20)
    assert (pacing.window, pacing.delay_ns) == (2, 0)


def test_nodes_that_take_batches_get_what_there_are_tickets_for():
    pacing = _pacing(1)
    pacing.enter(0)
    pacing.begin(Begun("n0", 0, 1, 0, True), 0)
    for ticket in range(1, 5):
        assert pacing.wait_ns(0) == 0
        pacing.enter(ticket)


def test_a_frame_that_a_node_never_had_is_waited_for_until_its_journey_has_ended():
    pacing = Pacing(["n0"], TICKETS, alone=False)
    for ticket in range(2):
        assert pacing.wait_ns(0) == 0
        pacing.enter(ticket)
    assert pacing.wait_ns(0) is None
    pacing.leave(0, 5)
    assert pacing.wait_ns(5) == 0
    # What is said of frames that are over, or by nodes that nobody knows, changes nothing.
    pacing.begin(Begun("n0", 0, 1, 3), 6)
    pacing.begin(Begun("stranger", 1, 1, 3), 6)
    pacing.enter(2)
    assert pacing.wait_ns(7) is None


def test_the_clock_of_a_node_says_who_waited_for_whom():
    clock = NodeClock()
    clock.sent("s", 0, 10)
    clock.sent("s", 1, 1 << 62)
    clock.sent("s", 2, None)
    assert clock.slack_ns("s", 0) > 0 > clock.slack_ns("s", 1)
    assert clock.slack_ns("s", 2) is None
    assert clock.slack_ns("s", 0) is None


def test_a_node_that_works_ahead_waits_for_nobody():
    clock = NodeClock()
    clock.sent("s", 0, 10)
    clock.sent("s", 1, 10)
    clock.begun_early("s", 0)
    clock.free()
    assert clock.slack_ns("s", 0) < clock.slack_ns("s", 1)
    clock.sent("s", 2, None)
    clock.begun_early("s", 2)
    assert clock.slack_ns("s", 2) is None


@pytest.mark.alone
def test_frames_of_a_live_graph_that_cannot_keep_up_do_not_wait_in_it(tmp_path):
    film = write_video(tmp_path / "film.mp4", moving_images(400), rate=40)
    # At 10 of 40 frames a second six frames in flight would be 600 ms old.
    plain = yaml.safe_load(chained_graph(tmp_path, film, tmp_path / "out", sleep_s=0.1).read_text())
    plain["nodes"]["decode"]["options"]["live"] = True
    with Supervisor(Plan(config.parse({**plain, "tickets": 6}))) as supervisor:
        assert wait_until(lambda: supervisor.pump(20) or supervisor.state == "finished", 60)
        supervisor.raise_error()
        stats = supervisor.stats
    assert stats["decode"].dropped > 100
    assert stats["decode"].latency_ms["p50"] < 400
