"""Composite scenes, by copy and paste: cut-outs that move over a photo whose camera moves too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from streamseg.errors import UsageError
from streamseg.masks.boxes import box_of_mask, center_size
from streamseg.training.data.scenes import Scene
from streamseg.training.data.transforms import (
    Size,
    reflection,
    region_to_picture,
    rotation_scaling,
    transform_point,
    translation,
    warp,
)
from streamseg.types import Box


class Cutout(NamedTuple):
    """An object and the photo it is on."""

    rgb: np.ndarray
    """(H, W, 3) uint8."""
    mask: np.ndarray
    """(H, W) uint8, 0 or 1."""


@dataclass(frozen=True, eq=False)
class _Layer:
    cutout: Cutout
    places: list[np.ndarray]
    """From the photo's pixels to the scene's, one transform a moment."""
    is_object: bool


class CompositeScene(Scene):
    """An object on its own photo, or pasted onto another one; other objects may lie beside it or pass in front.

    Args:
        foreground: the object.
        moments: how many.
        rng: for the making.
        background: photo the object is pasted onto; None leaves it where it is.
        distractor: lies near the object, before or behind it; only with `background`.
        occluder: lies in front of part of the object.
        upright: whether the object does not turn; only with `background`.
    """

    def __init__(
        self,
        foreground: Cutout,
        moments: int,
        rng: np.random.Generator,
        *,
        background: np.ndarray | None = None,
        distractor: Cutout | None = None,
        occluder: Cutout | None = None,
        upright: bool = False,
    ) -> None:
        photo_rgb = foreground.rgb if background is None else background
        height, width = photo_rgb.shape[:2]
        super().__init__((height, width), rng)
        self.removable = background is not None
        self._rgb, self._mask = photo_rgb, foreground.mask
        center_x, center_y, object_width, object_height = center_size(_box(foreground.mask))
        side_px = max(object_width, object_height)
        longer_px = max(height, width)
        self._camera = self._camera_path(moments, rng, side_px if background is None else 0.3 * longer_px)
        self._layers: list[_Layer] = []
        if background is None:
            spot = transform_point(self._camera[min(1, moments - 1)], (center_x, center_y))
            side_px *= math.sqrt(abs(np.linalg.det(self._camera[0][:2, :2])))
        else:
            side_px = float(np.clip(math.exp(rng.normal(math.log(0.3), 0.5)), 0.06, 0.9)) * longer_px
            spot = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
            self._layers = [_layer(foreground, moments, rng, side_px, spot, is_object=True, upright=upright)]
            if distractor is not None:
                other_px = side_px * math.exp(rng.normal(0, 0.3))
                other = _layer(distractor, moments, rng, other_px, _near(rng, spot, side_px))
                self._layers.insert(int(rng.random() < 0.4), other)
        if occluder is not None:
            occluder_px = side_px * math.exp(rng.normal(-0.3, 0.35))
            self._layers.append(_layer(occluder, moments, rng, occluder_px, _near(rng, spot, 0.8 * side_px)))

    def distractors(self, moment: int) -> list[np.ndarray]:
        """The objects beside the object and in front of it, as far as they are to be seen."""
        half = (max(1, self.size[0] // 2), max(1, self.size[1] // 2))
        view = region_to_picture(self.whole, half)
        masks: list[np.ndarray] = []
        for layer in self._layers:
            cover = (_alpha(layer.cutout.mask, view @ layer.places[moment], half) > 127).view(np.uint8)
            masks = [np.minimum(mask, 1 - cover) for mask in masks]
            if not layer.is_object:
                masks.append(cover)
        return masks

    def _camera_path(self, moments: int, rng: np.random.Generator, reference_px: float) -> list[np.ndarray]:
        """Where the photo lies in the scene at each moment, moving by fractions of `reference_px`."""
        height, width = self.size
        middle = (width / 2, height / 2)
        place = rotation_scaling(middle, math.exp(rng.normal(0.05, 0.12)), rng.normal(0, 6), rng.normal(0, 0.04))
        if self._mirrored:
            place = place @ reflection(width)
        speed = rng.uniform() ** 1.5
        velocity = rng.normal(0, 0.13 * reference_px * speed, 2)
        zoom, turn = math.exp(rng.normal(0, 0.06 * speed)), rng.normal(0, 4 * speed)
        path = []
        for _ in range(moments):
            path.append(place)
            step = velocity + rng.normal(0, 0.03 * reference_px * speed, 2)
            place = translation(*step) @ rotation_scaling(middle, zoom, turn) @ place
        return path

    def _render(self, moment: int, region: Box, size: Size, without_object: bool) -> np.ndarray:
        view = region_to_picture(region, size)
        picture = warp(self._rgb, view @ self._camera[moment], size, cv2.BORDER_REFLECT_101)
        for layer in self._layers:
            if layer.is_object and without_object:
                continue
            place = view @ layer.places[moment]
            cover = _alpha(layer.cutout.mask, place, size)
            if cover.any():
                painted = warp(layer.cutout.rgb, place, size, cv2.BORDER_REPLICATE)
                picture = _blended(painted, picture, cv2.GaussianBlur(cover, (3, 3), 0))
        return picture

    def _object_alpha(self, moment: int, region: Box, size: Size) -> np.ndarray:
        view = region_to_picture(region, size)
        place = view @ self._camera[moment]
        covered = np.zeros(size, np.uint8) if self.removable else _alpha(self._mask, place, size)
        for layer in self._layers:
            cover = _alpha(layer.cutout.mask, view @ layer.places[moment], size)
            covered = cover if layer.is_object else np.minimum(covered, 255 - cover)
        return covered


def _layer(
    cutout: Cutout,
    moments: int,
    rng: np.random.Generator,
    side_px: float,
    middle: tuple[float, float],
    *,
    is_object: bool = False,
    upright: bool = False,
) -> _Layer:
    """A cut-out of about that size at about that place, with a motion of its own."""
    box = _box(cutout.mask)
    center_x, center_y, width, height = center_size(box)
    place = translation(middle[0] - center_x, middle[1] - center_y)
    if rng.random() < 0.5:
        place = place @ reflection(box[0] + box[2])
    turned = 0.0 if upright else 1.0
    angle, stretch = rng.normal(0, 12) * turned, rng.normal(0, 0.06) * turned
    place = rotation_scaling(middle, side_px / max(width, height), angle, stretch) @ place
    speed = rng.uniform() ** 1.2
    velocity = rng.normal(0, 0.16 * side_px * speed, 2)
    zoom, turn = math.exp(rng.normal(0, 0.07 * speed)), rng.normal(0, 6 * speed) * turned
    bend = rng.normal(0, 0.05 * speed) * turned
    places, center = [], np.array(middle, np.float64)
    for _ in range(moments):
        places.append(place)
        step = velocity + rng.normal(0, 0.05 * side_px * speed, 2)
        place = translation(*step) @ rotation_scaling((center[0], center[1]), zoom, turn, bend) @ place
        center = center + step
    if not is_object or rng.random() < 0.5:
        tinted = np.clip(cutout.rgb * np.exp(rng.normal(0, 0.1, 3)), 0, 255).astype(np.uint8)
        cutout = Cutout(tinted, cutout.mask)
    return _Layer(cutout, places, is_object)


def _near(rng: np.random.Generator, spot: tuple[float, float], side_px: float) -> tuple[float, float]:
    return (spot[0] + rng.normal(0, 0.6) * side_px, spot[1] + rng.normal(0, 0.5) * side_px)


def _alpha(mask: np.ndarray, place: np.ndarray, size: Size) -> np.ndarray:
    return warp(mask * np.uint8(255), place, size, cv2.BORDER_CONSTANT)


def _blended(above: np.ndarray, below: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha[..., None].astype(np.uint16)
    return ((above * weight + below * (255 - weight) + 127) // 255).astype(np.uint8)


def _box(mask: np.ndarray) -> Box:
    box = box_of_mask(mask)
    if box is None:
        raise UsageError("expected a mask with something in it, got an empty one")
    return box
