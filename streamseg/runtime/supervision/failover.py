"""Putting another process in the place of one that died in a live graph, while the rest goes on.

dead ──▶ asked: sources say which frames are in flight ──▶ started: the new one is set up ──▶ sources give those up

Frames in flight come once more as gaps. Whoever had one takes no notice and passes the gap on; who did not takes it as
a gap. So no sequence has a hole, every ticket comes back, and what was lost is counted as dropped.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

import msgspec

from streamseg.graph.plan import Plan
from streamseg.jobs import NO_TRACKER, Job, Position
from streamseg.runtime.supervision.recovery import Restarts, can_replace
from streamseg.transport.control import InFlight, TrackerAt


class Failover:
    """Which processes of a live graph are being replaced, and how far that is.

    Args:
        plan: of the graph.
        job: what the run is a part of; without one nothing is replaced.
    """

    def __init__(self, plan: Plan, job: Job | None) -> None:
        self._plan = plan
        self._job = job
        self._limit = Restarts(plan.graph.recovery)
        self._replicas = {spec.identity for spec in plan.workers() if plan.graph.nodes[spec.name].replicas > 1}
        self._in_flight: dict[str, InFlight] = {}
        self._start_after_s: float | None = None
        self.trackers: dict[str, TrackerAt] = {}
        """Stream -> state of the tracker that a sink saw last."""
        self.replacing: set[str] = set()
        """Processes that are being replaced."""
        self.count = 0
        """How often processes have been replaced."""

    def possible(self, dead: Collection[str]) -> bool:
        """Whether these can be replaced. A source cannot: it has the books of what is in flight."""
        sources = set(self._plan.sources)
        return self._job is not None and can_replace(self._plan) and not sources & set(dead) and self._limit.left

    def begin(self, dead: Collection[str]) -> set[str]:
        """Note that processes have died. Returns all that are to be replaced.

        Copies of a node are replaced with them: a gap must not overtake the frame that another copy still writes.
        """
        self.replacing |= set(dead) | self._replicas
        self.count += 1
        self._in_flight.clear()
        self._start_after_s = time.monotonic() + self._limit.backoff_s()
        return self.replacing

    def note_position(self, source: str, place: InFlight) -> None:
        """A source has said what is in flight."""
        self._in_flight[source] = place

    def job_to_start(self) -> Job | None:
        """How the new processes begin, once, when it is time to start them."""
        waiting = self._start_after_s is None or time.monotonic() < self._start_after_s
        if waiting or self._job is None or not self._in_flight.keys() >= set(self._plan.sources):
            return None
        self._start_after_s = None
        positions = {
            stream: Position(seq=place.first_seq, next_index=place.index, tracker=self._tracker(stream, None))
            for stream, place in self._in_flight.items()
        }
        return msgspec.structs.replace(self._job, positions=positions, begun=True)

    def complete(self, ready: Collection[str]) -> bool:
        """Whether all new processes are set up; says so once."""
        if not self.replacing or self._start_after_s is not None or not self.replacing <= set(ready):
            return False
        self.replacing.clear()
        return True

    def seen_frames(self) -> dict[str, int]:
        """Stream -> number of the last frame that is in the state which a new process begins with."""
        before = {} if self._job is None else {s: place.next_index - 1 for s, place in self._job.positions.items()}
        return before | {stream: tracker.index for stream, tracker in self.trackers.items()}

    def _tracker(self, stream: str, before: Position | None) -> bytes:
        if stream in self.trackers:
            return self.trackers[stream].state
        return NO_TRACKER if before is None else before.tracker

    def positions(self, entered: Mapping[str, int], dropped: Mapping[str, int]) -> dict[str, Position]:
        """How far each stream had come, by the last figures of its source."""
        found = {}
        for stream, count in entered.items():
            before = self._job.positions.get(stream) if self._job is not None else None
            seq = count + (0 if before is None else before.seq)
            index = count + dropped.get(stream, 0) + (0 if before is None else before.next_index)
            tracker = self._tracker(stream, before)
            found[stream] = Position(seq=seq, next_index=index, tracker=tracker)
        return found
