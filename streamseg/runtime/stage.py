"""What happens to messages at one node, apart from how they got there: order, batches, gaps, failures, ends.

The worker process and the inline runner both drive nodes through this.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamseg import structs
from streamseg.commands import Refused, Reply
from streamseg.errors import PromptError, RunError, StreamsegError
from streamseg.messages import End, Gap, Message, Segmented, SourceStatus, Stamp
from streamseg.node import Node, ports
from streamseg.runtime.early_work import EarlyWork
from streamseg.runtime.node_code import node_code
from streamseg.runtime.node_faults import check_output, reason_of, trouble
from streamseg.runtime.quantiles import Durations
from streamseg.transport.control import Stats, TrackerAt, Trouble
from streamseg.transport.histogram import Histogram
from streamseg.transport.reorder import ReorderBuffer
from streamseg.transport.spans import SpanRecorder
from streamseg.transport.tickets import Outcome

log = logging.getLogger(__name__)

LOST = "lost when a process of the graph was replaced"
"""Reason of a gap that a source sends in place of every frame in flight, in case nobody has it any more."""
_REMEMBERED = 4096


def _unheard(stamp: Stamp) -> None:
    """Nobody listens."""


class Passed(msgspec.Struct, frozen=True):
    """What came of one message: what goes on from here, and for a frame how it fared at this node."""

    message: Message | None
    stamp: Stamp | None
    outcome: Outcome = "done"


class Stage:
    """A node with its queue.

    Args:
        node: set up by the caller.
        ordered: bring frames of a stream into order first; replicas, which see only some of them, do not.
        first_seqs: stream -> number of the first frame to come, where that is not 0.
        on_begin: told of each frame that is begun with, before the node has it.
    """

    def __init__(
        self,
        node: Node[Any, Any],
        name: str,
        *,
        ordered: bool,
        first_seqs: Mapping[str, int] | None = None,
        on_begin: Callable[[Stamp], None] = _unheard,
    ) -> None:
        self._node = node
        self._name = name
        self._ordered = ordered
        self._first_seqs = first_seqs or {}
        self._on_begin = on_begin
        self._gives = ports(type(node)).gives
        self._is_sink = self._gives is None
        self._reorder: dict[str, ReorderBuffer[Message]] = {}
        self._queue: deque[Message] = deque()
        self._durations = Durations()
        self._ages = Histogram()
        self.spans: SpanRecorder | None = None
        """Where to note when the node worked on what; None if nobody wants to know."""
        self._started_ns = time.monotonic_ns()
        self._busy_ns = 0
        self._stats = Stats()
        self._repeats: set[tuple[str, int]] = set()
        self._last: dict[str, Any] = {}
        self._outcomes: dict[tuple[str, int], Outcome] = {}  # how frames fared at this sink, as long as it may be asked
        self._early = EarlyWork(node)
        self._not_ready: dict[tuple[str, int], str] = {}  # frames of which the node could not even say that
        self.open_streams: set[str] = set()
        """Streams that have begun and are not over."""
        self.ended_streams: set[str] = set()
        self.troubles: list[Trouble] = []
        """Exceptions of the node's code that nobody has been told of yet."""
        self.failed_for_good = False
        """After a fatal error the node is not called any more: frames pass as gaps, ends still flush."""

    def accept(self, message: Message) -> None:
        """Put a message into the queue."""
        if not self._ordered or isinstance(message, SourceStatus):
            self._queue.append(message)
            return
        stream, seq = _place(message)
        if stream not in self._reorder:
            self._reorder[stream] = ReorderBuffer(self._first_seqs.get(stream, 0))
        if self._reorder[stream].is_over(seq):
            self._accept_repeat(message)
        self._queue.extend(self._reorder[stream].push(seq, message))

    def _accept_repeat(self, message: Message) -> None:
        """What was here before and is repeated for those below; one that still waits gives way to its gap."""
        if isinstance(message, End):
            self._queue.append(message)
        elif isinstance(message, Gap) and message.reason == LOST:
            for position, waiting in enumerate(self._queue):
                if not isinstance(waiting, (End, SourceStatus)) and _place(waiting) == _place(message):
                    self._queue[position] = message
                    return
            self._repeats.add(_place(message))
            self._queue.append(message)

    @property
    def runnable(self) -> bool:
        """Whether `step` would do anything now."""
        return bool(self._queue) and self._can_take(self._queue[0])

    def step(self) -> list[Passed]:
        """Work on the next message, or on the next few if the node takes batches."""
        if not self.runnable:
            return []
        message = self._queue.popleft()
        if isinstance(message, End):
            return [self._end(message)]
        if isinstance(message, SourceStatus):
            self._guarded(lambda: self._node.status(message))
            return [Passed(message, None)]
        self.open_streams.add(message.stamp.stream)
        self._on_begin(message.stamp)
        if isinstance(message, Gap):
            return [self._repeat(message) if _place(message) in self._repeats else self._gap(message)]
        reason = self._not_ready.pop(_place(message), None)
        if reason is not None:
            return [self._failed(message, reason)]
        batch = [message]
        while len(batch) < self._node.batch and self._queue and self._joins(self._queue[0]):
            batch.append(self._queue.popleft())
            self._on_begin(batch[-1].stamp)
        return self._work(batch)

    @property
    def waits(self) -> bool:
        """Whether there is a message, but the node cannot take it before something else has come."""
        return bool(self._queue) and not self.runnable

    def work_ahead(self) -> tuple[str, int] | None:
        """While it `waits`, let the node do what it can for the next message.

        Returns:
            Stream and number of the message; None if nothing was done.
        """
        place, worked = _place(self._queue[0]), None
        try:
            worked = self._early.work(place, self._queue[0])
        except Exception as error:  # noqa: BLE001 (as for frames: a node's code may raise anything)
            self.report(error)
        if worked is None:
            return None
        self._busy_ns += worked.ended_ns - worked.started_ns
        if self.spans is not None:
            self.spans.work([place], *worked)
        return place

    def command(self, body: msgspec.Raw, reply: Reply) -> None:
        """Hand a command to the node; what it raises is the answer.

        Args:
            body: msgpack.
            reply: gets the answer, now or later.
        """
        try:
            if self.failed_for_good or self._node.takes_commands is None:
                raise RunError(f"node {self._name!r} has failed and takes no commands any more")
            command = structs.convert(
                msgspec.msgpack.decode(body), self._node.takes_commands, "the command", PromptError
            )
            with node_code:
                self._node.on_command(command, reply)
        except (StreamsegError, msgspec.DecodeError) as error:
            reply(
                Refused("PromptError" if isinstance(error, msgspec.DecodeError) else type(error).__name__, str(error))
            )
        except Exception as error:  # noqa: BLE001 (as for frames: a node's code may raise anything)
            self.report(error)
            reply(Refused.of(error))

    def withdraw(self, reply: Reply) -> None:
        """Ask the node to take back the command that it got with this way to answer."""
        self._guarded(lambda: self._node.on_withdrawn(reply))

    def tick(self) -> None:
        """Let the node do what is due by the clock."""
        self._guarded(self._node.tick)

    def finalize(self, *, stopped: bool = True) -> None:
        """No more will come although streams are open: flush them.

        Args:
            stopped: whether they were cut off before their end.
        """
        # A copy of a sink does not see the ends of streams, and maybe not one of their frames.
        streams = self.open_streams if self._ordered else {*self.open_streams, *self._node.context.streams}
        for stream in sorted(streams - self.ended_streams):
            self._finish(stream, stopped=stopped)

    def not_sent(self, message: Message, error: Exception) -> Gap:
        """What goes on in place of a message that cannot be sent: it costs its frame only."""
        self.report(error)
        self._stats.frames -= 1
        self._stats.failed += 1
        return Gap(message.stamp, self._name, "failed", reason_of(error))

    def stats(self) -> Stats:
        """Counts and times so far."""
        return msgspec.structs.replace(
            self._stats,
            waiting=len(self._queue),
            held=sum(buffer.waiting for buffer in self._reorder.values()),
            busy_s=round(self._busy_ns / 1e9, 6),
            running_s=round((time.monotonic_ns() - self._started_ns) / 1e9, 6),
            process_ms=self._durations.summary(),
            process_times=self._durations.histogram,
            ages=self._ages.copy(),
            objects=self._objects(),
        )

    def _objects(self) -> dict[str, dict[str, int]]:
        """Stream -> state -> how many objects of its last frame are in it."""
        found = {stream: message for stream, message in self._last.items() if isinstance(message, Segmented)}
        return {stream: dict(Counter(each.state for each in message.objects)) for stream, message in found.items()}

    def trackers(self) -> dict[str, TrackerAt]:
        """Stream -> state of the tracker that came with its last frame."""
        found = {
            stream: (message.stamp.index, getattr(message, "tracker", None)) for stream, message in self._last.items()
        }
        return {
            stream: TrackerAt(index, bytes(state))
            for stream, (index, state) in found.items()
            if isinstance(state, msgspec.Raw)
        }

    def report(self, error: Exception) -> bool:
        """Note an exception of the node's code. Returns whether it ends the run."""
        self.troubles.append(trouble(error))
        self.failed_for_good |= self.troubles[-1].fatal
        return self.troubles[-1].fatal

    def _can_take(self, message: Message) -> bool:
        if isinstance(message, (Gap, End, SourceStatus)) or self.failed_for_good or _place(message) in self._not_ready:
            return True
        try:
            with node_code:
                return self._node.ready(message)
        except Exception as error:  # noqa: BLE001 (as for frames: a node's code may raise anything)
            self.report(error)
            self._not_ready[_place(message)] = reason_of(error)
            return True

    def _joins(self, message: Message) -> bool:
        takes = not isinstance(message, (Gap, End, SourceStatus)) and self._can_take(message)
        return takes and _place(message) not in self._not_ready

    def _work(self, batch: Sequence[Message]) -> list[Passed]:
        if self.failed_for_good:
            return [self._failed(message, "the node has failed") for message in batch]
        started_ns = time.monotonic_ns()
        try:
            with node_code:
                results = list(self._node.process_batch(batch))
            if len(results) != len(batch):
                raise TypeError(f"process_batch() took {len(batch)} messages and gave {len(results)} results")
        except Exception as error:  # noqa: BLE001 (a node's code may raise anything; it must cost its frame only)
            if len(batch) > 1 and not (isinstance(error, StreamsegError) and error.fatal):
                return [passed for message in batch for passed in self._work([message])]
            self.report(error)
            return [self._failed(message, reason_of(error)) for message in batch]
        finally:
            elapsed_ns = time.monotonic_ns() - started_ns
            self._busy_ns += elapsed_ns
            if self.spans is not None:
                self.spans.work([_place(message) for message in batch], started_ns, started_ns + elapsed_ns)
        for message in batch if self._is_sink else ():
            self._last[message.stamp.stream] = message
        for message in batch:
            self._durations.add(elapsed_ns / len(batch) + self._early.spent_ns(_place(message)))
        return [self._passed(message, result) for message, result in zip(batch, results, strict=True)]

    def _passed(self, message: Message, result: Message | None) -> Passed:
        if result is None and not self._is_sink:
            self._stats.dropped += 1
            self._stats.passed += 1
            gap = Gap(message.stamp, self._name, "dropped", f"dropped by {self._name}")
            return Passed(gap, message.stamp, "dropped")
        if self._gives is not None:
            try:
                check_output(self._gives, message.stamp, result)
            except TypeError as error:
                self.report(error)
                return self._failed(message, reason_of(error))
        self._stats.frames += 1
        self._ages.add(time.time_ns() - message.stamp.came_ns)
        return self._with_outcome(Passed(result, message.stamp))

    def _failed(self, message: Message, reason: str) -> Passed:
        self._stats.failed += 1
        return self._with_outcome(Passed(Gap(message.stamp, self._name, "failed", reason), message.stamp, "failed"))

    def _repeat(self, gap: Gap) -> Passed:
        """A gap in place of a frame that this node has had: only those below may need it."""
        self._repeats.discard(_place(gap))
        self._guarded(lambda: self._node.repeated(gap))
        return Passed(gap, gap.stamp, self._outcomes.get(_place(gap), gap.kind))

    def _gap(self, gap: Gap) -> Passed:
        self._guarded(lambda: self._node.gap(gap))
        return self._with_outcome(Passed(gap, gap.stamp, gap.kind))

    def _guarded(self, call: Callable[[], None]) -> None:
        """Call what is not about a frame that could fail at this node."""
        if not self.failed_for_good:
            try:
                with node_code:
                    call()
            except Exception as error:  # noqa: BLE001 (a node's code may raise anything)
                self.report(error)

    def _with_outcome(self, passed: Passed) -> Passed:
        self._stats.passed += 1
        if self._is_sink and passed.stamp is not None:
            self._outcomes[passed.stamp.stream, passed.stamp.seq] = passed.outcome
            if len(self._outcomes) > _REMEMBERED:
                del self._outcomes[next(iter(self._outcomes))]
        return passed

    def _end(self, end: End) -> Passed:
        if end.stream not in self.ended_streams and (self._ordered or not self._is_sink):
            self._finish(end.stream, stopped=end.reason != "finished")
        return Passed(end, None)

    def _finish(self, stream: str, *, stopped: bool) -> None:
        if stopped:
            self._node.context.stopped.add(stream)
        self.open_streams.discard(stream)
        self.ended_streams.add(stream)
        try:
            with node_code:
                self._node.finish(stream)
        except Exception as error:  # noqa: BLE001 (as above; but what was not flushed is lost, so it ends the run)
            if not self.report(error):
                self.troubles[-1] = msgspec.structs.replace(self.troubles[-1], fatal=True)


def _place(message: Message) -> tuple[str, int]:
    if isinstance(message, End):
        return message.stream, message.seq
    return message.stamp.stream, message.stamp.seq
