"""What the supervisor and its workers tell each other; never on a data edge, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streamseg.commands import Answer, Request, Response
from streamseg.errors import WireError
from streamseg.transport.histogram import Histogram
from streamseg.transport.spans import Span


class Stats(msgspec.Struct, kw_only=True):
    """What one worker process has done so far. Times in milliseconds are per frame."""

    frames: int = 0
    """Frames this node gave on, or finished if it is a sink."""
    failed: int = 0
    """Frames this node failed at."""
    dropped: int = 0
    """Frames this node dropped; for a source, those it never let in."""
    passed: int = 0
    """Frames and gaps that left this node, or ended here if it is a sink."""
    waiting: int = 0
    """Those that wait until this node can begin with them."""
    held: int = 0
    """Those that came too early and wait for one before them."""
    busy_s: float = 0.0
    running_s: float = 0.0
    process_ms: dict[str, float] = {}
    """p50, p95, p99 of the time this node spends on a frame."""
    latency_ms: dict[str, float] = {}
    """Sources only: p50, p95, p99 from the capture of a frame until every sink was done with it."""
    entered: int = 0
    """Sources only: frames that got a ticket."""
    finished: dict[str, int] = {}
    """Sources only: how those frames ended: done, dropped, failed."""
    ended: bool = False
    """Sources only: whether no more will enter."""
    pid: int = 0
    """Number of the process: another one in its place begins to count at 0."""
    process_times: Histogram = msgspec.field(default_factory=Histogram)
    """The same times as in `process_ms`."""
    ages: Histogram = msgspec.field(default_factory=Histogram)
    """How long ago frames had come to this machine when this node was done with them."""
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    """Sources only: the same times as in `latency_ms`."""
    dropped_by: dict[str, int] = {}
    """Sources only: `dropped` by the reason."""
    live: bool = False
    """Sources only: whether frames are lost rather than waited for."""
    away: str = ""
    """Sources only: why the source is away; empty while it is there."""
    counters: dict[str, int] = {}
    """What the node counts of its own (`Node.counters`)."""
    objects: dict[str, dict[str, int]] = {}
    """Sinks only: stream -> state -> how many objects of the last frame are in it."""


class TrackerAt(msgspec.Struct, frozen=True):
    """A state of the tracker, and the frame after which it was that."""

    index: int
    """Number of the frame in the source."""
    state: bytes


class ToSupervisor(msgspec.Struct, frozen=True, tag=True):
    """Base of what workers say; the socket's identity says who."""


class Ready(ToSupervisor, frozen=True):
    """Set up, waiting for `Start`."""

    facts: dict[str, Any]
    live: bool = False
    """Sources only: whether frames are lost rather than waited for."""


class Beat(ToSupervisor, frozen=True):
    """Alive, and how far."""

    stats: Stats
    trackers: dict[str, TrackerAt] = {}
    """Sinks only: stream -> state of the tracker after the last frame that came."""
    spans: list[Span] = []
    """What there is to trace since the last one, if somebody wants a trace."""


class InFlight(ToSupervisor, frozen=True):
    """Sources only, asked for by `WhatIsInFlight`."""

    first_seq: int
    """Number of the oldest frame that is not finished, or of the next one."""
    index: int
    """Number in the source of that frame, or of one before it."""


class Trouble(ToSupervisor, frozen=True):
    """An exception in the node's code."""

    kind: str
    """Class name from `streamseg.errors`; anything else was not raised on purpose."""
    message: str
    traceback: str
    fatal: bool


class Done(ToSupervisor, frozen=True):
    """Sinks only: every stream is over and everything is written."""


class Bye(ToSupervisor, frozen=True):
    """Last words."""

    stats: Stats
    facts: dict[str, Any]
    spans: list[Span] = []
    """As of a `Beat`."""
    stays: bool = False
    """Whether the process waits for another assignment; else it ends."""


class Answered(ToSupervisor, frozen=True):
    """What came of a `Command`."""

    number: int
    answer: Answer


class Asked(ToSupervisor, frozen=True):
    """A node that gives commands: here is one for another node, or one that is taken back. `Responded` answers it."""

    request: Request


class ToWorker(msgspec.Struct, frozen=True, tag=True):
    """Base of what the supervisor says."""


class Start(ToWorker, frozen=True):
    """Sources: begin."""


class Stop(ToWorker, frozen=True):
    """Sources: let no more frames in; what is in flight is finished."""


class Finalize(ToWorker, frozen=True):
    """Sinks: nothing more will come; flush and say `Done`."""

    stopped: bool = True
    """Whether streams were cut off before their end."""


class WhatIsInFlight(ToWorker, frozen=True):
    """Sources: a process of a live graph has died; say where the one in its place begins."""


class GiveUp(ToWorker, frozen=True):
    """Something that was waited for will not come.

    Sources: that process is replaced; send every frame in flight once more, as a gap, in case it was lost. Nodes: the
    one that says something back has failed; pass on frames as gaps.
    """


class Exit(ToWorker, frozen=True):
    """Close the node and go."""


class Command(ToWorker, frozen=True):
    """Nodes that take commands: here is one. `Answered` has the same number."""

    number: int
    body: msgspec.Raw


class Withdraw(ToWorker, frozen=True):
    """The command of that number is not wanted any more; if it can still be taken back its answer says so."""

    number: int


class Responded(ToWorker, frozen=True):
    """What came of what the node has `Asked`."""

    response: Response


class Figures(ToWorker, frozen=True):
    """Nodes that give commands: what every process has done so far, by its identity."""

    stats: dict[str, Stats]


FromWorker = Ready | Beat | InFlight | Trouble | Done | Bye | Answered | Asked
FromSupervisor = Start | Stop | Finalize | WhatIsInFlight | GiveUp | Exit | Command | Withdraw | Responded | Figures

_from_worker = msgspec.msgpack.Decoder(FromWorker)
_from_supervisor = msgspec.msgpack.Decoder(FromSupervisor)


def decode_from_worker(parts: Sequence[bytes]) -> tuple[str, FromWorker]:
    """Who said what: the identity of a worker, and its message.

    Raises:
        WireError: it is not what a worker says.
    """
    if len(parts) != 2:
        raise WireError(f"expected an identity and a message on the control channel, got {len(parts)} parts")
    try:
        return parts[0].decode(), _from_worker.decode(parts[1])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"not what a worker says: {error}") from error


def decode_from_supervisor(part: bytes) -> FromSupervisor:
    """What the supervisor has said.

    Raises:
        WireError: it is not what a supervisor says.
    """
    try:
        found: FromSupervisor = _from_supervisor.decode(part)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"not what a supervisor says: {error}") from error
    return found
