"""motion: a detector of moving things, for a camera that stands still."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import cv2
import msgspec
import numpy as np

from streamseg.detector import Detector
from streamseg.masks.boxes import box_iou
from streamseg.messages import Detection, Frame
from streamseg.node import Option
from streamseg.types import Box

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

_LONG_SIDE_PX = 320
"""Frames are looked at in this size: moving things that are smaller than a pixel of it are not worth following."""
_MOVING = 255
"""What OpenCV marks moving pixels with; it marks their shadows with less."""


class _Moving(NamedTuple):
    box: Box
    filled: float
    age: int
    """How many frames it has been moving for."""


class Motion(Detector):
    """Find what moves before a background that stands still (OpenCV's MOG2). Learns the background as it goes."""

    class Config(Detector.Config, frozen=True):
        """Options of motion."""

        history: Annotated[Count, Option("how many frames the background is learned over")] = 200
        sensitivity: Annotated[
            float,
            msgspec.Meta(gt=0),
            Option(
                "how far, as a squared distance in standard deviations, a pixel must be off the background to be moving"
            ),
        ] = 25.0
        warmup: Annotated[Count, Option("frames to learn from before anything is found")] = 10
        min_area: Annotated[Share, Option("smaller things are ignored, as a share of the frame")] = 0.002
        max_area: Annotated[
            Share,
            Option(
                "everything is ignored in a frame of which more than this share moves: the camera was moved, or the "
                "light changed"
            ),
        ] = 0.3
        steady: Annotated[Count, Option("a thing must have been moving for so many frames: flicker does not")] = 3
        at_edge: Annotated[
            bool,
            Option(
                "also find things that the frame's edge cuts off; else they are waited for until they are wholly in"
            ),
        ] = False

    def setup(self) -> None:
        """Know nothing yet."""
        self._backgrounds: dict[str, cv2.BackgroundSubtractorMOG2] = {}
        self._seen: dict[str, int] = {}
        self._moving: dict[str, list[_Moving]] = {}

    def watch(self, frame: Frame) -> None:
        """Learn the background, and note what moves before it and for how long it has."""
        stream = frame.stamp.stream
        height, width = frame.image_rgb.shape[:2]
        scale = min(1.0, _LONG_SIDE_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.GaussianBlur(cv2.resize(frame.image_rgb, size, interpolation=cv2.INTER_AREA), (3, 3), 0)
        # Left to itself, OpenCV learns so quickly at first that it takes slow things for background.
        rate = -1 if self._seen.get(stream, 0) < self.config.warmup else 1 / self.config.history
        differs = np.asarray(self._background(stream).apply(small, learningRate=rate) == _MOVING)
        self._seen[stream] = self._seen.get(stream, 0) + 1
        before, self._moving[stream] = self._moving.get(stream, []), []
        if self._seen[stream] > self.config.warmup:
            for box, filled in self._parts(differs.astype(np.uint8), (width, height)):
                age = 1 + max((other.age for other in before if box_iou(other.box, box) > 0), default=0)
                self._moving[stream].append(_Moving(box, filled, age))

    def detect(self, frame: Frame) -> list[Detection]:
        """A box round each thing that moves; its score is how much of the box does."""
        height, width = frame.image_rgb.shape[:2]
        return [
            Detection(moving.box, "moving", moving.filled)
            for moving in self._moving[frame.stamp.stream]
            if moving.age >= self.config.steady and (self.config.at_edge or _is_inside(moving.box, width, height))
        ]

    def finish(self, stream: str) -> None:
        """Forget the stream."""
        self._backgrounds.pop(stream, None)
        self._seen.pop(stream, None)
        self._moving.pop(stream, None)

    def _background(self, stream: str) -> cv2.BackgroundSubtractorMOG2:
        if stream not in self._backgrounds:
            self._backgrounds[stream] = cv2.createBackgroundSubtractorMOG2(
                history=self.config.history, varThreshold=self.config.sensitivity, detectShadows=True
            )
        return self._backgrounds[stream]

    def _parts(self, moving: np.ndarray, frame_size: tuple[int, int]) -> list[tuple[Box, float]]:
        """Boxes in a frame of (width, height) round the parts of a (h, w) uint8 mask, and how full each is."""
        moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        if np.count_nonzero(moving) > self.config.max_area * moving.size:
            return []
        _, _, stats, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        dx, dy = frame_size[0] / moving.shape[1], frame_size[1] / moving.shape[0]
        return [
            ((x * dx, y * dy, (x + width) * dx, (y + height) * dy), area_px / (width * height))
            for x, y, width, height, area_px in stats[1:].tolist()
            if area_px >= self.config.min_area * moving.size
        ]


def _is_inside(box: Box, width: int, height: int) -> bool:
    """Whether no edge of the frame cuts a thing off."""
    return box[0] > 0 and box[1] > 0 and box[2] < width and box[3] < height
