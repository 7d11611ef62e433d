"""What happens to messages at one node, apart from how they got there: order, batches, gaps, failures, ends.

The worker process and the inline runner both drive nodes through this.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from streamseg.commands import Refused, Reply
from streamseg.errors import RunError, StreamsegError
from streamseg.messages import End, Gap, Message, Stamp
from streamseg.node import Node, ports
from streamseg.redaction import redact_text
from streamseg.runtime.quantiles import Durations
from streamseg.transport.control import Stats, Trouble
from streamseg.transport.reorder import ReorderBuffer
from streamseg.transport.tickets import Outcome

log = logging.getLogger(__name__)


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
    """

    def __init__(self, node: Node[Any, Any], name: str, *, ordered: bool) -> None:
        self._node = node
        self._name = name
        self._ordered = ordered
        self._is_sink = ports(type(node)).gives is None
        self._reorder: dict[str, ReorderBuffer[Message]] = {}
        self._queue: deque[Message] = deque()
        self._durations = Durations()
        self._started_ns = time.monotonic_ns()
        self._busy_ns = 0
        self._stats = Stats()
        self.open_streams: set[str] = set()
        """Streams that have begun and are not over."""
        self.ended_streams: set[str] = set()
        self.troubles: list[Trouble] = []
        """Exceptions of the node's code that nobody has been told of yet."""
        self.failed_for_good = False
        """After a fatal error the node is not called any more: frames pass as gaps, ends still flush."""

    def accept(self, message: Message) -> None:
        """Put a message into the queue."""
        if not self._ordered:
            self._queue.append(message)
            return
        stream, seq = _place(message)
        self._queue.extend(self._reorder.setdefault(stream, ReorderBuffer()).push(seq, message))

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
        self.open_streams.add(message.stamp.stream)
        if isinstance(message, Gap):
            return [self._gap(message)]
        batch = [message]
        while len(batch) < self._node.batch and self._queue and self._joins(self._queue[0]):
            batch.append(self._queue.popleft())
        return self._work(batch)

    def command(self, body: msgspec.Raw, reply: Reply) -> None:
        """Hand a command to the node; what it raises is the answer.

        Args:
            body: msgpack.
            reply: gets the answer, now or later.
        """
        try:
            if self.failed_for_good or self._node.takes_commands is None:
                raise RunError(f"node {self._name!r} has failed and takes no commands any more")
            self._node.on_command(msgspec.msgpack.decode(body, type=self._node.takes_commands), reply)
        except (StreamsegError, msgspec.DecodeError) as error:
            reply(
                Refused("PromptError" if isinstance(error, msgspec.DecodeError) else type(error).__name__, str(error))
            )
        except Exception as error:  # noqa: BLE001 (as for frames: a node's code may raise anything)
            self.report(error)
            reply(Refused.of(error))

    def finalize(self) -> None:
        """No more will come although streams are open: flush them."""
        for stream in sorted(self.open_streams):
            self._finish(stream)

    def stats(self) -> Stats:
        """Counts and times so far."""
        return msgspec.structs.replace(
            self._stats,
            busy_s=round(self._busy_ns / 1e9, 6),
            running_s=round((time.monotonic_ns() - self._started_ns) / 1e9, 6),
            process_ms=self._durations.summary(),
        )

    def report(self, error: Exception) -> bool:
        """Note an exception of the node's code. Returns whether it ends the run."""
        self.troubles.append(trouble(error))
        self.failed_for_good |= self.troubles[-1].fatal
        return self.troubles[-1].fatal

    def _can_take(self, message: Message) -> bool:
        return isinstance(message, (Gap, End)) or self.failed_for_good or self._node.ready(message)

    def _joins(self, message: Message) -> bool:
        return not isinstance(message, (Gap, End)) and self._can_take(message)

    def _work(self, batch: Sequence[Message]) -> list[Passed]:
        if self.failed_for_good:
            return [self._failed(message, "the node has failed") for message in batch]
        started_ns = time.monotonic_ns()
        try:
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
        for _ in batch:
            self._durations.add(elapsed_ns / len(batch))
        return [self._passed(message, result) for message, result in zip(batch, results, strict=True)]

    def _passed(self, message: Message, result: Message | None) -> Passed:
        if result is None and not self._is_sink:
            self._stats.dropped += 1
            gap = Gap(message.stamp, self._name, "dropped", f"dropped by {self._name}")
            return Passed(gap, message.stamp, "dropped")
        self._stats.frames += 1
        return Passed(result, message.stamp)

    def _failed(self, message: Message, reason: str) -> Passed:
        self._stats.failed += 1
        return Passed(Gap(message.stamp, self._name, "failed", reason), message.stamp, "failed")

    def _gap(self, gap: Gap) -> Passed:
        if not self.failed_for_good:
            try:
                self._node.gap(gap)
            except Exception as error:  # noqa: BLE001 (as above)
                self.report(error)
        return Passed(gap, gap.stamp, gap.kind)

    def _end(self, end: End) -> Passed:
        self._finish(end.stream)
        self._reorder.pop(end.stream, None)
        return Passed(end, None)

    def _finish(self, stream: str) -> None:
        self.open_streams.discard(stream)
        self.ended_streams.add(stream)
        try:
            self._node.finish(stream)
        except Exception as error:  # noqa: BLE001 (as above; but what was not flushed is lost, so it ends the run)
            if not self.report(error):
                self.troubles[-1] = msgspec.structs.replace(self.troubles[-1], fatal=True)


def trouble(error: Exception) -> Trouble:
    """An exception as the supervisor is told of it, without the secrets of any URL in it."""
    known = isinstance(error, StreamsegError)
    message = redact_text(str(error)) if known else reason_of(error)
    fatal = isinstance(error, StreamsegError) and error.fatal
    where = redact_text("".join(traceback.format_exception(error)))
    return Trouble(type(error).__name__, message, where, fatal)


def reason_of(error: Exception) -> str:
    """Why a frame failed, for its gap, without the secrets of any URL in it."""
    return redact_text(f"{type(error).__name__}: {error}")


def _place(message: Message) -> tuple[str, int]:
    if isinstance(message, End):
        return message.stream, message.seq
    return message.stamp.stream, message.stamp.seq
