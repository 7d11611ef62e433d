"""One worker on the machine of ``streamseg worker``: started by the order of its bridge, ended when that is gone."""

from __future__ import annotations

import logging
import time

import msgspec
import zmq

from streamseg.commands import Refused
from streamseg.errors import StreamsegError, WireError
from streamseg.graph.plan import feedback_inbox, finished_inbox, inbox
from streamseg.node import ports
from streamseg.remote import terms
from streamseg.remote.freight import Loader, billed, plain, unload
from streamseg.remote.guard import Guard
from streamseg.remote.link import Link, Send
from streamseg.remote.session import Session
from streamseg.remote.terms import PING_S, SILENT_S, Ended, Join, Order, unpacked
from streamseg.remote.ways import buffers_there, endpoint_there, ways_out
from streamseg.runtime.supervision.processes import Child
from streamseg.runtime.worker.assignment import Assignment
from streamseg.runtime.worker.io import waiting
from streamseg.transport.control import Answered, Beat, Command, decode_from_supervisor, decode_from_worker
from streamseg.transport.slots import SlotBuffer

log = logging.getLogger(__name__)

_GRACE_S = 5.0
"""A bridge whose connection was closed in order has ended, unless it is here again by then."""
_LAST_WORDS_S = 0.3
_ENDED_WITHIN_S = 5.0
"""So long the last messages are kept for a bridge that does not say that it has got them."""


