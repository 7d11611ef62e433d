"""Things and backgrounds that are drawn: screens, signs, boxes and test pictures are in no set of photos.

A photo's objects hardly ever fill the box round them, have corners or are of one color. A model that has seen nothing
else takes half of a plain rectangle for the whole.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamseg.training.data.composites import Cutout

_SIDE_PX = 256
_MARGIN_PX = 24


def drawn_cutout(texture_rgb: np.ndarray, rng: np.random.Generator) -> Cutout:
    """A rectangle, more often than not, or another simple shape, plain or with a piece of a photo on it.

    Args:
        texture_rgb: (H, W, 3) uint8, the photo.
        rng: for the making.

    Returns:
        A picture of 256 x 256 pixels and the shape on it.
    """
    mask = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    _draw_shape(mask, rng)
    if rng.random() < 0.5:
        return Cutout(_plain(_SIDE_PX, _SIDE_PX, rng), mask)
    return Cutout(np.asarray(cv2.resize(_piece(texture_rgb, rng), (_SIDE_PX, _SIDE_PX)), np.uint8), mask)


def drawn_background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8 RGB: one color, one that fades into another, or noise."""
    return _plain(width, height, rng)


def _draw_shape(mask: np.ndarray, rng: np.random.Generator) -> None:
    low, high = _MARGIN_PX, _SIDE_PX - _MARGIN_PX
    slim = math.exp(-abs(rng.normal(0, 0.7)))
    width, height = (high - low, max(6, int((high - low) * slim)))[:: 1 if rng.random() < 0.5 else -1]
    x0, y0 = (_SIDE_PX - width) // 2, (_SIDE_PX - height) // 2
    x1, y1, middle = x0 + width, y0 + height, (_SIDE_PX / 2, _SIDE_PX / 2)
    chance = rng.random()
    if chance < 0.65:
        cv2.rectangle(mask, (x0, y0), (x1 - 1, y1 - 1), (1,), -1)
        if chance < 0.1:
            # An L, or a rectangle with a bite out of it.
            x, y = int(rng.uniform(x0 + width * 0.3, x1)), int(rng.uniform(y0 + height * 0.3, y1))
            mask[y:y1, x:x1] = 0
    elif chance < 0.8:
        cv2.ellipse(mask, (middle, (width, height), 0.0), (1,), -1)
    else:
        count = int(rng.integers(3, 8))
        angles = np.sort(rng.uniform(0, 2 * math.pi, count)) if rng.random() < 0.5 else _even(count, rng)
        corners = [(middle[0] + math.cos(a) * width / 2, middle[1] + math.sin(a) * height / 2) for a in angles]
        cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], (1,))
        if np.count_nonzero(mask) < 0.05 * _SIDE_PX * _SIDE_PX:
            cv2.circle(mask, (_SIDE_PX // 2, _SIDE_PX // 2), (high - low) // 3, (1,), -1)


def _even(count: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.arange(count) * 2 * math.pi / count + rng.uniform(0, 2 * math.pi))


def _plain(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    colors = rng.uniform(0, 255, (2, 3)) if rng.random() < 0.7 else np.repeat(rng.uniform(0, 255, (2, 1)), 3, 1)
    chance = rng.random()
    if chance < 0.5:
        fade = np.zeros((height, width), np.float32)
    else:
        angle = rng.uniform(0, 2 * math.pi)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        along = x / width * math.cos(angle) + y / height * math.sin(angle)
        fade = (along - along.min()) / max(1e-6, float(along.max() - along.min()))
    picture = colors[0] * (1 - fade[..., None]) + colors[1] * fade[..., None]
    if chance > 0.75:
        # Grains of some size, as of asphalt or of an empty channel.
        grain = int(rng.integers(1, 6))
        noise = rng.normal(0, rng.uniform(4, 40), (height // grain + 1, width // grain + 1, 3)).astype(np.float32)
        picture = picture + cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _piece(texture_rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = texture_rgb.shape[:2]
    part_h, part_w = (max(8, int(side * rng.uniform(0.2, 1))) for side in (height, width))
    y, x = (int(rng.integers(0, max(1, side - part + 1))) for side, part in ((height, part_h), (width, part_w)))
    return texture_rgb[y : y + part_h, x : x + part_w]
