"""The sockets and buffers of one worker process."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import zmq

from streamseg.commands import nobody_takes_commands
from streamseg.errors import WireError
from streamseg.graph.plan import BufferSpec, feedback_inbox, finished_inbox, inbox
from streamseg.messages import Gap, Message, SourceStatus, Stamp
from streamseg.node import NodeContext
from streamseg.runtime.worker.assignment import Assignment
from streamseg.runtime.worker.given_commands import GivenCommands
from streamseg.transport.control import Beat, FromSupervisor, ToSupervisor, decode_from_supervisor
from streamseg.transport.heartbeats import HeartbeatWriter
from streamseg.transport.slots import SlotBuffer
from streamseg.transport.sockets import Sockets
from streamseg.transport.spans import Span, SpanRecorder
from streamseg.transport.tickets import Begun, Finished, Outcome
from streamseg.transport.wire import MessageDecoder, MessageEncoder, stamp_of, with_sent_ns

log = logging.getLogger(__name__)

BEAT_S = 0.5
_MOST_AT_ONCE = 64  # messages taken from one socket before the others get their turn


class WorkerIO:
    """The sockets and buffers that every worker has.

    Args:
        assignment: what the process was told.
        sockets: of the run.
        control: the worker's side of the control channel, if there is one already.
    """

    def __init__(self, assignment: Assignment, sockets: Sockets, control: zmq.Socket[bytes] | None = None) -> None:
        self.spec = assignment.spec
        self.job = assignment.job
        self.heartbeat = None if assignment.heartbeat is None else HeartbeatWriter(*assignment.heartbeat)
        self.sockets = sockets
        fds = assignment.file_descriptors
        own = self.spec.own_buffer
        self._own = None if own is None else self._attach(own, fds, writable=True)
        self.buffers = {buffer.number: self._attach(buffer, fds, writable=False) for buffer in self.spec.buffers}
        shared = dict(self.buffers)
        if own is not None and self._own is not None:
            shared[own.number] = self._own
        self._encoder = MessageEncoder(shared, self._place)
        self._outbox = [sockets.push(endpoints) for endpoints in self.spec.outbox]
        self._feedback = [sockets.push([endpoint]) for endpoint in self.spec.feedback_outbox]
        reports_to = self.spec.finished or self.spec.begun
        self._reports = {stream: sockets.push([endpoint]) for stream, endpoint in reports_to.items()}
        # Bound before the node is set up, which may take long, so that nobody has to try again.
        self.inbox = sockets.pull(inbox(self.spec.name, self.spec.replica)) if self.spec.inputs else None
        self.finished_inbox = sockets.pull(finished_inbox(self.spec.name)) if self.spec.source else None
        takes_back = bool(self.spec.feedback_inputs)
        self.feedback_inbox = sockets.pull(feedback_inbox(self.spec.name, self.spec.replica)) if takes_back else None
        self.control = sockets.worker(self.spec.identity) if control is None else control
        self.statuses: deque[SourceStatus] = deque()
        """What a source has to say of itself, from any of its threads, and nobody has sent yet."""
        self.given_commands = GivenCommands() if self.spec.gives_commands else None
        """Commands that the node gives to others; None if it gives none."""
        self.spans = SpanRecorder() if assignment.traced else None
        """When the node worked on what; None if nobody wants to know."""
        self._packer = msgspec.msgpack.Encoder()
        self._next_beat_s = 0.0

    def context(self) -> NodeContext:
        """What the node sees of all this."""
        spec = self.spec
        return NodeContext(
            spec.name,
            streams=spec.streams,
            threads=spec.threads,
            output_dir=spec.output_dir,
            empty=self.empty,
            feedback=self.send_feedback,
            has_feedback=bool(spec.feedback_outbox or spec.feedback_inputs),
            tell_status=self.statuses.append,
            command=nobody_takes_commands if self.given_commands is None else self.given_commands.give,
            job=self.job,
        )

    def first_seqs(self) -> dict[str, int]:
        """Stream -> number of its first frame in this run, where that is not 0."""
        return {} if self.job is None else {name: place.seq for name, place in self.job.positions.items()}

    def empty(self, stamp: Stamp, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """An array in this node's slot for the frame."""
        if self._own is None:
            return np.empty(tuple(shape), dtype)
        return self._own.empty(stamp.ticket, stamp.generation, shape, dtype)

    def encode(self, message: Message) -> list[Any]:
        """A message as it travels.

        Raises:
            WireError: something in it cannot; other errors of encoding and of a full slot pass through.
        """
        return self._encoder.encode(message)

    def send(self, parts: list[Any]) -> None:
        """Send an encoded message along every link that leaves this node."""
        timed = with_sent_ns(parts)
        for socket in self._outbox:
            socket.send_multipart(timed)

    def send_feedback(self, message: Message) -> None:
        """Send along the back-edge."""
        parts = self._encoder.encode(message)
        for socket in self._feedback:
            socket.send_multipart(parts)

    def finish(self, stamp: Stamp, outcome: Outcome) -> None:
        """Tell the source that a frame's journey has ended at this sink."""
        report = Finished(self.spec.name, stamp.ticket, stamp.generation, outcome)
        self._reports[stamp.stream].send(self._packer.encode(report))

    def begin(self, stamp: Stamp, slack_ns: int | None, *, takes_batches: bool) -> None:
        """Tell the source that this node has begun with a frame, and how long that had waited (`Begun.slack_ns`)."""
        report = Begun(self.spec.name, stamp.ticket, stamp.generation, slack_ns, takes_batches)
        self._reports[stamp.stream].send(self._packer.encode(report))

    def poll(self, seconds: float, poller: zmq.Poller) -> dict[Any, int]:
        """Wait for something to do, for so long at most. Returns what has come."""
        if self.heartbeat is not None:
            self.heartbeat.idle()
        news = dict(poller.poll(int(seconds * 1000)))
        if self.heartbeat is not None:
            self.heartbeat.busy()
        return news

    def report(self, message: ToSupervisor) -> None:
        """Tell the supervisor."""
        self.control.send(self._packer.encode(message))

    def instructions(self) -> list[FromSupervisor]:
        """What the supervisor has said since."""
        found: list[FromSupervisor] = []
        while self.control.poll(0):
            try:
                found.append(decode_from_supervisor(self.control.recv()))
            except WireError as error:
                log.warning("an instruction was thrown away: %s", error)
        return found

    def take_spans(self) -> list[Span]:
        """What there is to trace since the last time."""
        return [] if self.spans is None else self.spans.take()

    def close(self) -> None:
        """Give what was said last, to the sources and to the supervisor, a moment to leave."""
        if self.heartbeat is not None:
            self.heartbeat.close()
        if self.given_commands is not None:
            self.given_commands.close()
        for socket in (*self._reports.values(), self.control):
            socket.close(linger=1000)

    def beat(self, make: Callable[[], Beat], *, at_once: bool = False) -> None:
        """Say how far we are, now and then, or at once."""
        now_s = time.monotonic()
        if at_once or now_s >= self._next_beat_s:
            self._next_beat_s = now_s + BEAT_S
            self.report(make())

    def _place(self, stamp: Stamp, array: np.ndarray) -> np.ndarray:
        copy = self.empty(stamp, array.shape, array.dtype)
        copy[...] = array
        return copy

    def _attach(self, spec: BufferSpec, fds: dict[int, int], *, writable: bool) -> SlotBuffer:
        return SlotBuffer(fds[spec.number], spec.slots, spec.slot_bytes, writable=writable)


def decoded(decoder: MessageDecoder, parts: Sequence[Any], node: str) -> Message | None:
    """A message that has come; a gap for its frame if it cannot be read, and None if not even the frame is known.

    Args:
        decoder: of the types that may come.
        parts: of the message.
        node: where it has come to.
    """
    try:
        return decoder.decode(parts)
    except WireError as error:
        stamp = stamp_of(parts)
        log.warning("a message was thrown away: %s", error)
        return None if stamp is None else Gap(stamp, node, "failed", f"it could not be read: {error}")


def waiting(socket: zmq.Socket[bytes]) -> list[list[zmq.Frame]]:
    """Messages that have arrived at a socket, but not so many that other sockets starve."""
    found: list[list[zmq.Frame]] = []
    while len(found) < _MOST_AT_ONCE and socket.poll(0):
        found.append(socket.recv_multipart(copy=False))
    return found
