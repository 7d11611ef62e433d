"""Work that several runs of a graph may share: what one of them has to know to go on where another one ended."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]
"""A count or a size in bytes. What says so may be a file of a stranger; exact in every language's numbers."""

NO_TRACKER = b"\xc0"
"""No tracker has said anything: nil as msgpack."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream is, and what it takes to go on from there."""

    seq: Natural
    """How many frames are finished, so the number of the next one among those that enter the graph."""
    next_index: Natural
    """Number of the next frame in the source."""
    tracker: bytes = NO_TRACKER
    """`Segmented.tracker` of the last frame that had one."""
    dropped: Natural = 0
    """How many of the finished frames some node dropped,"""
    failed: Natural = 0
    """or failed at."""


class PastCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that had come into force, and been answered, after what the next run begins with."""

    node: str
    """That took it."""
    body: bytes
    """msgpack, as that node understands it."""
    id: int | None
    """Of the object that it was about; None if it was about all."""
    stream: str
    frame: int
    """Number in the source of the first frame that it held for."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The work that a run of a graph is a part of: one that dies is started again and goes on."""

    facts: dict[str, Any]
    """What the job is, to be told from another one: its graph, and what its results depend on besides."""
    positions: dict[str, Position] = {}
    """Stream -> where this run begins; at its first frame if it is not in here."""
    begun: bool = False
    """Whether the sinks may find results of an earlier run of this job, to go on with them."""
    restarts: int = 0
    """How many runs of it there were before."""
    commit_s: float = 2.0
    """A sink makes its results durable about so often."""
    commands: list[PastCommand] = []
    """What the nodes that take commands have to let come into force once more, in its order."""


class Left(msgspec.Struct, frozen=True):
    """What earlier runs of a job have left at a sink."""

    facts: dict[str, Any]
    restarts: int
    positions: dict[str, Position]
    """Stream -> how far it is durable."""
