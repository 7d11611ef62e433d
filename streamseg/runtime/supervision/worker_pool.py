"""The worker processes of a run and what they share: buffers, heartbeats, sockets, the control channel."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections import deque
from collections.abc import Collection, Iterator
from types import TracebackType

import msgspec
import zmq

from streamseg.errors import WireError
from streamseg.graph.plan import Plan, WorkerSpec
from streamseg.jobs import Job
from streamseg.runtime.limits import naming_what_is_scarce, need_files
from streamseg.runtime.supervision.processes import Child, Janitor
from streamseg.runtime.supervision.spares import Spares
from streamseg.runtime.supervision.watchdog import Watchdog
from streamseg.runtime.worker.assignment import Assignment
from streamseg.transport.control import Beat, Bye, FromWorker, ToWorker, decode_from_worker
from streamseg.transport.heartbeats import make_heartbeats
from streamseg.transport.slots import make_shared_file
from streamseg.transport.sockets import Sockets, make_run_dir, sweep_run_dirs
from streamseg.transport.spans import Span

log = logging.getLogger(__name__)

_MODULE = "streamseg.runtime.worker.process"
_ELSEWHERE = "streamseg.remote.bridge"
"""Stands here for a process on another machine: it lives as long as that one, and ends as that one does."""
_MOST_SPANS = 10_000  # heartbeats that had some; nobody lets so many lie


class WorkerPool:
    """Use as a context manager: entering makes what is shared, leaving ends every process and removes every trace.

    Args:
        plan: the checked graph.
        log_level: what workers write to their log.
        job: the work that the run is a part of, if it can be gone on with.
        traced: whether the processes are to say when they worked on what.
        spares: processes of earlier runs that can be taken, and where those of this one stay; None: all are new.
    """

    def __init__(
        self, plan: Plan, log_level: int, job: Job | None, *, traced: bool = False, spares: Spares | None = None
    ) -> None:
        self._plan = plan
        self._log_level = log_level
        self._job = job
        self._traced = traced
        self._spares = spares
        self._session = secrets.token_hex(16)
        self.spans: deque[tuple[str, int, list[Span]]] = deque(maxlen=_MOST_SPANS)
        """Identity and number of a process, and when it worked on what; for whoever wants a trace to take out."""
        self._stack = contextlib.ExitStack()
        self._encoder = msgspec.msgpack.Encoder()
        self.children: dict[str, Child] = {}
        """The processes by identity; of those that were replaced the last one."""
        self.run_dir: str
        """Where the sockets are."""
        self.sockets: Sockets
        self.control: zmq.Socket[bytes]
        """Readable when a process has said something."""

    def __enter__(self) -> WorkerPool:
        identities = [spec.identity for spec in self._plan.workers()]
        need_files(len(identities))
        with naming_what_is_scarce("start the processes of the graph"), contextlib.ExitStack() as stack:
            sweep_run_dirs()
            self._janitor = Janitor()
            stack.callback(self._janitor.dismiss)
            run_dir, owner_fd = make_run_dir(self._janitor.clean)
            stack.callback(os.close, owner_fd)
            stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
            self._heartbeat_fd = make_heartbeats(len(identities))
            stack.callback(os.close, self._heartbeat_fd)
            self._watchdog = Watchdog(self._heartbeat_fd, identities, self._plan.graph.recovery.hang_s)
            self._buffer_fds: dict[int, int] = {}
            for buffer in self._plan.buffers.values():
                fd = self._buffer_fds[buffer.number] = make_shared_file(buffer.slots * buffer.slot_bytes)
                stack.callback(os.close, fd)
            self.sockets = stack.enter_context(Sockets(run_dir))
            self.control = self.sockets.supervisor()
            stack.callback(self._end)
            self.run_dir = str(run_dir)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def keeps(self) -> bool:
        """Whether processes stay for another run."""
        return self._spares is not None

    @property
    def pids(self) -> dict[str, int]:
        """Number of every process, by its identity."""
        return {identity: child.pid for identity, child in self.children.items()}

    def start(self) -> None:
        """Start every process."""
        for number, spec in enumerate(self._plan.workers()):
            self._start(spec, number, self._job)

    def restart(self, identities: Collection[str], job: Job) -> None:
        """Put new processes in the place of some that have ended.

        Args:
            identities: of those.
            job: where the new ones begin.
        """
        for spec in self._plan.workers():
            if spec.identity in identities:
                old = self.children[spec.identity]
                self._janitor.forget(old.pid)
                old.close()
                self._start(spec, self._watchdog.reset(spec.identity), job)

    def assignment(self, spec: WorkerSpec) -> Assignment:
        """What a process is told at its start."""
        needed = [*spec.buffers, *([spec.own_buffer] if spec.own_buffer else [])]
        fds = {buffer.number: self._buffer_fds[buffer.number] for buffer in needed}
        return Assignment(
            spec, self.run_dir, fds, self._log_level, self._job, traced=self._traced, session=self._session
        )

    def check_health(self, past_first_frame: Collection[str]) -> None:
        """Kill processes that hang, and see that there is a janitor.

        Args:
            past_first_frame: identities of those that have finished a frame.
        """
        self._janitor.ensure_running()
        self._watchdog.kill_hung(self.children, past_first_frame)

    @property
    def working(self) -> bool:
        """Whether some process has been at one thing for more than a moment."""
        return self._watchdog.working(self.children)

    def send(self, identity: str, message: ToWorker) -> None:
        """Tell a process; one that is dead hears nothing."""
        try:
            self.control.send_multipart([identity.encode(), self._encoder.encode(message)])
        except zmq.ZMQError as error:
            # It is dead, which the next look at the children will show.
            log.debug("%s could not be told %s: %s", identity, type(message).__name__, error)

    def receive(self) -> Iterator[tuple[str, FromWorker]]:
        """What processes have said since, each with the identity of who said it."""
        while self.control.poll(0):
            try:
                who, message = decode_from_worker(self.control.recv_multipart())
            except WireError as error:
                log.warning("a message on the control channel was thrown away: %s", error)
                continue
            if isinstance(message, (Beat, Bye)) and message.spans:
                self.spans.append((who, message.stats.pid, message.spans))
            if who in self.children:
                if isinstance(message, Bye):
                    self.children[who].rests = message.stays
                yield who, message

    def _start(self, spec: WorkerSpec, number: int, job: Job | None) -> None:
        stays = self._spares is not None and spec.placed is None
        assignment = msgspec.structs.replace(
            self.assignment(spec), job=job, heartbeat=(self._heartbeat_fd, number), stays=stays
        )
        child = None if self._spares is None else self._spares.take(spec)
        if child is None:
            child = Child(assignment, module=_MODULE if spec.placed is None else _ELSEWHERE)
        else:
            child.assign(assignment)
        self.children[spec.identity] = child
        self._janitor.watch(child.pid)

    def _end(self) -> None:
        specs = {spec.identity: spec for spec in self._plan.workers()}
        for identity, child in self.children.items():
            stays = self._spares is not None and child.rests and child.alive
            if child.alive and not stays:
                child.kill()
            self._janitor.forget(child.pid)
            if self._spares is not None and stays:
                self._spares.put(specs[identity], child)
            else:
                child.close()