class Seat:
    """Of one worker.

    Args:
        join: of its bridge.
        session: of its run.
        guard: what may be started.
        longest_away_s: a lost link is waited for at most so long, whatever the run asks for.
    """

    def __init__(self, join: Join, session: Session, guard: Guard, longest_away_s: float) -> None:
        self.identity = join.identity
        self.nonce = join.nonce
        self.attempt = join.attempt
        """Number of its bridge's connection."""
        self.session = session
        self.link = Link()
        self.peer: bytes | None = None
        """The connection of its bridge; None while there is none."""
        self._guard = guard
        self._longest_away_s = longest_away_s
        self._away_s = _GRACE_S
        self._heard_s = self._pinged_s = time.monotonic()
        self._gone_s: float | None = None
        self._closed = False
        self.child: Child | None = None
        self._number: int | None = None
        self._inboxes: dict[str, zmq.Socket[bytes]] = {}
        self._outbox: dict[str, zmq.Socket[bytes]] = {}
        self._with_frames: set[str] = set()
        self._writable: dict[int, SlotBuffer] = {}
        self._loader: Loader | None = None
        self._instructions: list[bytes] = []
        self._dead_s: float | None = None
        self._ended_s: float | None = None

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """Readable when its worker has said something to other nodes."""
        return list(self._outbox.values())

    def joined(self, peer: bytes, send: Send, received: int) -> None:
        """Its bridge is here, or here again.

        Raises:
            WireError: it has not got what it must have.
        """
        self.peer = peer
        self._heard_s = time.monotonic()
        self._gone_s = None
        self.link.connect(send, received)

    def heard(self) -> None:
        """Its bridge has said something."""
        self._heard_s = time.monotonic()

    def hung_up(self) -> None:
        """The connection to its bridge was closed."""
        self._leave(closed=time.monotonic() - self._heard_s < SILENT_S)

    def look_after(self) -> bool:
        """Do what is due by the clock. False once there is nothing left to do here."""
        now_s = time.monotonic()
        if self.link.up and now_s - self._heard_s > SILENT_S:
            self._leave(closed=False)
        if self.link.up and now_s - self._pinged_s > PING_S:
            self._pinged_s = now_s
            self.link.ping(None if self._number is None else self.session.pulse(self._number))
        self._flush_instructions()
        self._see_end(now_s)
        if self._ended_s is not None and (self.link.all_arrived or now_s - self._ended_s > _ENDED_WITHIN_S):
            # One that is away may still come and want to know how it ended.
            return self._gone_s is not None and not self._closed and now_s - self._gone_s < self._away_s
        if self._gone_s is None:
            return True
        return now_s - self._gone_s < (_GRACE_S if self._closed else self._away_s)

    def take(self, parts: list[memoryview]) -> None:
        """A message of its bridge.

        Raises:
            WireError: it is not valid.
        """
        waybill = billed(parts)
        if waybill.way == terms.ORDER:
            self._begin(unpacked(parts[1], Order))
        elif waybill.way == terms.CONTROL:
            self._instruct(bytes(parts[1]))
        elif waybill.way == terms.IN and waybill.way in self._inboxes:
            self._inboxes[waybill.way].send_multipart(unload(waybill, parts[1:], self._writable))
        elif waybill.way in self._inboxes:
            self._inboxes[waybill.way].send_multipart(parts[1:])

    def hear(self, said: bytes) -> None:
        """The worker has said something to the supervisor."""
        try:
            _, message = decode_from_worker([self.identity.encode(), said])
            newest = terms.CONTROL if isinstance(message, Beat) else ""
        except WireError:
            newest = ""
        self.link.push(plain(terms.CONTROL, said), newest=newest)

    def take_from_worker(self) -> None:
        """Send on what the worker has said to other nodes."""
        for way, socket in self._outbox.items():
            for parts in waiting(socket):
                if way in self._with_frames and self._loader is not None:
                    self.link.push(self._loader.load(way, parts))
                else:
                    self.link.push(plain(way, *(part.bytes for part in parts)))

    def close(self) -> None:
        """End the worker and let go of its sockets."""
        if self.child is not None:
            if self.child.alive:
                self.child.kill()
            self.child.close()
        if self._number is not None:
            self.session.give_number(self._number)
            self._number = None
        for socket in (*self._inboxes.values(), *self._outbox.values()):
            socket.close(linger=0)
        self._inboxes.clear()
        self._outbox.clear()

    def _see_end(self, now_s: float) -> None:
        """Say that the worker has ended, once what it said last has had a moment to come."""
        if self.child is None or self.child.alive or self._ended_s is not None:
            return
        if self._dead_s is None:
            self._dead_s = now_s
        elif now_s - self._dead_s > _LAST_WORDS_S:
            failed = self.child.failed
            self._say_ended(Ended(int(failed), self.child.exit_text if failed else ""))

    def _leave(self, *, closed: bool) -> None:
        self.link.disconnect()
        self.peer = None
        if self._gone_s is None:
            self._gone_s = time.monotonic()
        self._closed = closed

    def _begin(self, order: Order) -> None:
        try:
            self._start(order)
        except StreamsegError as error:
            log.warning("%s was not started: %s", self.identity, error)
            self._say_ended(Ended(1, str(error), type(error).__name__))

    def _start(self, order: Order) -> None:
        spec = order.spec
        if spec.placed is None or spec.identity != self.identity or self.child is not None:
            raise WireError(f"an order for {spec.identity!r} came to the place of {self.identity!r}")
        placed = spec.placed
        kind = self._guard.check(spec)
        spec = self._guard.adapted(spec, kind)
        self._away_s = min(placed.host.away_s, self._longest_away_s)
        needed = [*spec.buffers, *([] if spec.own_buffer is None else [spec.own_buffer])]
        fds = self.session.file_descriptors(needed)
        there = buffers_there(placed)
        self._writable = self.session.mirrored(there)
        gives = ports(kind).gives
        # What is written here the run has not got; it has all the rest.
        self._loader = Loader(
            [] if gives is None else [gives],
            self.session.buffers,
            set(self.session.buffers) - there,
            placed.host.pictures,
            placed.host.quality,
        )
        spec, ways = ways_out(spec)
        for number, way in enumerate(ways):
            self._outbox[str(number)] = self.session.sockets.pull(endpoint_there(self.identity, number))
            if way.carries_frames:
                self._with_frames.add(str(number))
        own = {
            terms.IN: inbox(spec.name, spec.replica) if spec.inputs else None,
            terms.BACK: feedback_inbox(spec.name, spec.replica) if spec.feedback_inputs else None,
            terms.FINISHED: finished_inbox(spec.name) if spec.source else None,
        }
        self._inboxes = {way: self.session.sockets.push([to]) for way, to in own.items() if to is not None}
        self._number = self.session.take_number()
        assignment = Assignment(
            spec,
            str(self.session.run_dir),
            fds,
            order.log_level,
            self._guard.job(order.job),
            heartbeat=(self.session.heartbeat_fd, self._number),
        )
        self.child = Child(assignment, cwd=self.session.cwd)
        log.info("%s (%s) is started as process %d", self.identity, spec.use, self.child.pid)

    def _instruct(self, said: bytes) -> None:
        try:
            instruction = decode_from_supervisor(said)
        except WireError as error:
            log.warning("an instruction was thrown away: %s", error)
            return
        if isinstance(instruction, Command) and not self._guard.may_command(bytes(instruction.body)):
            text = f"node {self.identity!r} is on another machine, which does not give the file that the command names"
            answer = Answered(instruction.number, Refused("PromptError", text))
            self.link.push(plain(terms.CONTROL, msgspec.msgpack.encode(answer)))
            return
        self._instructions.append(said)
        self._flush_instructions()

    def _flush_instructions(self) -> None:
        """A worker that has not said anything yet cannot be told anything either."""
        while self._instructions:
            try:
                self.session.control.send_multipart([self.identity.encode(), self._instructions[0]])
            except zmq.ZMQError:
                return
            self._instructions.pop(0)

    def _say_ended(self, ended: Ended) -> None:
        self._ended_s = time.monotonic()
        self.link.push(plain(terms.ENDED, msgspec.msgpack.encode(ended)))
        log.info("%s has ended%s", self.identity, f": {ended.text}" if ended.text else "")
