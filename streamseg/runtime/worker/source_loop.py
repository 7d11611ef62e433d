"""The loop of a worker process that runs a source: tickets out, frames in, finished frames counted.

A thread reads from the source into a mailbox; the main thread gives waiting frames their tickets and sends them. So
the next frame is decoded while this one is converted, and a source that blocks does not keep the worker from
answering.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

import zmq

from streamseg.errors import RunError, StreamsegError, WireError
from streamseg.graph.plan import SourceSpec
from streamseg.mailbox import Mailbox
from streamseg.messages import End, Gap, Message, SourceStatus, Stamp
from streamseg.node import Captured, Source, ports
from streamseg.runtime.node_code import node_code
from streamseg.runtime.node_faults import check_output, reason_of, trouble
from streamseg.runtime.quantiles import Durations
from streamseg.runtime.stage import LOST
from streamseg.runtime.worker.io import BEAT_S, WorkerIO, waiting
from streamseg.runtime.worker.own_counts import OwnCounts
from streamseg.runtime.worker.pacing import Pacing
from streamseg.transport.control import Beat, Exit, GiveUp, InFlight, Start, Stats, Stop, WhatIsInFlight
from streamseg.transport.histogram import Histogram
from streamseg.transport.spans import SpanRecorder
from streamseg.transport.tickets import Begun, Finished, TicketBook, decode_report

log = logging.getLogger(__name__)

_THREAD_ENDS_S = 0.2
_SETTLE_S = 1.0  # frames that a dead node took along are not reported at all


class SourceWorker:
    """Runs a source until the supervisor says `Exit`."""

    def __init__(self, io: WorkerIO, source: Source[Any]) -> None:
        spec = io.spec.source or SourceSpec([], [])
        self._io = io
        self._source = source
        first_seq = io.first_seqs().get(io.spec.name, 0)
        pacing = Pacing(spec.inner, len(spec.tickets), alone=spec.alone) if source.policy == "freshest" else None
        self._feed = SourceFeed(source, io.spec.name, TicketBook(spec.tickets, spec.sinks), first_seq, pacing)
        self._feed.spans = io.spans
        if io.finished_inbox is None:
            raise RunError(f"{io.spec.name!r} was started as a source without tickets")
        self._finished = io.finished_inbox
        self._poller = zmq.Poller()
        for readable in (self._finished, io.control, self._feed.wake_fd):
            self._poller.register(readable, zmq.POLLIN)

    def run(self) -> None:
        """Work until told to exit."""
        while True:
            self._io.poll(min(self._feed.wait_s, BEAT_S), self._poller)
            self._hear_reports()
            for instruction in self._io.instructions():
                if isinstance(instruction, Exit):
                    self._feed.stop()
                    self._await_last_reports()
                    self._feed.close()
                    return
                if isinstance(instruction, Start):
                    self._feed.start()
                if isinstance(instruction, Stop):
                    self._feed.stop()
                if isinstance(instruction, WhatIsInFlight):
                    self._io.report(InFlight(*self._feed.oldest()))
                if isinstance(instruction, GiveUp):
                    for message in self._feed.gaps_in_flight():
                        self._send(message)
            while self._io.statuses:
                status = self._io.statuses.popleft()
                self._feed.away = status.reason if status.state != "back" else ""
                self._send(status)
            messages = self._feed.next_messages()
            # Before the end of the stream that an error has led to: who hears of the end first takes all for done.
            for error in self._feed.take_errors():
                self._io.report(trouble(error))
            for message in messages:
                self._send(message)
            self._io.beat(lambda: Beat(self._feed.stats(), spans=self._io.take_spans()))

    def _send(self, message: Message) -> None:
        try:
            parts = self._io.encode(message)
        except Exception as error:
            if isinstance(message, (Gap, End, SourceStatus)):
                raise
            parts = self._io.encode(self._feed.failed(message.stamp, error))
        self._io.send(parts)

    def _hear_reports(self) -> None:
        for parts in waiting(self._finished):
            try:
                report = decode_report(parts[0].buffer)
                if isinstance(report, Begun):
                    self._feed.begin(report)
                else:
                    self._feed.finish(report)
            except WireError as error:
                log.warning("a report of a frame was thrown away: %s", error)

    def _await_last_reports(self) -> None:
        """Hear the last reports of the sinks: they come by another way than the order to exit, so maybe after it."""
        deadline_s = time.monotonic() + _SETTLE_S
        while self._feed.in_flight and time.monotonic() < deadline_s:
            self._finished.poll(20)
            self._hear_reports()

    def stats(self) -> Stats:
        """The figures so far."""
        return self._feed.stats()


class SourceFeed:
    """Frames of a source as messages, each with a ticket. No sockets here.

    Args:
        source: set up by the caller.
        name: of the stream.
        book: its tickets.
        first_seq: number of its first frame in this run.
        pacing: when the next frame may enter; None lets it in as soon as there is a ticket.
    """

    def __init__(
        self, source: Source[Any], name: str, book: TicketBook, first_seq: int = 0, pacing: Pacing | None = None
    ) -> None:
        self._source = source
        self._gives = ports(type(source)).gives
        self._name = name
        self._book = book
        self._pacing = pacing
        self._mailbox: Mailbox[Captured[Any]] = Mailbox(source.policy)
        self.wake_fd, self._wake_end = os.pipe()
        os.set_blocking(self.wake_fd, False)
        self._thread = threading.Thread(target=self._read, name=f"{name}-reader", daemon=True)
        self._first_seq = self._seq = first_seq
        self._in_flight: dict[int, Stamp] = {}
        self._next_index = 0
        self._read_ended = False
        self._said_end = False
        self._reason: Literal["finished", "stopped", "failed"] = "finished"
        self._make_times = Durations()
        self._latencies = Durations()
        self._ages = Histogram()
        self._own_counts = OwnCounts(source)
        self._live = source.policy == "freshest"
        self.away = ""
        """Why the source is away; empty while it is there."""
        self.spans: SpanRecorder | None = None
        """Where to note when it worked on what; None if nobody wants to know."""
        self._busy_ns = 0
        self._started_ns = time.monotonic_ns()
        self._failed = 0
        self._errors: deque[Exception] = deque()
        self._too_old = 0  # frames that waited for a ticket until nobody wanted them any more

    @property
    def in_flight(self) -> int:
        """Frames that not every sink is done with."""
        return self._book.in_flight

    @property
    def wait_s(self) -> float:
        """For how long nothing can be sent: 0 if a frame may enter or the end is to be said; infinite until news."""
        if self._mailbox.waiting:
            if not self._book.free:
                return math.inf
            wait_ns = 0 if self._pacing is None else self._pacing.wait_ns(time.monotonic_ns())
            return math.inf if wait_ns is None else wait_ns / 1e9
        return 0.0 if self._read_ended and not self._said_end else math.inf

    def start(self) -> None:
        """Begin to read."""
        if not self._thread.is_alive():
            self._started_ns = time.monotonic_ns()
            self._thread.start()

    def stop(self) -> None:
        """Read no more; the stream ends with the frames that have entered."""
        if not self._read_ended:
            self._reason = "stopped"
            self._mailbox.close()
            self._mailbox.take()
            self._source.stop()
            if not self._thread.is_alive():
                self._read_ended = True

    def close(self) -> None:
        """Let go of what wakes, unless the thread that reads is stuck; it ends with the process then."""
        if self._thread.is_alive():
            self._thread.join(_THREAD_ENDS_S)
        if not self._thread.is_alive():
            os.close(self.wake_fd)
            os.close(self._wake_end)

    def next_messages(self) -> list[Message]:
        """What can be sent now: a frame that got a ticket, or the end of the stream; nothing if neither."""
        self._drain_wake()
        if self.wait_s > 0:
            return []
        captured = self._mailbox.take()
        if captured is not None:
            if captured.good_until_monotonic_ns is not None and time.monotonic_ns() > captured.good_until_monotonic_ns:
                self._too_old += 1
                return []
            return [self._enter(captured)]
        self._said_end = True
        return [End(self._name, self._seq, self._reason)]

    def take_errors(self) -> Iterator[Exception]:
        """Exceptions of the source's code that nobody has been told of yet; the reading thread may add to them."""
        while self._errors:
            yield self._errors.popleft()

    def oldest(self) -> tuple[int, int]:
        """Number of the oldest frame that is not finished, or of the next one, and its number in the source."""
        if not self._in_flight:
            return self._seq, self._next_index
        stamp = min(self._in_flight.values(), key=lambda stamp: stamp.seq)
        return stamp.seq, stamp.index

    def gaps_in_flight(self) -> list[Message]:
        """Every frame in flight as a gap, in order; and the end once more, if it was said."""
        stamps = sorted(self._in_flight.values(), key=lambda stamp: stamp.seq)
        gaps: list[Message] = [Gap(stamp, self._name, "dropped", LOST) for stamp in stamps]
        return [*gaps, End(self._name, self._seq, self._reason)] if self._said_end else gaps

    def finish(self, report: Finished) -> None:
        """Count a frame's end at a sink."""
        journey = self._book.finish(report)
        if journey is not None:
            now_ns = time.monotonic_ns()
            self._in_flight.pop(journey.ticket, None)
            self._latencies.add(now_ns - journey.arrived_monotonic_ns)
            if self._pacing is not None:
                self._pacing.leave(journey.ticket, now_ns)

    def begin(self, report: Begun) -> None:
        """A node has begun with a frame."""
        stamp = self._in_flight.get(report.ticket)
        if self._pacing is not None and stamp is not None and stamp.generation == report.generation:
            self._pacing.begin(report, time.monotonic_ns())

    def failed(self, stamp: Stamp, error: Exception) -> Gap:
        """What goes on in place of a frame that could not be made, or not be sent."""
        self._errors.append(error)
        self._failed += 1
        return Gap(stamp, self._name, "failed", reason_of(error))

    def stats(self) -> Stats:
        """Counts and times so far."""
        stats = Stats(
            frames=self._seq - self._first_seq - self._failed,
            failed=self._failed,
            dropped=self._mailbox.dropped + self._too_old + self._source.dropped,
            busy_s=round(self._busy_ns / 1e9, 6),
            running_s=round((time.monotonic_ns() - self._started_ns) / 1e9, 6) if self._thread.ident else 0.0,
            process_ms=self._make_times.summary(),
            latency_ms=self._latencies.summary(),
            entered=self._seq - self._first_seq,
            passed=self._seq - self._first_seq,
            ended=self._said_end,
            finished=dict(sorted(self._book.outcomes.items())),
            process_times=self._make_times.histogram,
            ages=self._ages.copy(),
            latencies=self._latencies.histogram,
            dropped_by={"replaced": self._mailbox.dropped, "late": self._too_old},
            live=self._live,
            away=self.away,
        )
        return self._own_counts.added_to(stats)

    def _enter(self, captured: Captured[Any]) -> Message:
        ticket, generation = self._book.take(captured.arrived_monotonic_ns)
        stamp = Stamp(
            self._name,
            self._seq,
            captured.index,
            captured.pts,
            captured.time_base,
            captured.captured_ns,
            ticket,
            generation,
            captured.damaged,
            captured.pixel_aspect,
            captured.scaled_from,
            captured.captured_clock,
            captured.arrived_ns,
            captured.frame_id,
        )
        self._seq += 1
        self._in_flight[ticket] = stamp
        if self._pacing is not None:
            self._pacing.enter(ticket)
        self._next_index = captured.index + 1
        started_ns = time.monotonic_ns()
        message: Message
        try:
            with node_code:
                message = captured.make(stamp)
            if self._gives is not None:
                check_output(self._gives, stamp, message)
        except Exception as error:  # noqa: BLE001 (one frame that cannot be made must cost that frame only)
            message = self.failed(stamp, error)
        elapsed_ns = time.monotonic_ns() - started_ns
        self._busy_ns += elapsed_ns
        self._make_times.add(elapsed_ns)
        self._ages.add(started_ns + elapsed_ns - captured.arrived_monotonic_ns)
        if self.spans is not None:
            self.spans.work([(stamp.stream, stamp.seq)], started_ns, started_ns + elapsed_ns)
        return message

    def _read(self) -> None:
        try:
            with node_code:
                began_ns = time.monotonic_ns()
                for captured in self._source.produce():
                    if self.spans is not None:
                        self.spans.read(self._name, captured.index, began_ns, time.monotonic_ns())
                    if not self._mailbox.put(captured):
                        break
                    self._wake()
                    began_ns = time.monotonic_ns()
        except StreamsegError as error:
            self._reason = "failed"
            self._errors.append(error)
        except Exception as error:
            log.exception("the source failed")
            self._reason = "failed"
            self._errors.append(RunError(f"reading ended with {reason_of(error)}"))
        finally:
            self._read_ended = True
            self._wake()

    def _wake(self) -> None:
        os.write(self._wake_end, b"\0")

    def _drain_wake(self) -> None:
        try:
            os.read(self.wake_fd, 4096)
        except BlockingIOError:
            return
