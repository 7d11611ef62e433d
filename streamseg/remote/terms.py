"""What a bridge and a worker's machine tell each other.

The first message on a connection is a greeting, and so is its answer: three frames, of which the first two, `GREETING`
and the version, stay as they are in every version. All others are pieces of numbered messages: `streamseg.remote.link`.
"""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any

import msgspec

from streamseg.errors import WireError
from streamseg.graph.plan import WorkerSpec
from streamseg.jobs import Job

GREETING = b"streamseg-worker"
VERSION = metadata.version("streamseg").encode()
PIECE_BYTES = 128 << 10
"""Long messages go in pieces of this size, so that signs of life need not wait until they are through."""
LARGEST_FRAME_BYTES = PIECE_BYTES + (64 << 10)
PING_S = 0.25
"""Either side says something so often, if only that it lives."""
SILENT_S = 2.5
"""Silence of a connection that counts as its loss."""

CONTROL = "control"
IN = "in"
BACK = "back"
FINISHED = "finished"
ORDER = "order"
ENDED = "ended"
"""Names of the ways messages go, besides those out of a node, which are numbers (`streamseg.remote.ways`)."""

Natural = Annotated[int, msgspec.Meta(ge=0)]


class Join(msgspec.Struct, frozen=True):
    """From a bridge: here I am, or here I am again."""

    session: str
    """Secret name of the run; who knows it is a part of it."""
    identity: str
    """Of the worker."""
    nonce: str
    """Of this bridge: another one with the same identity takes the place of the first."""
    attempt: Natural
    """Number of the connection: what comes late by an earlier one does not count any more."""
    received: Natural
    """Number of the last message that has come from there."""


class Joined(msgspec.Struct, frozen=True, tag=True):
    """The answer: go on."""

    received: Natural
    """Number of the last message that has come from here."""


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """The answer: whoever had been joined is not here any more."""


class TurnedAway(msgspec.Struct, frozen=True, tag=True):
    """The answer: there is no room."""

    reason: str


class Order(msgspec.Struct, frozen=True):
    """The first message: the worker to be started."""

    spec: WorkerSpec
    job: Job | None
    log_level: int


class Ended(msgspec.Struct, frozen=True):
    """The last message: the worker has ended, or was never started."""

    code: int
    text: str = ""
    """How it ended, in words, if not in good order."""
    kind: str = ""
    """Class name of the error for which it was not started."""


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """An array that comes along, and where it lies."""

    buffer: Natural
    offset: Natural
    generation: Natural
    packing: str
    dtype: str
    shape: list[Natural]


class Waybill(msgspec.Struct, frozen=True, array_like=True):
    """The first part of every message but the first: which way the rest goes."""

    way: str
    parts: Natural
    """How many parts the message of the graph has; after these come the slices."""
    slices: list[Slice] = []


def unpacked(data: Any, kind: Any) -> Any:
    """Bytes of the other side as what they should be.

    Raises:
        WireError: they are not.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(f"not what a machine of the run says: {error}") from error
