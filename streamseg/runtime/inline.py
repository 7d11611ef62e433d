"""A whole graph in one process and one thread, for debugging, and to prove that nodes know nothing of transport.

Same nodes, same order of messages, same handling of gaps and failures as with processes; no sockets, no shared
memory, no overlap. Sources are read one after the other.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from streamseg.errors import rebuild
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.messages import End, Gap, Message, SourceStatus, Stamp
from streamseg.node import Captured, Node, NodeContext, Source
from streamseg.runtime.node_faults import reason_of
from streamseg.runtime.quantiles import Durations
from streamseg.runtime.stage import Stage
from streamseg.transport.control import Stats
from streamseg.transport.tickets import Outcome

log = logging.getLogger(__name__)

_WORSE: list[Outcome] = ["done", "dropped", "failed"]


class InlineRun:
    """Runs a plan in this process.

    Args:
        plan: the checked graph.
        on_result: called with every message of ``plan.results_from``, gaps included.
        between_frames: called with this run after every frame, with `facts` and `stats` up to date.
        job: the work that this run is a part of.
    """

    def __init__(
        self,
        plan: Plan,
        on_result: Callable[[Message], None] | None = None,
        between_frames: Callable[[InlineRun], None] | None = None,
        job: Job | None = None,
    ) -> None:
        self._plan = plan
        self._on_result = on_result
        self._between_frames = between_frames
        self._job = job
        self._first_seqs = {} if job is None else {name: place.seq for name, place in job.positions.items()}
        self._sources: dict[str, Source[Any]] = {}
        self._stopped = False
        self._outcomes: list[Outcome] = []  # how the frame in hand fared at every sink
        self._statuses: deque[tuple[str, SourceStatus]] = deque()
        self._nodes: dict[str, Node[Any, Any]] = {}
        self._stages: dict[str, Stage] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        """What every node said of itself."""
        self.stats: dict[str, Stats] = {}
        """Figures of every node."""

    def run(self) -> None:
        """Work until every source is at its end.

        Raises:
            StreamsegError: a fatal error of a node.
        """
        with contextlib.ExitStack() as stack:
            for name in self._plan.order:
                node = self._make(stack, name)
                if isinstance(node, Source):
                    self._sources[name] = node
                else:
                    self._nodes[name] = node
                    self._stages[name] = Stage(node, name, ordered=True, first_seqs=self._first_seqs)
            self._describe()
            try:
                for name, source in self._sources.items():
                    self._read(name, source)
            finally:
                self._describe()

    def stop(self) -> None:
        """Let no more frames in; streams end in good order with those that have entered."""
        self._stopped = True
        for source in self._sources.values():
            source.stop()

    def _describe(self) -> None:
        self.facts = {name: node.describe() for name, node in {**self._sources, **self._nodes}.items()}

    def _make(self, stack: contextlib.ExitStack, name: str) -> Any:
        worker = self._plan.worker(name, 0)
        context = NodeContext(
            name,
            streams=worker.streams,
            threads=worker.threads,
            output_dir=worker.output_dir,
            feedback=lambda message: self._feed_back(name, message),
            has_feedback=bool(worker.feedback_inputs or worker.feedback_outbox),
            tell_status=lambda status: self._statuses.append((name, status)),
            job=self._job,
        )
        node = self._plan.kinds[name](self._plan.options[name], context)
        node.setup()
        stack.callback(node.close)
        return node

    def _read(self, name: str, source: Source[Any]) -> None:
        first_seq = seq = self._first_seqs.get(name, 0)
        started_ns = time.monotonic_ns()
        durations, finished = Durations(), Counter[str]()
        for captured in source.produce():
            self._send_statuses()
            self._outcomes = ["done"]
            self._send(name, self._enter(name, captured, seq, durations))
            finished[max(self._outcomes, key=_WORSE.index)] += 1
            seq += 1
            running_s = (time.monotonic_ns() - started_ns) / 1e9
            self.stats[name] = Stats(
                frames=seq - first_seq,
                running_s=running_s,
                process_ms=durations.summary(),
                entered=seq - first_seq,
                finished=dict(finished),
            )
            self.stats |= {stage_name: stage.stats() for stage_name, stage in self._stages.items()}
            if self._between_frames is not None:
                self._between_frames(self)
            if self._stopped:
                break
        self._send_statuses()
        self._send(name, End(name, seq, "stopped" if self._stopped else "finished"))

    def _send_statuses(self) -> None:
        while self._statuses:
            self._send(*self._statuses.popleft())

    @staticmethod
    def _enter(name: str, captured: Captured[Any], seq: int, durations: Durations) -> Message:
        stamp = _stamp(name, seq, captured)
        started_ns = time.monotonic_ns()
        try:
            message: Message = captured.make(stamp)
        except Exception as error:  # noqa: BLE001 (one frame that cannot be made must cost that frame only)
            log.warning("%s failed at a frame: %s", name, error)
            message = Gap(stamp, name, "failed", reason_of(error))
        durations.add(time.monotonic_ns() - started_ns)
        return message

    def _send(self, name: str, message: Message) -> None:
        if (
            name == self._plan.results_from
            and self._on_result is not None
            and not isinstance(message, (End, SourceStatus))
        ):
            self._on_result(message)
        for to in self._plan.graph.downstream(name):
            stage = self._stages[to]
            stage.accept(message)
            stage.tick()
            for passed in stage.step():
                self._take_troubles(to, stage)
                if passed.message is not None:
                    self._send(to, passed.message)
                if to in self._plan.sinks and passed.stamp is not None:
                    self._outcomes.append(passed.outcome)

    def _feed_back(self, name: str, message: Message) -> None:
        for origin, to in self._plan.graph.feedback:
            if origin == name:
                self._nodes[to].on_feedback(message)

    @staticmethod
    def _take_troubles(name: str, stage: Stage) -> None:
        for trouble in stage.troubles:
            if trouble.fatal:
                raise rebuild(trouble.kind, trouble.message)
            log.warning("%s failed at a frame: %s", name, trouble.message)
        stage.troubles.clear()


def _stamp(stream: str, seq: int, captured: Captured[Any]) -> Stamp:
    c = captured
    return Stamp(
        stream,
        seq,
        c.index,
        c.pts,
        c.time_base,
        c.captured_ns,
        ticket=0,
        generation=seq + 1,
        damaged=c.damaged,
        pixel_aspect=c.pixel_aspect,
        scaled_from=c.scaled_from,
        captured_clock=c.captured_clock,
        arrived_ns=c.arrived_ns,
        frame_id=c.frame_id,
    )
