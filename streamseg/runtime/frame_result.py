"""What a caller in Python gets of a frame: the picture, and the objects in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamseg.messages import Segmented
from streamseg.types import Box, CaptureClock, ObjectState


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMask:
    """One object in one frame."""

    id: int
    """Stable for life; used again at most for a detector's objects, once all 65,535 have been."""
    label: str
    state: ObjectState
    score: float
    """The model's own estimate of the mask's IoU, 0 to 1."""
    box_xyxy: Box | None
    """Tight box round the mask in pixels, right and bottom edges exclusive; None if the mask is empty."""
    area_px: int
    _labels: np.ndarray = field(repr=False)
    _value: int = field(repr=False)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, made when asked for."""
        return np.asarray(self._labels == self._value)


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame and the objects in it. Everything is a copy: it may be kept and changed."""

    index: int
    """Position among all frames of the source, those that a live source dropped included."""
    pts_s: float | None
    """Presentation time in seconds; None if the source has none."""
    image_rgb: np.ndarray = field(repr=False)
    """(H, W, 3) uint8, RGB, upright."""
    objects: list[ObjectMask]
    captured_ns: int | None = None
    """When the picture was taken, nanoseconds since the epoch by `captured_clock`; None if nobody said."""
    captured_clock: CaptureClock = "arrival"
    """``sender`` if the source says when its pictures were taken, ``recording`` if a bag does, ``arrival`` for when
    they came, ``reading`` for a file."""
    arrived_ns: int | None = None
    """When the picture came, nanoseconds since the epoch by this machine's clock; None if it came from no source."""


def frame_result(message: Segmented, *, copy: bool = True) -> FrameResult:
    """The result that a message is.

    Args:
        message: from the last node that changes masks.
        copy: of its arrays; not needed where they are nobody else's.
    """
    labels = message.labels.copy() if copy else message.labels
    image_rgb = message.frame.image_rgb.copy() if copy else message.frame.image_rgb
    objects = [
        ObjectMask(each.id, each.label, each.state, each.score, each.box_xyxy, each.area_px, labels, number)
        for number, each in enumerate(message.objects, 1)
    ]
    stamp = message.stamp
    return FrameResult(
        stamp.index, stamp.pts_s, image_rgb, objects, stamp.captured_ns, stamp.captured_clock, stamp.came_ns
    )
