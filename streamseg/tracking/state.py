"""What a tracker knows between two frames: values that travel with the message and can be written down."""

from __future__ import annotations

import zlib
from typing import Annotated

import msgspec
import numpy as np

from streamseg.tracking.appearance import Appearance, Template
from streamseg.types import Box, ObjectState

LOGIT_LIMIT = 10.0
"""Logits that are kept and used as a prompt are clipped to this on either side: beyond it nothing changes any more."""

_LOGIT_STEP = LOGIT_LIMIT / 127


class Memory(msgspec.Struct, frozen=True):
    """Low-resolution logits of an object, and where they were."""

    region: Box
    """What the square of logits covers, in frame pixels."""
    side: Annotated[int, msgspec.Meta(ge=0, le=4096)]
    packed: bytes
    """(side, side) int8, deflated."""

    @staticmethod
    def of(logits: np.ndarray, region: Box) -> Memory:
        """Keep (side, side) float32 logits over a region, in 8 bits each."""
        steps = np.rint(np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT) / _LOGIT_STEP).astype(np.int8)
        return Memory(region=region, side=logits.shape[0], packed=zlib.compress(steps.tobytes(), 1))

    @property
    def logits(self) -> np.ndarray:
        """(side, side) float32."""
        # A state may come out of a file: no more is unpacked than there can be.
        packed = zlib.decompressobj().decompress(self.packed, max(1, self.side**2))
        steps = np.frombuffer(packed, np.int8).reshape(self.side, self.side)
        return steps.astype(np.float32) * np.float32(_LOGIT_STEP)


class Motion(msgspec.Struct, frozen=True):
    """The state of an object's Kalman filter (`streamseg.tracking.predict`) after a frame."""

    mean: bytes
    """(6,) float64: x, y, width, height, dx, dy of the box, pixels and pixels a frame."""
    spread: bytes
    """(6, 6) float64: the covariance."""

    @property
    def center(self) -> tuple[float, float]:
        """Of the box, pixels."""
        values = np.frombuffer(self.mean)
        return (float(values[0]), float(values[1]))

    @property
    def velocity(self) -> tuple[float, float]:
        """Of the box's center, pixels a frame."""
        values = np.frombuffer(self.mean)
        return (float(values[4]), float(values[5]))


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """How two objects moved when their masks met."""

    other: int
    """The other one."""
    offset_xy: tuple[float, float]
    """From the other's center to its own, pixels: where they should be now if both went on as they were."""
    speed_xy: tuple[float, float]
    """How that changes, pixels a frame."""
    frames: int = 0
    """Since then."""
    behind: bool | None = None
    """Whether it is the one that went behind the other, by which of them was seen less of first; None if neither."""
    doubted: bool = False
    """Whether the masks have become one since, or nearly: which is which is not sure any more."""


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One object."""

    id: int
    label: str
    state: ObjectState
    reason: str
    score: float
    box: Box
    """Tight round the last mask that was trusted, frame pixels."""
    area_px: float
    """Of the masks, following them: what the next one is compared with."""
    usual_px: float | None = None
    """Area of the masks that were trusted, slowly following them, so that one that is half hidden when it is lost is
    still known by its full size; None until there was one."""
    usual_size: tuple[float, float] | None = None
    """(width, height) of their boxes, likewise."""
    motion: Motion | None = None
    """How it moves."""
    memory: Memory | None = None
    """Of the last mask that was trusted."""
    first_appearance: Appearance | None = None
    """How it looked when it was pointed at."""
    appearance: Appearance | None = None
    """How it looks, slowly following it."""
    first_view: Template | None = None
    """Template of the view it was first seen in, if the model can compare views."""
    first_score: float | None = None
    """The model's estimate of the IoU of the mask it began with, if a box said where it was; None otherwise."""
    last_view: Template | None = None
    """Template of the last view in which it was surely seen."""
    foreseen: Box | None = None
    """Where the frame before said that it would be in the next one: what is there may have been encoded already."""
    hint: Box | None = None
    """While it is lost: where it may be, still to be looked at closely."""
    hidden_by: int | None = None
    """While it is lost: the object whose mask was its own when that happened."""
    met: Meeting | None = None
    """How it moved against another object whose mask it met, until both have got apart."""
    unseen: int = 0
    """Frames since the object was last seen."""
    displaced: bool = False
    """Whether a scene cut has come since, so that where it was says nothing."""

    @property
    def has_mask(self) -> bool:
        """Whether it had a mask in the frame before, which clicks could correct."""
        return self.memory is not None and self.state != "LOST"


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """What an object was before a prompt that was given while the stream was running."""

    id: int
    track: Track | None = None
    """None if it was not there."""
    frames: int = 0
    """How many frames were followed by then."""
    label: str | None = None
    """If all that the prompt did was to give it another name: the one that it had."""


class TrackerState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a tracker knows of one stream after one frame."""

    tracks: list[Track] = []
    """In order of first appearance."""
    frames: int = 0
    """How many frames were followed."""
    prompts_done: int = 0
    """How many of the stream's prompts, in order of frame, have been used."""
    removed: list[int] = []
    """Ids of objects that are followed no longer; they are never used again."""
    everything_done: bool = False
    """Whether all objects of a frame have been looked for, if that was asked for."""
    highest_id: int = 0
    """The largest id that any object had so far; new objects get larger ones."""
    gone: list[tuple[int, int]] = []
    """(first, last) of the ids of objects of a detector that stayed away: a live stream has many."""
    last_detected: int = 0
    """The id that was given to an object of a detector last; 0 before the first."""
    detected: list[int] = []
    """Ids of those objects that a detector found."""
    earlier: list[Earlier] = []
    """The last one last."""
    scene: bytes = b""
    """The frame's colors, to notice a cut (`streamseg.tracking.appearance.scene_histogram`)."""

    @property
    def former_ids(self) -> set[int]:
        """Ids of all objects that are followed no longer."""
        return {*self.removed, *(identity for first, last in self.gone for identity in range(first, last + 1))}


def to_bytes(state: TrackerState) -> bytes:
    """The state as msgpack."""
    return msgspec.msgpack.encode(state)


def from_bytes(data: bytes) -> TrackerState:
    """The state `to_bytes` wrote.

    Raises:
        msgspec.ValidationError: it is something else.
    """
    return msgspec.msgpack.decode(data, type=TrackerState)
