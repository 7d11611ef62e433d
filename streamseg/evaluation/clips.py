"""Clips made in code, 640x360, whose truth is exact: things that move over a ground before a camera that wanders."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from streamseg.evaluation.drawing import Pose, Sprite
from streamseg.masks.roi import Window

HEIGHT, WIDTH = 360, 640
BYSTANDER = 100
"""Ids from here on are things that nobody points at."""
_NOISE = 4.0
"""Standard deviation of the camera's noise, of 255."""
_EXPOSURE = (-0.2, 0.0, 0.2)
"""Moments in frames, round that of a frame, that its picture is the mean of: things in motion are blurred."""
MARGIN_PX = 60
"""How much larger than the frame a ground is, for the camera to wander over."""

Path = Callable[[float], Pose | None]
"""Frame number -> pose; None while the thing is not there."""


@dataclass(frozen=True, eq=False)
class Thing:
    """Something that moves."""

    id: int | None
    """None if its outline is of no interest: something to hide behind."""
    sprite: Sprite
    path: Path


@dataclass(frozen=True, eq=False)
class Scene:
    """What the camera sees from a frame on."""

    start: int
    ground: np.ndarray
    """(H + 120, W + 120, 3) uint8."""
    things: tuple[Thing, ...]
    """From back to front."""


class Truth(NamedTuple):
    """What is where in a frame."""

    ids: np.ndarray
    """(H, W) uint16, 0 is none."""
    visible: dict[int, float]
    """By id, the share of the object that is in the frame and not hidden, 0 to 1; 0 for one that is not there."""

    def mask(self, object_id: int) -> np.ndarray:
        """(H, W) bool."""
        return np.asarray(self.ids == object_id)


@dataclass(frozen=True, eq=False)
class Clip:
    """A film whose truth is known."""

    name: str
    frames: int
    scenes: tuple[Scene, ...]
    seed: int

    @property
    def ids(self) -> list[int]:
        """Of the objects that are pointed at in frame 0."""
        return sorted(self._all_ids(BYSTANDER))

    @property
    def cuts(self) -> list[int]:
        """First frames of the scenes after the first."""
        return [scene.start for scene in self.scenes[1:]]

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        scene = self._scene(index)
        x, y = MARGIN_PX * (0.5 + 0.4 * math.sin(index / 23)), MARGIN_PX * (0.5 + 0.4 * math.cos(index / 31))
        shift = np.array([[1, 0, -x], [0, 1, -y]], np.float64)
        canvas = cv2.warpAffine(scene.ground, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR).astype(np.float32)
        for thing in scene.things:
            layer, (x0, y0, x1, y1) = _exposed(thing, index)
            canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - layer[..., 3:]) + layer[..., :3]
        noise = np.random.default_rng((self.seed, index)).normal(0, _NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32)
        return np.asarray(np.clip(np.rint(canvas + noise), 0, 255), np.uint8)

    def truth(self, index: int) -> Truth:
        """What covers more than half of each pixel."""
        ids = np.zeros((HEIGHT, WIDTH), np.uint16)
        areas: dict[int, float] = {}
        for thing in self._scene(index).things:
            pose = thing.path(index)
            if pose is None:
                continue
            layer, (x0, y0, x1, y1) = thing.sprite.placed(pose, (HEIGHT, WIDTH))
            ids[y0:y1, x0:x1][layer[..., 3] > 0.5] = thing.id or 0
            if thing.id is not None:
                areas[thing.id] = thing.sprite.area_px(pose)
        visible = dict.fromkeys(self._all_ids(1 << 16), 0.0)
        for identity, area_px in areas.items():
            visible[identity] = min(1.0, float(np.count_nonzero(ids == identity)) / area_px)
        return Truth(ids, visible)

    def _scene(self, index: int) -> Scene:
        return [scene for scene in self.scenes if scene.start <= index][-1]

    def _all_ids(self, below: int) -> set[int]:
        return {
            thing.id for scene in self.scenes for thing in scene.things if thing.id is not None and thing.id < below
        }


def _exposed(thing: Thing, index: int) -> tuple[np.ndarray, Window]:
    """A thing as the camera sees it in a frame: (h, w, 4) float32 as `Sprite.premultiplied`, and where."""
    poses = [thing.path(index + moment) for moment in _EXPOSURE]
    placed = [thing.sprite.placed(pose, (HEIGHT, WIDTH)) for pose in poses if pose is not None]
    placed = [(layer, window) for layer, window in placed if layer.size]
    if not placed:
        return np.zeros((0, 0, 4), np.float32), (0, 0, 0, 0)
    windows = np.array([window for _, window in placed])
    (left, top), (right, bottom) = windows[:, :2].min(0).tolist(), windows[:, 2:].max(0).tolist()
    mean = np.zeros((bottom - top, right - left, 4), np.float32)
    for layer, (x0, y0, x1, y1) in placed:
        mean[y0 - top : y1 - top, x0 - left : x1 - left] += layer / len(_EXPOSURE)
    return mean, (left, top, right, bottom)
