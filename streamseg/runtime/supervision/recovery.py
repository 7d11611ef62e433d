"""Going on with a job: where the next run of a graph begins, and whether it can be started again at all."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from streamseg.graph.config import Recovery
from streamseg.graph.plan import CALLER, Plan
from streamseg.jobs import Job, Left, Position
from streamseg.node import Node

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 10.0


class Restarts:
    """How often a job may still be started again.

    It ends after so many starts within a window of time, and after so many in a row that got no further: what kills
    it then is in the job itself.
    """

    def __init__(self, rules: Recovery) -> None:
        self._rules = rules
        self._times_s: deque[float] = deque()
        self._without_progress = 0
        self._furthest = 0

    @property
    def left(self) -> bool:
        """Whether it may be started once more."""
        self._forget_old()
        return max(len(self._times_s), self._without_progress) < self._rules.restarts

    def backoff_s(self) -> float:
        """Count one more start of a part of a graph. Returns how many seconds to wait before."""
        self._forget_old()
        self._times_s.append(time.monotonic())
        return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (len(self._times_s) - 1))

    def job_backoff_s(self, job: Job) -> float:
        """Count one more start of a job. Returns how many seconds to wait before."""
        done = frames(job)
        self._without_progress = 0 if done > self._furthest else self._without_progress + 1
        self._furthest = max(self._furthest, done)
        return max(self.backoff_s(), min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**self._without_progress))

    def _forget_old(self) -> None:
        while self._times_s and time.monotonic() - self._times_s[0] > self._rules.window_s:
            self._times_s.popleft()


def can_replace(plan: Plan) -> bool:
    """Whether every node can begin in the middle of a stream."""
    return all(kind.resumable or getattr(kind, "replicable", False) for kind in plan.kinds.values())


def can_resume(plan: Plan) -> bool:
    """Whether in addition some sink keeps what it has done, so that a run can go on where another one ended."""
    return can_replace(plan) and CALLER not in plan.sinks and bool(_keepers(plan))


def depends_on(plan: Plan) -> dict[str, Any]:
    """Node -> what its results depend on besides its options."""
    found = {name: kind.depends_on(plan.options[name]) for name, kind in plan.kinds.items()}
    return {name: facts for name, facts in found.items() if facts is not None}


def left(plan: Plan) -> dict[str, Left]:
    """Sink -> what earlier runs have left there; sinks with nothing are not in it.

    Raises:
        OutputError: what is there cannot be read.
    """
    found = {
        name: kind.left(plan.options[name], plan.streams(name), plan.output_dir)
        for name, kind in _keepers(plan).items()
    }
    return {name: each for name, each in found.items() if each is not None}


def reached(plan: Plan, job: Job) -> Job:
    """The job with its positions by what is durable now.

    A stream begins again after the last frame that every sink has; a sink that is further leaves out what it has.

    Raises:
        OutputError: what is there cannot be read.
    """
    return msgspec.structs.replace(job, positions=_common(plan, _of(plan, job)))


def go_on(plan: Plan, job: Job) -> Job:
    """The job as its next run has to know it.

    Raises:
        OutputError: what is there cannot be read.
    """
    restarts = 1 + max([job.restarts, *(each.restarts for each in _of(plan, job).values())])
    return msgspec.structs.replace(reached(plan, job), begun=True, restarts=restarts)


def go_on_live(plan: Plan, job: Job, seen: Mapping[str, Position]) -> Job:
    """The job as the next run of a live graph has to know it: it goes on with what comes now.

    Args:
        seen: stream -> how far the run that ended had come; sinks count what they lack of that as dropped.

    Raises:
        OutputError: what earlier runs have left cannot be read.
    """
    job = go_on(plan, job)
    positions = {
        stream: place if (kept := job.positions.get(stream)) is None else _after(kept, place)
        for stream, place in seen.items()
    }
    return msgspec.structs.replace(job, positions=positions)


def _after(kept: Position, seen: Position) -> Position:
    """Where a live stream goes on: what had entered and is not in the results is dropped, as sinks count it."""
    seq = max(seen.seq, kept.seq)
    return msgspec.structs.replace(
        seen,
        seq=seq,
        next_index=max(seen.next_index, kept.next_index),
        dropped=kept.dropped + seq - kept.seq,
        failed=kept.failed,
    )


def frames(job: Job) -> int:
    """How many frames of a job were done when its run began."""
    return sum(place.seq for place in job.positions.values())


def _of(plan: Plan, job: Job) -> dict[str, Left]:
    return {name: each for name, each in left(plan).items() if each.facts == job.facts}


def _common(plan: Plan, found: Mapping[str, Left]) -> dict[str, Position]:
    positions = {}
    for stream in plan.sources:
        keepers = [name for name in _keepers(plan) if stream in plan.streams(name)]
        places = [found[name].positions.get(stream) for name in keepers if name in found]
        known = [place for place in places if place is not None and place.seq]
        if keepers and len(known) == len(keepers):
            positions[stream] = min(known, key=lambda place: place.seq)
    return positions


def _keepers(plan: Plan) -> dict[str, type[Node[Any, Any]]]:
    """Sinks whose results are durable."""
    found = {}
    for name in plan.sinks:
        kind = plan.kinds.get(name)
        # The class method of another class is another one.
        if kind is not None and issubclass(kind, Node) and kind.left.__func__ is not Node.left.__func__:  # type: ignore[attr-defined]
            found[name] = kind
    return found
