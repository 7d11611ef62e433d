"""Scenes: a few moments of a small world with one object in it, to be looked at through any region.

World pixels are those of the film or photo the scene is made of; see `streamseg.masks.boxes` for boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np

from streamseg.masks.roi import FILL_RGB, sample
from streamseg.training.annotated_images import Film
from streamseg.training.camera_augmentation import Look
from streamseg.training.motion import Size, mirror, onto, warp
from streamseg.types import Box


class Scene(ABC):
    """A world of some size with some moments.

    Args:
        size: (H, W) of the world.
        rng: all chance of the making is drawn from it, none later.
    """

    removable = False
    """Whether it can be shown without its object."""

    def __init__(self, size: Size, rng: np.random.Generator) -> None:
        self.size = size
        self._look = Look(rng)
        self._mirrored = rng.random() < 0.5

    @property
    def whole(self) -> Box:
        """The region of all there is."""
        return (0.0, 0.0, float(self.size[1]), float(self.size[0]))

    def picture(
        self, moment: int, region: Box, size: Size, rng: np.random.Generator, *, without_object: bool = False
    ) -> np.ndarray:
        """(h, w, 3) uint8 RGB of `size`: a region as a camera sees it at a moment. Beyond the world is `FILL_RGB`.

        Args:
            moment: from 0.
            region: in world pixels.
            size: of the picture.
            rng: of the moment.
            without_object: as if it were not there; only for what is `removable`.
        """
        seen = self._look.see(self._seen(moment, region, size, without_object), rng)
        return _filled_beyond(seen, self._inside(region, size), FILL_RGB)

    def outline(self, moment: int, region: Box, size: Size) -> np.ndarray:
        """(h, w) uint8 of `size`: how much of each pixel of a region's picture the object covers, 255 for all."""
        return _filled_beyond(self._covered(moment, region, size), self._inside(region, size), (0,))

    def small_outline(self, moment: int) -> np.ndarray:
        """(H / 2, W / 2) uint8, 0 or 1: the object in the whole world, at half its size."""
        half = (max(1, self.size[0] // 2), max(1, self.size[1] // 2))
        return (self.outline(moment, self.whole, half) > 127).view(np.uint8)

    def rivals(self, moment: int) -> list[np.ndarray]:
        """What else there is that somebody might follow: (H / 2, W / 2) uint8, 0 or 1 each, as `small_outline`."""
        return []

    def _inside(self, region: Box, size: Size) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the world in a region's picture, rounded and cut to the picture."""
        place = onto(region, size)
        x0, y0 = place[0, 2], place[1, 2]
        x1, y1 = x0 + place[0, 0] * self.size[1], y0 + place[1, 1] * self.size[0]
        width, height = size[1], size[0]
        left, right = (min(max(round(x), 0), width) for x in (x0, x1))
        top, bottom = (min(max(round(y), 0), height) for y in (y0, y1))
        return left, top, right, bottom

    @abstractmethod
    def _seen(self, moment: int, region: Box, size: Size, without_object: bool) -> np.ndarray: ...

    @abstractmethod
    def _covered(self, moment: int, region: Box, size: Size) -> np.ndarray: ...


class FilmScene(Scene):
    """Frames of a real video.

    Args:
        film: the video.
        number: which of its objects.
        frames: one a moment.
        rng: for the making.
    """

    def __init__(self, film: Film, number: int, frames: list[int], rng: np.random.Generator) -> None:
        super().__init__(film.size, rng)
        self._film, self._number, self._frames = film, number, frames

    def _seen(self, moment: int, region: Box, size: Size, without_object: bool) -> np.ndarray:
        picture_rgb = self._film.rgb(self._frames[moment])
        if not self._mirrored:
            return sample(picture_rgb, region, size)
        x0, y0, x1, y1 = region
        width = self.size[1]
        return np.ascontiguousarray(sample(picture_rgb, (width - x1, y0, width - x0, y1), size)[:, ::-1])

    def _covered(self, moment: int, region: Box, size: Size) -> np.ndarray:
        mask = self._film.mask(self._number, self._frames[moment]) * np.uint8(255)
        place = onto(region, size) @ (mirror(self.size[1]) if self._mirrored else np.eye(3))
        return warp(mask, place, size, cv2.BORDER_CONSTANT)


def _filled_beyond(picture: np.ndarray, inside: tuple[int, int, int, int], value: tuple[int, ...]) -> np.ndarray:
    left, top, right, bottom = inside
    if (top, left, bottom, right) == (0, 0, *picture.shape[:2]):
        return picture
    filled = np.empty_like(picture)
    filled[:] = value
    filled[top:bottom, left:right] = picture[top:bottom, left:right]
    return filled
