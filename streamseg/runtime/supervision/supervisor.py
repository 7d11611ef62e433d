"""The run of a graph from its start to its end: what its worker processes say and are told, and what it takes to end.

starting ──all ready──▶ running ──every sink done──▶ finished
    │                      │ stop(): sources end, what is in flight is finished
    └── an error ──────────┴▶ stopping: sinks flush and close their files, then the error is raised

In a live graph a process that dies, or hangs and is killed, is replaced (`failover.py`). Otherwise that
is an error too. With `expendable` nothing is flushed then: whoever called starts the job again where it is durable.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal

import msgspec
import zmq

from streamseg.errors import RunError, StreamsegError, rebuild
from streamseg.graph.plan import CALLER, Plan
from streamseg.jobs import Job, Position
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.failover import Failover
from streamseg.runtime.supervision.node_commands import FigureTeller, take_from_node
from streamseg.runtime.supervision.processes import Child, end_all
from streamseg.runtime.supervision.progress_watch import ProgressWatch
from streamseg.runtime.supervision.recovery import can_resume, reached
from streamseg.runtime.supervision.spares import Spares
from streamseg.runtime.supervision.worker_pool import WorkerPool
from streamseg.transport.control import (
    Answered,
    Asked,
    Beat,
    Bye,
    Command,
    Done,
    Exit,
    Finalize,
    FromWorker,
    GiveUp,
    InFlight,
    Ready,
    Start,
    Stats,
    Stop,
    Trouble,
    WhatIsInFlight,
    Withdraw,
)

log = logging.getLogger(__name__)

EXIT_WITHIN_S = 10.0
FLUSH_WITHIN_S = 15.0

State = Literal["starting", "running", "stopping", "finished"]


class Supervisor:
    """One run of a graph. Use as a context manager: entering it starts every process, leaving it ends them.

    Args:
        plan: the checked graph.
        log_level: what workers write to their log.
        command_queue: where commands to the running graph come in; the caller closes it.
        job: the work that this run is a part of, if it can be gone on with.
        expendable: whether the death of a process ends the run at once, since it will be started again.
        traced: whether the processes are to say when they worked on what (`WorkerPool.spans`).
        spares: processes that stay from run to run; None: those of this run are new, and end with it.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        log_level: int = logging.WARNING,
        command_queue: CommandQueue | None = None,
        job: Job | None = None,
        expendable: bool = False,
        traced: bool = False,
        spares: Spares | None = None,
    ) -> None:
        self.plan = plan
        self._pid = os.getpid()
        self.pool = WorkerPool(plan, log_level, job, traced=traced, spares=spares)
        """Its processes."""
        self._command_queue = command_queue
        self._job = job
        self._failover = Failover(plan, job)
        self._figures = FigureTeller(plan, self.pool)
        self._progress = ProgressWatch(plan, plan.graph.recovery.stall_s)
        workers = plan.workers()
        self._copied_sinks = [spec.identity for spec in workers if spec.is_sink and not spec.ordered]
        """Copies of sinks: none of them sees that a stream is over."""
        self._sinks = [spec.identity for spec in workers if spec.is_sink]
        self._live: dict[str, bool] = {}
        self.lost = False
        """Whether the run ended because a process died or hung."""
        self._expendable = expendable
        self.state: State = "starting"
        self.stopped_early = False
        """Whether `stop` ended the run rather than the end of its sources."""
        self.stats: dict[str, Stats] = {}
        """Last figures of every process, by its identity."""
        self.facts: dict[str, dict[str, Any]] = {}
        """What every process said of itself."""
        self.troubles: deque[tuple[str, Trouble]] = deque(maxlen=100)
        """The last exceptions of node code, with the process they came from."""
        self._error: StreamsegError | None = None
        self._stack = contextlib.ExitStack()
        self.ready: set[str] = set()
        """Processes that are set up."""
        self._done, self._said_bye = set[str](), set[str]()
        self._exiting = False
        self._flush_deadline_s: float | None = None

    def __enter__(self) -> Supervisor:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.pool)
            stack.callback(self._await_exits)
            self.pool.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # A process that was forked from this one has all of this too, and must not end what the other one uses.
        if os.getpid() == self._pid:
            self._stack.close()
        else:
            self._stack.pop_all()

    @property
    def live(self) -> bool:
        """Whether every source loses frames rather than wait."""
        return bool(self._live) and all(self._live.get(source, False) for source in self.plan.sources)

    @property
    def replaced(self) -> int:
        """How often processes of a live graph were replaced."""
        return self._failover.count

    def positions(self) -> dict[str, Position]:
        """Stream -> how far a live graph had come."""
        figures = {name: self.stats[name] for name in self.plan.sources if name in self.stats}
        return self._failover.positions(
            {name: stats.entered for name, stats in figures.items()},
            {name: stats.dropped for name, stats in figures.items()},
        )

    def seen_frames(self) -> dict[str, int]:
        """Stream -> number of the last frame that is in the state which `positions` has."""
        return self._failover.seen_frames()

    @property
    def complete(self) -> bool:
        """Whether every process has said its last words, so that `stats` are exact."""
        return self._said_bye.issuperset(self.pool.children)

    def run(self) -> None:
        """Work until the run is over.

        Raises:
            StreamsegError: the first error that ended the run; everything has been flushed by then.
        """
        while self.state != "finished":
            self.pump(500)
        self.raise_error()

    def pump(self, timeout_ms: int) -> None:
        """Take what workers say, for at most that long if they say nothing, and see whether all of them live."""
        self._wait(timeout_ms)
        self._dispatch_commands()
        self._receive()
        self._figures.tell(self.stats)
        self._check_children()
        self._end_copied_sinks()
        late = self._flush_deadline_s is not None and time.monotonic() > self._flush_deadline_s
        if self.state == "stopping" and late:
            log.warning("not every sink finished within %.0f s; they are ended now", FLUSH_WITHIN_S)
            self._finish()

    def stop(self) -> None:
        """Let no more frames in and finish those in flight."""
        self.stopped_early = True
        if self.state == "running":
            for source in self.plan.sources:
                self.pool.send(source, Stop())
        elif self.state == "starting":
            self.state = "finished"

    def caller_done(self) -> None:
        """The calling process, which is a sink too, has seen every stream end."""
        self._sink_done(CALLER)

    def raise_error(self) -> None:
        """Raise what ended the run, if anything did."""
        if self._error is not None:
            raise self._error

    def _receive(self) -> None:
        for who, message in self.pool.receive():
            self._handle(who, message)

    def _wait(self, timeout_ms: int) -> None:
        commands = None if self._command_queue is None else self._command_queue.socket
        poller = zmq.Poller()
        for socket in filter(None, (self.pool.control, commands)):
            poller.register(socket, zmq.POLLIN)
        poller.poll(timeout_ms)

    def _dispatch_commands(self) -> None:
        """Hand on what came in at the command queue. While processes are starting it waits there."""
        if self._command_queue is None:
            return
        # In any state: its socket would stay readable, and waiting for it would be no waiting.
        self._command_queue.receive()
        if self.state != "running":
            return
        for node, number, body in self._command_queue.take():
            self.pool.send(node, Command(number, body))
        for node, number in self._command_queue.withdrawn():
            self.pool.send(node, Withdraw(number))

    def _handle(self, who: str, message: FromWorker) -> None:
        if isinstance(message, Ready):
            self.facts[who] = message.facts
            self._live[who] = message.live
            self.ready.add(who)
            if self._exiting:
                self.pool.send(who, Exit())  # when all were told so it was not there yet
            elif self.state == "starting" and who in self.plan.sources:
                self._check_stream(who)
            if self._command_queue is not None:
                self._command_queue.requeue(who)
            if self._failover.complete(self.ready):
                for source in self.plan.sources:
                    self.pool.send(source, GiveUp())
            if self.state == "starting" and self.ready.issuperset(self.pool.children):
                self.state = "running"
                for source in self.plan.sources:
                    self.pool.send(source, Start())
        elif isinstance(message, Beat):
            self.stats[who] = message.stats
            self._failover.trackers |= message.trackers
        elif isinstance(message, InFlight):
            self._failover.note_position(who, message)
        elif isinstance(message, Trouble):
            self._note_trouble(who, message)
        elif isinstance(message, Answered):
            if self._command_queue is not None:
                self._command_queue.answer(message.number, message.answer)
                if self._command_queue.past_is_long:
                    self._command_queue.forget_past(self._kept_frames())
        elif isinstance(message, Asked):
            take_from_node(self._command_queue, self.pool, who, message.request)
        elif isinstance(message, Done):
            self._sink_done(who)
        elif isinstance(message, Bye):
            self.stats[who] = message.stats
            self.facts[who] = message.facts
            self._said_bye.add(who)

    def _check_stream(self, source: str) -> None:
        try:
            self.plan.check_stream(source, self.facts[source])
        except StreamsegError as error:
            self._fail(error)

    def _note_trouble(self, who: str, trouble: Trouble) -> None:
        self.troubles.append((who, trouble))
        if trouble.fatal:
            log.debug("%s: %s", who, trouble.traceback)
            self._fail(rebuild(trouble.kind, trouble.message))
            # Who waits for what the failed node says back would wait for ever, and nobody below could finish.
            waiting = {to for origin, to in self.plan.graph.feedback if origin == self.pool.children[who].name}
            for identity, child in self.pool.children.items():
                if child.name in waiting:
                    self.pool.send(identity, GiveUp())
        else:
            log.warning("%s failed at a frame: %s", who, trouble.message)
            log.debug("%s", trouble.traceback)

    def _fail(self, error: StreamsegError) -> None:
        if self._error is not None or (self.state == "finished" and not self._exiting):
            return
        self._error = error
        if self.state == "starting" and self.pool.keeps:
            self._finish()  # there is no such file, say; the other processes can stay
        if self.state in ("starting", "finished"):
            self.state = "finished"  # there is nothing to flush: not yet, or it is flushed and this is among last words
            return
        for source in self.plan.sources:
            self.pool.send(source, Stop())
        self.state = "stopping"
        self._flush_deadline_s = time.monotonic() + FLUSH_WITHIN_S

    def _end_copied_sinks(self) -> None:
        """Once every frame has come out, let copies of sinks say that they are done."""
        sources = [self.stats.get(name) for name in self.plan.sources]
        over = [each is not None and each.ended and each.entered == sum(each.finished.values()) for each in sources]
        if self._copied_sinks and self.state in ("running", "stopping") and all(over):
            for sink in self._copied_sinks:
                self.pool.send(sink, Finalize(stopped=self.stopped_early or self._error is not None))
            self._copied_sinks = []

    def _sink_done(self, who: str) -> None:
        self._done.add(who)
        living = {sink for sink in self._sinks if self.pool.children[sink].alive}
        living |= {CALLER} & set(self.plan.sinks)
        if self._done.issuperset(living):
            self._finish()

    def _check_children(self) -> None:
        if self.state == "finished":
            return
        self.pool.check_health({who for who, stats in self.stats.items() if stats.frames})
        job = self._failover.job_to_start()
        if job is not None:
            if self._command_queue is not None:
                self._command_queue.forget_past(self._failover.seen_frames())
                job = msgspec.structs.replace(job, commands=self._command_queue.past)
            self.pool.restart(self._failover.replacing, job)
        gone = set() if self._error is not None else self._failover.replacing - self.ready
        dead = [child for who, child in self.pool.children.items() if not child.alive and who not in gone]
        if not dead:
            self._watch_progress()
            return
        if self.state == "running" and self.live and self._failover.possible([child.identity for child in dead]):
            self._replace(dead)
            return
        if self._error is None:
            child = dead[0]
            self.lost = True
            self._fail(RunError(f"node {child.name!r} {child.exit_text}"))
            if self._expendable:
                self.state = "finished"
                return
        if not self._finalize_sinks():
            self._finish()

    def _finalize_sinks(self) -> list[str]:
        """Let living sinks flush, since nothing more will come. Returns those that have not done so yet."""
        left = [sink for sink in self._sinks if sink not in self._done and self.pool.children[sink].alive]
        for sink in left:
            self.pool.send(sink, Finalize())
        return left

    def _watch_progress(self) -> None:
        if self.state not in ("running", "stopping"):
            return
        busy = bool(self._failover.replacing) or self.pool.working
        stalled = self._progress.stalled(self.stats, working=busy)
        if stalled is not None and self._error is None:
            self._fail(RunError(stalled))
            self._finalize_sinks()

    def _replace(self, dead: Sequence[Child]) -> None:
        """End what has to be replaced and ask the sources where the new processes begin."""
        for child in dead:
            log.warning("node %r %s; it is replaced", child.name, child.exit_text)
        for who in self._failover.begin([child.identity for child in dead]):
            child = self.pool.children[who]
            if child.alive:
                child.kill()
            self.ready.discard(who)
            self.stats.pop(who, None)
        for source in self.plan.sources:
            self.pool.send(source, WhatIsInFlight())

    def _kept_frames(self) -> dict[str, int]:
        """Stream -> number of the last frame whose state is kept, whatever happens to the processes."""
        if self._job is not None and can_resume(self.plan) and not self.live:
            return {s: place.next_index - 1 for s, place in reached(self.plan, self._job).positions.items()}
        return self._failover.seen_frames()

    def _finish(self) -> None:
        """Everything is flushed: tell every process to exit and hear its last words."""
        self.state = "finished"
        self._exiting = True
        for identity in self.pool.children:
            self.pool.send(identity, Exit())
        deadline_s = time.monotonic() + EXIT_WITHIN_S
        while time.monotonic() < deadline_s and any(
            identity not in self._said_bye and not child.failed for identity, child in self.pool.children.items()
        ):
            self.pool.control.poll(50)
            self._receive()

    def _await_exits(self) -> None:
        if self._exiting:
            end_all([child for child in self.pool.children.values() if not child.rests], EXIT_WITHIN_S)
