"""What of a frame goes into an MCAP file, on which topics, whatever the messages are written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from streamseg.messages import GivenPrompt, ObjectResult, Stamp
from streamseg.robotics import ros_results
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
    masks: ros_results.Fields
    """A label image (`ros_results.label_image`), whose header is made later."""
    overlay: ros_results.Fields | None
    """A compressed image (`ros_results.jpeg_image`), likewise; None without one."""
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
