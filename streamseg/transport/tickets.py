"""Tickets, which the field calls credits: one idea for memory, backpressure, accounting and latency.

A source holds N tickets. A frame enters only with one; its number is the frame's slot in every node's output buffer.
Every sink below the source reports when it is done with the frame; when all have, the ticket is free again. So at
most N frames are in flight, nothing queues without bound, and every frame that went in is seen to come out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Literal

import msgspec

from streamseg.errors import WireError

Outcome = Literal["done", "dropped", "failed"]
_WORSE: dict[Outcome, int] = {"done": 0, "dropped": 1, "failed": 2}


class Finished(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From a sink to the source: this frame's journey has ended here."""

    sink: str
    ticket: int
    generation: int
    outcome: Outcome


class Begun(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From a node that is no sink to the source: it has begun with this frame."""

    node: str
    ticket: int
    generation: int
    slack_ns: int | None
    """How long the frame had waited for the node; below 0, how long the node had nothing to do before it came."""
    takes_batches: bool = False


_decoder: msgspec.msgpack.Decoder[Finished | Begun] = msgspec.msgpack.Decoder(Finished | Begun)


def decode_report(part: bytes | memoryview) -> Finished | Begun:
    """What a node has said of a frame.

    Raises:
        WireError: it is not such a report.
    """
    try:
        return _decoder.decode(part)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"not what a node says of a frame: {error}") from error


class Journey(msgspec.Struct, frozen=True):
    """A frame that every sink is done with."""

    ticket: int
    outcome: Outcome
    arrived_monotonic_ns: int
    """When the frame came to the source, by the monotonic clock."""


class _Slot:
    __slots__ = ("arrived_monotonic_ns", "generation", "open_sinks", "outcome")

    def __init__(self) -> None:
        self.generation = 0
        self.open_sinks: set[str] = set()
        self.outcome: Outcome = "done"
        self.arrived_monotonic_ns = 0


class TicketBook:
    """The books of one source: which tickets are out, and how each journey ended.

    Args:
        tickets: the numbers this source may hand out; no other source of the graph has them.
        sinks: names of the sinks that must finish each frame.
    """

    def __init__(self, tickets: Iterable[int], sinks: Iterable[str]) -> None:
        self._sinks = frozenset(sinks)
        self._slots = {ticket: _Slot() for ticket in tickets}
        self._free = deque(self._slots)
        self.outcomes: Counter[Outcome] = Counter()
        """How many journeys ended which way; a frame that failed anywhere has failed."""

    @property
    def in_flight(self) -> int:
        """Tickets that are out."""
        return len(self._slots) - len(self._free)

    @property
    def free(self) -> bool:
        """Whether there is a ticket to take."""
        return bool(self._free)

    def take(self, arrived_monotonic_ns: int) -> tuple[int, int]:
        """A free ticket and its new generation.

        Raises:
            IndexError: all are out; ask `free` first.
        """
        ticket = self._free.popleft()
        slot = self._slots[ticket]
        slot.generation += 1
        slot.open_sinks = set(self._sinks)
        slot.outcome = "done"
        slot.arrived_monotonic_ns = arrived_monotonic_ns
        return ticket, slot.generation

    def finish(self, report: Finished) -> Journey | None:
        """Enter a sink's report. Returns the journey if it was the last one missing.

        A report of an earlier generation, or a second one from the same sink, changes nothing.

        Raises:
            WireError: no such ticket or sink in these books.
        """
        slot = self._slots.get(report.ticket)
        if slot is None or report.sink not in self._sinks:
            raise WireError(f"sink {report.sink!r} finished ticket {report.ticket}, which this source does not know")
        if slot.generation != report.generation or report.sink not in slot.open_sinks:
            return None
        slot.open_sinks.discard(report.sink)
        slot.outcome = max(slot.outcome, report.outcome, key=_WORSE.__getitem__)
        if slot.open_sinks:
            return None
        self._free.append(report.ticket)
        self.outcomes[slot.outcome] += 1
        return Journey(report.ticket, slot.outcome, slot.arrived_monotonic_ns)
