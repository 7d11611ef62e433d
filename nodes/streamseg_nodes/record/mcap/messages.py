"""What of a frame goes into an MCAP file, on which topics, whatever the messages are written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from streamseg.messages import GivenPrompt, ObjectResult, Stamp
from streamseg_nodes.record.mcap.growing import Channel

MASKS, OVERLAY, DETECTIONS, BOXES, STATES, PROMPTS = (
    "/streamseg/masks",
    "/streamseg/overlay",
    "/streamseg/detections",
    "/streamseg/boxes",
    "/streamseg/states",
    "/streamseg/prompts",
)
"""Topics. ``/streamseg/boxes`` is there with Foxglove's messages only: for its image panel."""


class Result(NamedTuple):
    """A frame and what was found in it."""

    stamp_ns: int
    """When the picture was taken, nanoseconds since the epoch; of a file, since its beginning."""
    stamp: Stamp
    objects: Sequence[ObjectResult]
    label_image: np.ndarray
    """(H, W) uint8, or uint16 if an id needs it: the object's id, 0 elsewhere."""
    overlay_jpeg: bytes | None
    prompts: Sequence[GivenPrompt]


class Encoder(Protocol):
    """Makes messages of one family."""

    @property
    def profile(self) -> str:
        """As in the header of the file."""

    @property
    def channels(self) -> Sequence[Channel]:
        """One for each topic."""

    def frame(self, result: Result) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame."""

    def gap(self, stamp_ns: int, stamp: Stamp, reason: str) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame that no masks are known of."""


def label_image(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """(H, W) uint8, or uint16 if an id is above 255: ids in the place of positions in the list of objects."""
    table = np.array([0, *ids], np.uint16)
    return np.take(table.astype(np.uint8) if table.max() <= 255 else table, labels)


class ObjectState(msgspec.Struct, frozen=True):
    """One object, in the JSON of the states."""

    id: int
    label: str
    state: str
    score: float
    reason: str


class States(msgspec.Struct, frozen=True):
    """What is known of each object in a frame."""

    frame: int
    """Number in the source."""
    objects: list[ObjectState]
    missing: str = ""
    """Why there are no masks of this frame; empty if there are."""


def states(result: Result) -> States:
    """The states of a frame."""
    objects = [ObjectState(each.id, each.label, each.state, each.score, each.reason) for each in result.objects]
    return States(result.stamp.index, objects)


class Prompts(msgspec.Struct, frozen=True):
    """What came into force in a frame."""

    frame: int
    prompts: list[GivenPrompt]
