"""What a tracker knows between two frames: values that travel with the message and can be written down."""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec
import numpy as np

from streamseg.vision.boxes import Box

State = Literal["TRACKED", "UNCERTAIN", "LOST", "REACQUIRED"]

_LOGIT_STEP = 0.125
"""Logits are kept in 8 bits: -15.875 to 15.875 in steps of an eighth, far finer than what the decoder makes of them."""


class Memory(msgspec.Struct, frozen=True):
    """Low-resolution logits of an object, and where they were."""

    region: Box
    """What the square of logits covers, in frame pixels."""
    side: int
    packed: bytes
    """(side, side) int8, deflated."""

    @staticmethod
    def of(logits: np.ndarray, region: Box) -> Memory:
        """Keep (side, side) float32 logits over a region."""
        steps = np.clip(np.rint(logits / _LOGIT_STEP), -127, 127).astype(np.int8)
        return Memory(region=region, side=logits.shape[0], packed=zlib.compress(steps.tobytes(), 1))

    @property
    def logits(self) -> np.ndarray:
        """(side, side) float32."""
        steps = np.frombuffer(zlib.decompress(self.packed), np.int8).reshape(self.side, self.side)
        return steps.astype(np.float32) * np.float32(_LOGIT_STEP)


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One object."""

    id: int
    label: str
    state: State
    reason: str
    score: float
    box: Box
    """Tight round the last mask that was trusted, frame pixels."""
    area_px: float
    """Of the masks that were trusted, slowly following them."""
    velocity: tuple[float, float] = (0.0, 0.0)
    """Of the box's centre, pixels a frame."""
    memory: Memory | None = None
    """Of the last mask that was trusted."""
    appearance: bytes = b""
    """(C,) float16: mean feature of the object, slowly following it."""
    unseen: int = 0
    """Frames since the object was last seen."""


class TrackerState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a tracker knows of one stream after one frame."""

    tracks: list[Track] = []
    """In order of first appearance."""
    prompts_done: int = 0
    """How many of the stream's prompts, in order of frame, have been used."""


def to_bytes(state: TrackerState) -> bytes:
    """The state as msgpack."""
    return msgspec.msgpack.encode(state)


def from_bytes(data: bytes) -> TrackerState:
    """The state `to_bytes` wrote.

    Raises:
        msgspec.ValidationError: it is something else.
    """
    return msgspec.msgpack.decode(data, type=TrackerState)
