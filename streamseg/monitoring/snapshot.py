"""What is known of a run at one moment, and how the counts of processes become those of the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Literal

import msgspec

from streamseg.graph.plan import Plan
from streamseg.transport.control import Stats

VERSION = metadata.version("streamseg")
State = Literal["starting", "running", "stopping"]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment; nothing in it changes any more. Times in seconds are by the monotonic clock."""

    seen_s: float
    """When it was looked at."""
    began_s: float
    state: State
    nodes: dict[str, str]
    """Identity of every process -> name of its node, in the order of the graph."""
    sources: list[str]
    ready: frozenset[str]
    """Identities of the processes that are set up."""
    totals: dict[str, Stats]
    """Identity -> counts since the run began, those of processes that are gone included."""
    now: dict[str, Stats]
    """Identity -> what the process that has it now has said last."""
    moved_s: float
    """When a frame was last seen to move, or nothing had to."""
    out_s: dict[str, float]
    """Source -> when a frame of it last came out at the end, or it began."""
    restarts: int

    def in_flight(self, source: str) -> int:
        """Frames of a source that not every sink is done with."""
        stats = self.now.get(source)
        return 0 if stats is None else stats.entered - sum(stats.finished.values())

    def of_node(self, name: str) -> list[tuple[Stats, Stats]]:
        """`totals` and `now` of every process of a node."""
        found = [who for who, node in self.nodes.items() if node == name]
        return [(self.totals[who], self.now.get(who, Stats())) for who in found if who in self.totals]


def identities(plan: Plan) -> dict[str, str]:
    """Identity of every process -> name of its node, in the order of the graph."""
    workers = sorted(plan.workers(), key=lambda spec: (plan.order.index(spec.name), spec.replica))
    return {spec.identity: spec.name for spec in workers}


def added(before: Stats, now: Stats) -> Stats:
    """What a process has done and what the one before it had; what does not add up is that of the process."""
    return msgspec.structs.replace(
        now,
        frames=before.frames + now.frames,
        failed=before.failed + now.failed,
        dropped=before.dropped + now.dropped,
        passed=before.passed + now.passed,
        entered=before.entered + now.entered,
        busy_s=before.busy_s + now.busy_s,
        running_s=before.running_s + now.running_s,
        process_times=before.process_times.plus(now.process_times),
        ages=before.ages.plus(now.ages),
        latencies=before.latencies.plus(now.latencies),
        finished=_summed(before.finished, now.finished),
        dropped_by=_summed(before.dropped_by, now.dropped_by),
        counters=_summed(before.counters, now.counters),
    )


def _summed(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {**first, **second}}
