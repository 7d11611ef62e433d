"""The run of a graph from its start to its end: what its worker processes say and are told, and what it takes to end.

starting ──all ready──▶ running ──every sink done──▶ finished
    │                      │ stop(): sources end, what is in flight is finished
    └── an error ──────────┴▶ stopping: sinks flush and close their files, then the error is raised

In a live graph a process that dies, or hangs and is killed, is replaced (`streamseg.runtime.failover`). Otherwise that
is an error too. With `expendable` nothing is flushed then: whoever called
starts the job again where it is durable (`streamseg.runtime.recovery`).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal

import zmq

from streamseg.errors import RunError, StreamsegError, rebuild
from streamseg.graph.plan import CALLER, Plan
from streamseg.jobs import Job, Position
from streamseg.runtime.command_queue import CommandQueue
from streamseg.runtime.failover import Failover
from streamseg.runtime.processes import Child, end_all
from streamseg.runtime.worker_pool import WorkerPool
from streamseg.transport.control import (
    Answered,
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
    """

    def __init__(
        self,
        plan: Plan,
        *,
        log_level: int = logging.WARNING,
        command_queue: CommandQueue | None = None,
        job: Job | None = None,
        expendable: bool = False,
    ) -> None:
        self.plan = plan
        self.pool = WorkerPool(plan, log_level, job)
        """Its processes."""
        self._command_queue = command_queue
        self._failover = Failover(plan, job)
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
        self._ready: set[str] = set()
        self._done: set[str] = set()
        self._said_bye: set[str] = set()
        self._exiting = False
        self._give_up_s: float | None = None

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
        self._stack.close()

    @property
    def live(self) -> bool:
        """Whether every source loses frames rather than wait."""
        return bool(self._live) and all(self._live.get(source, False) for source in self.plan.sources)

    @property
    def replaced(self) -> int:
        """How often processes of a live graph were replaced."""
        return self._failover.count

    def seen(self) -> dict[str, Position]:
        """Stream -> how far a live graph had come."""
        figures = {name: self.stats[name] for name in self.plan.sources if name in self.stats}
        return self._failover.seen(
            {name: stats.entered for name, stats in figures.items()},
            {name: stats.dropped for name, stats in figures.items()},
        )

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
        self._pass_commands()
        self._listen()
        self._look_after_children()
        if self.state == "stopping" and self._give_up_s is not None and time.monotonic() > self._give_up_s:
            log.warning("not every sink finished within %.0f s; they are ended now", FLUSH_WITHIN_S)
            self._finish()

    def stop(self) -> None:
        """Let no more frames in and finish those in flight."""
        self.stopped_early = True
        if self.state == "running":
            for source in self.plan.sources:
                self.pool.tell(source, Stop())
        elif self.state == "starting":
            self.state = "finished"

    def caller_done(self) -> None:
        """The calling process, which is a sink too, has seen every stream end."""
        self._sink_done(CALLER)

    def raise_error(self) -> None:
        """Raise what ended the run, if anything did."""
        if self._error is not None:
            raise self._error

    def _listen(self) -> None:
        for who, message in self.pool.hear():
            self._hear(who, message)

    def _wait(self, timeout_ms: int) -> None:
        commands = None if self._command_queue is None else self._command_queue.socket
        if commands is None:
            self.pool.control.poll(timeout_ms)
            return
        poller = zmq.Poller()
        poller.register(self.pool.control, zmq.POLLIN)
        poller.register(commands, zmq.POLLIN)
        poller.poll(timeout_ms)

    def _pass_commands(self) -> None:
        """Hand on what came in at the command queue. While processes are starting it waits there."""
        if self._command_queue is None or self.state != "running":
            return
        for node, number, body in self._command_queue.take():
            self.pool.tell(node, Command(number, body))

    def _hear(self, who: str, message: FromWorker) -> None:
        if isinstance(message, Ready):
            self.facts[who] = message.facts
            self._live[who] = message.live
            self._ready.add(who)
            if self._command_queue is not None:
                self._command_queue.again(who)
            if self._failover.done(self._ready):
                for source in self.plan.sources:
                    self.pool.tell(source, GiveUp())
            if self.state == "starting" and self._ready.issuperset(self.pool.children):
                self.state = "running"
                for source in self.plan.sources:
                    self.pool.tell(source, Start())
        elif isinstance(message, Beat):
            self.stats[who] = message.stats
            self._failover.trackers |= message.trackers
        elif isinstance(message, InFlight):
            self._failover.hear(who, message)
        elif isinstance(message, Trouble):
            self._trouble(who, message)
        elif isinstance(message, Answered):
            if self._command_queue is not None:
                self._command_queue.answer(message.number, message.answer)
        elif isinstance(message, Done):
            self._sink_done(who)
        elif isinstance(message, Bye):
            self.stats[who] = message.stats
            self.facts[who] = message.facts
            self._said_bye.add(who)

    def _trouble(self, who: str, trouble: Trouble) -> None:
        self.troubles.append((who, trouble))
        if trouble.fatal:
            log.debug("%s: %s", who, trouble.traceback)
            self._fail(rebuild(trouble.kind, trouble.message))
            # Who waits for what the failed node says back would wait for ever, and nobody below could finish.
            waiting = {to for origin, to in self.plan.graph.feedback if origin == self.pool.children[who].name}
            for identity, child in self.pool.children.items():
                if child.name in waiting:
                    self.pool.tell(identity, GiveUp())
        else:
            log.warning("%s failed at a frame: %s", who, trouble.message)
            log.debug("%s", trouble.traceback)

    def _fail(self, error: StreamsegError) -> None:
        if self._error is not None or self.state == "finished":
            return
        self._error = error
        if self.state == "starting":
            self.state = "finished"  # there is nothing to flush yet
            return
        for source in self.plan.sources:
            self.pool.tell(source, Stop())
        self.state = "stopping"
        self._give_up_s = time.monotonic() + FLUSH_WITHIN_S

    def _sink_done(self, who: str) -> None:
        self._done.add(who)
        living = {sink for sink in self.plan.sinks if sink == CALLER or self.pool.children[sink].alive}
        if self._done.issuperset(living):
            self._finish()

    def _look_after_children(self) -> None:
        if self.state == "finished":
            return
        self.pool.look_after({who for who, stats in self.stats.items() if stats.frames})
        job = self._failover.due()
        if job is not None:
            self.pool.start_anew(self._failover.away, job)
        gone = set() if self._error is not None else self._failover.away - self._ready
        dead = [child for who, child in self.pool.children.items() if not child.alive and who not in gone]
        if not dead:
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
        sinks = [sink for sink in self.plan.sinks if sink != CALLER and sink not in self._done]
        left = [sink for sink in sinks if self.pool.children[sink].alive]
        for sink in left:
            self.pool.tell(sink, Finalize())
        if not left:
            self._finish()

    def _replace(self, dead: Sequence[Child]) -> None:
        """End what has to be replaced and ask the sources where the new processes begin."""
        for child in dead:
            log.warning("node %r %s; it is replaced", child.name, child.exit_text)
        for who in self._failover.begin([child.identity for child in dead]):
            child = self.pool.children[who]
            if child.alive:
                child.kill()
            self._ready.discard(who)
            self.stats.pop(who, None)
        for source in self.plan.sources:
            self.pool.tell(source, WhatIsInFlight())

    def _finish(self) -> None:
        """Everything is flushed: tell every process to exit and hear its last words."""
        self.state = "finished"
        self._exiting = True
        for identity in self.pool.children:
            self.pool.tell(identity, Exit())
        deadline_s = time.monotonic() + EXIT_WITHIN_S
        while time.monotonic() < deadline_s and any(
            identity not in self._said_bye and not child.failed for identity, child in self.pool.children.items()
        ):
            self.pool.control.poll(50)
            self._listen()

    def _await_exits(self) -> None:
        if self._exiting:
            end_all(self.pool.children.values(), EXIT_WITHIN_S)
