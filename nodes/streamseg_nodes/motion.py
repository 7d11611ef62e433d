"""motion: a detector of moving things, for a camera that stands still."""

from __future__ import annotations

import math
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
_LARGEST_LOG_GAIN = math.log(4)
"""Of an exposure against another; a picture that is darker than that has too little left in it."""
_GRID = (32, 18)
"""Columns and rows that exposures are compared in."""
_FIT_ROUNDS = 8
_LEAST_SPREAD = 0.02
_MOVING = 255
"""What OpenCV marks moving pixels with; it marks their shadows with less."""


def _surface() -> np.ndarray:
    """(N, 6) values of 1, x, y, x², xy and y² on the grid."""
    columns, rows = (np.linspace(-1, 1, count) for count in _GRID)
    x, y = (each.ravel() for each in np.meshgrid(columns, rows))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


_SURFACE = _surface()


class _Moving(NamedTuple):
    box: Box
    filled: float
    age: int
    """How many frames it has been moving for."""


class Motion(Detector):
    """Find what moves before a background that stands still (OpenCV's MOG2). Learns the background as it goes, and
    anew when it is started again: in the `warmup` frames after that nothing is found."""

    resumable = True

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
        if self._seen.get(stream, 0):
            small = _exposed_as(self._background(stream).getBackgroundImage(), small)
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


def _exposed_as(background_rgb: np.ndarray, image_rgb: np.ndarray) -> np.ndarray:
    """A picture as if it had been taken with the exposure and the white balance of the background.

    A camera sets both anew when something bright or dark comes in, and then everything changes, not everywhere by the
    same. What most of the picture has changed by, as a smooth surface over it, is not a thing that moves.

    Args:
        background_rgb: (H, W, 3) uint8.
        image_rgb: (H, W, 3) uint8.
    """
    height, width = image_rgb.shape[:2]
    gains = np.log((image_rgb + np.float32(1)) / (background_rgb + np.float32(1)))
    grid = cv2.resize(gains, _GRID, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    smooth = (_SURFACE @ np.stack([_fitted(channel) for channel in grid.T], axis=1)).reshape(_GRID[1], _GRID[0], 3)
    limited = np.clip(smooth, -_LARGEST_LOG_GAIN, _LARGEST_LOG_GAIN).astype(np.float32)
    everywhere = np.exp(cv2.resize(limited, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.asarray(np.clip((image_rgb + np.float32(1)) / everywhere - 1, 0, 255).astype(np.uint8))


def _fitted(values: np.ndarray) -> np.ndarray:
    """Coefficients of the surface through most of the (N,) values on the grid: least squares, with what lies far off
    weighted down again and again."""
    rest = values - np.median(values)
    for _ in range(_FIT_ROUNDS):
        spread = max(_LEAST_SPREAD, float(np.median(np.abs(rest))))
        weights = 1 / (1 + (rest / spread) ** 2)
        weighted = _SURFACE * weights[:, None]
        found = np.linalg.solve(weighted.T @ _SURFACE, weighted.T @ values)
        rest = values - _SURFACE @ found
    return found


def _is_inside(box: Box, width: int, height: int) -> bool:
    """Whether no edge of the frame cuts a thing off."""
    return box[0] > 0 and box[1] > 0 and box[2] < width and box[3] < height
