"""Textured things on textured grounds, drawn by code, whose every pixel's owner is known.

Grounds are dead leaves: overlapping disks whose radii follow a power law, as the sizes of things in photos do
(Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from streamseg.masks.roi import Window, window_of

_SIDE = 320
"""Side of the square a thing is drawn in, in pixels."""
_SMALLEST_LEAF_PX = 4.0
_SPOTS = 14


class Pose(NamedTuple):
    """Where a thing is in a frame."""

    x: float
    y: float
    """Of its middle, frame pixels."""
    size_px: float
    """Side of the square it was drawn in; its outline is a little smaller."""
    angle: float = 0.0
    """Degrees, clockwise."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """A drawn thing."""

    premultiplied: np.ndarray
    """(320, 320, 4) float32: RGB times alpha, 0 to 255, and alpha, 0 to 1."""

    @staticmethod
    def of(color_rgb: np.ndarray, alpha: np.ndarray) -> Sprite:
        """Of (320, 320, 3) colors, 0 to 255, and (320, 320) alpha, 0 to 1."""
        return Sprite(np.dstack([color_rgb * alpha[..., None], alpha]).astype(np.float32))

    def placed(self, pose: Pose, size: tuple[int, int]) -> tuple[np.ndarray, Window]:
        """The thing at a pose in a frame of (H, W).

        Returns:
            (h, w, 4) float32 as `premultiplied`, and the window of the frame that it belongs to; without area if the
            thing is outside.
        """
        picture = self.premultiplied
        while picture.shape[0] > 2 * pose.size_px:
            picture = cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0] // 2), interpolation=cv2.INTER_AREA)
        side, reach = picture.shape[0], 0.75 * pose.size_px
        window = window_of((pose.x - reach, pose.y - reach, pose.x + reach, pose.y + reach), size)
        shape = (window[3] - window[1], window[2] - window[0])
        if 0 in shape:
            return np.zeros((*shape, 4), np.float32), window
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), -pose.angle, pose.size_px / side)
        matrix[:, 2] += np.array([pose.x - window[0], pose.y - window[1]]) - 0.5 - (side - 1) / 2
        return cv2.warpAffine(picture, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR), window

    def area_px(self, pose: Pose) -> float:
        """Pixels it covers at a pose if nothing hides it."""
        inside = np.count_nonzero(self.premultiplied[..., 3] > 0.5)
        return inside * (pose.size_px / _SIDE) ** 2


def dead_leaves(size: tuple[int, int], hue: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a ground of muted leaves round a hue (0 to 1)."""
    height, width = size
    picture = np.full((height, width, 3), _muted(hue, rng), np.uint8)
    largest = max(size) / 5
    for _ in range(int(2.2 * height * width / 400)):
        # Inverse of the distribution function of p(r) ~ r**-3 between the smallest and the largest radius.
        low, high = _SMALLEST_LEAF_PX**-2, largest**-2
        radius = (low - rng.random() * (low - high)) ** -0.5
        middle = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(picture, middle, int(radius), _muted(hue, rng), -1, cv2.LINE_AA)
    grain = smooth_noise(size, 3.0, rng)[..., None] * 10
    return np.asarray(np.clip(cv2.GaussianBlur(picture, (0, 0), 0.7) + grain, 0, 255), np.uint8)


def smooth_noise(size: tuple[int, int], scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32 noise of mean 0 and standard deviation 1 that varies over `scale_px`."""
    small = (max(2, int(size[0] / scale_px) + 2), max(2, int(size[1] / scale_px) + 2))
    noise = cv2.resize(rng.normal(size=small).astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6), np.float32)


def blob(hues: Sequence[float], rng: np.random.Generator) -> Sprite:
    """A thing with a smooth outline, in two colors (hues 0 to 1), leaves on it as on grounds, shaded to its edge."""
    y, x = (np.mgrid[:_SIDE, :_SIDE].astype(np.float32) + 0.5) / _SIDE * 2 - 1
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    outline = np.full_like(angle, 0.78)
    for lobes in (2, 3, 4):
        outline += rng.uniform(0.02, 0.2 / lobes) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    alpha = np.clip((outline - radius) * _SIDE / 4 + 0.5, 0, 1)
    first, second = (np.array(_vivid(hue, rng), np.float32) for hue in hues)
    pattern = _pattern(rng)[..., None]
    leaves = dead_leaves((_SIDE, _SIDE), hues[0], rng).astype(np.float32)
    color = (first * (1 - pattern) + second * pattern) * 0.7 + leaves * 0.3
    shade = 1.08 - 0.42 * np.clip(radius / outline, 0, 1)[..., None] ** 3
    light = 1 + 0.06 * smooth_noise((_SIDE, _SIDE), 12, rng)[..., None]
    return Sprite.of(np.clip(color * shade * light, 0, 255), alpha)


def pillar(hue: float, rng: np.random.Generator, width: float = 0.5) -> Sprite:
    """Something upright to hide behind, `width` times as wide as it is high."""
    alpha = np.zeros((_SIDE, _SIDE), np.float32)
    margin = int(_SIDE * (1 - width) / 2)
    alpha[2:-2, margin : _SIDE - margin] = 1
    leaves = dead_leaves((_SIDE, _SIDE), hue, rng).astype(np.float32)
    stripes = 1 + 0.15 * np.sin(np.arange(_SIDE) / 7)[None, :, None]
    return Sprite.of(np.clip(leaves * 0.55 * stripes, 0, 255), cv2.GaussianBlur(alpha, (0, 0), 0.8))


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """(320, 320) float32, 0 to 1: spots, stripes, or patches."""
    kind = rng.integers(3)
    if kind == 0:
        picture = np.zeros((_SIDE, _SIDE), np.float32)
        for x, y in rng.uniform(0.15, 0.85, (_SPOTS, 2)) * _SIDE:
            cv2.circle(picture, (int(x), int(y)), int(rng.uniform(10, 24)), 1.0, -1, cv2.LINE_AA)
        return picture
    if kind == 1:
        y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
        turn = rng.uniform(0, np.pi)
        along = x * np.cos(turn) + y * np.sin(turn)
        return np.asarray(np.clip(3 * np.sin(along * 2 * np.pi / rng.uniform(45, 80)) + 0.5, 0, 1))
    return np.asarray(np.clip(2 * smooth_noise((_SIDE, _SIDE), 60, rng) + 0.3, 0, 1).astype(np.float32))


def _muted(hue: float, rng: np.random.Generator) -> tuple[int, int, int]:
    return _rgb(hue + rng.normal(0, 0.1), rng.uniform(0.15, 0.6), rng.uniform(0.2, 0.75))


def _vivid(hue: float, rng: np.random.Generator) -> tuple[int, int, int]:
    return _rgb(hue, rng.uniform(0.45, 0.85), rng.uniform(0.5, 0.95))


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    pixel = np.array([[[hue % 1 * 360, saturation, value]]], np.float32)
    red, green, blue = (cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0] * 255).tolist()
    return int(red), int(green), int(blue)
