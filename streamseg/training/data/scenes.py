"""Scenes: a few moments of a place with one object in it, to be rendered in any region.

Scene pixels are those of the video or photo the scene is made of; see `streamseg.masks.boxes` for boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np

from streamseg.masks.roi import FILL_RGB, sample
from streamseg.training.data.annotated_images import AnnotatedVideo
from streamseg.training.data.camera_augmentation import CameraAugmentation
from streamseg.training.data.transforms import Size, reflection, region_to_picture, warp
from streamseg.types import Box


class Scene(ABC):
    """A place of some size at some moments.

    Args:
        size: (H, W) in scene pixels.
        rng: all chance of the making is drawn from it, none later.
    """

    removable = False
    """Whether it can be shown without its object."""

    def __init__(self, size: Size, rng: np.random.Generator) -> None:
        self.size = size
        self._camera_augmentation = CameraAugmentation(rng)
        self._mirrored = rng.random() < 0.5

    @property
    def whole(self) -> Box:
        """The region of all there is."""
        return (0.0, 0.0, float(self.size[1]), float(self.size[0]))

    def render(
        self, moment: int, region: Box, size: Size, rng: np.random.Generator, *, without_object: bool = False
    ) -> np.ndarray:
        """(h, w, 3) uint8 RGB of `size`: a region as a camera sees it at a moment. Beyond the scene is `FILL_RGB`.

        Args:
            moment: from 0.
            region: in scene pixels.
            size: of the picture.
            rng: of the moment.
            without_object: as if it were not there; only for what is `removable`.
        """
        seen = self._camera_augmentation.apply(self._render(moment, region, size, without_object), rng)
        return _filled_beyond(seen, self._inside(region, size), FILL_RGB)

    def coverage(self, moment: int, region: Box, size: Size) -> np.ndarray:
        """(h, w) uint8 of `size`: how much of each pixel of a region's picture the object covers, 255 for all."""
        return _filled_beyond(self._object_alpha(moment, region, size), self._inside(region, size), (0,))

    def half_size_mask(self, moment: int) -> np.ndarray:
        """(H / 2, W / 2) uint8, 0 or 1: the object in the whole scene, at half its size."""
        half = (max(1, self.size[0] // 2), max(1, self.size[1] // 2))
        return (self.coverage(moment, self.whole, half) > 127).view(np.uint8)

    def distractors(self, moment: int) -> list[np.ndarray]:
        """What else there is that somebody might follow: (H / 2, W / 2) uint8, 0 or 1 each, as `half_size_mask`."""
        return []

    def _inside(self, region: Box, size: Size) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the scene in a region's picture, rounded and cut to the picture."""
        place = region_to_picture(region, size)
        x0, y0 = place[0, 2], place[1, 2]
        x1, y1 = x0 + place[0, 0] * self.size[1], y0 + place[1, 1] * self.size[0]
        width, height = size[1], size[0]
        left, right = (min(max(round(x), 0), width) for x in (x0, x1))
        top, bottom = (min(max(round(y), 0), height) for y in (y0, y1))
        return left, top, right, bottom

    @abstractmethod
    def _render(self, moment: int, region: Box, size: Size, without_object: bool) -> np.ndarray: ...

    @abstractmethod
    def _object_alpha(self, moment: int, region: Box, size: Size) -> np.ndarray: ...


class VideoScene(Scene):
    """Frames of a real video.

    Args:
        video: whose frames.
        number: which of its objects.
        frames: one a moment.
        rng: for the making.
    """

    def __init__(self, video: AnnotatedVideo, number: int, frames: list[int], rng: np.random.Generator) -> None:
        super().__init__(video.size, rng)
        self._video, self._number, self._frames = video, number, frames

    def _render(self, moment: int, region: Box, size: Size, without_object: bool) -> np.ndarray:
        picture_rgb = self._video.rgb(self._frames[moment])
        if not self._mirrored:
            return sample(picture_rgb, region, size)
        x0, y0, x1, y1 = region
        width = self.size[1]
        return np.ascontiguousarray(sample(picture_rgb, (width - x1, y0, width - x0, y1), size)[:, ::-1])

    def _object_alpha(self, moment: int, region: Box, size: Size) -> np.ndarray:
        mask = self._video.mask(self._number, self._frames[moment]) * np.uint8(255)
        place = region_to_picture(region, size) @ (reflection(self.size[1]) if self._mirrored else np.eye(3))
        return warp(mask, place, size, cv2.BORDER_CONSTANT)


def _filled_beyond(picture: np.ndarray, inside: tuple[int, int, int, int], value: tuple[int, ...]) -> np.ndarray:
    left, top, right, bottom = inside
    if (top, left, bottom, right) == (0, 0, *picture.shape[:2]):
        return picture
    filled = np.empty_like(picture)
    filled[:] = value
    filled[top:bottom, left:right] = picture[top:bottom, left:right]
    return filled
