"""Boxes and masks as a tracker might have left them: shifted, scaled, eroded, with a piece of something else."""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamseg.masks.boxes import box_of_mask, center_size
from streamseg.tracking.state import LOGIT_LIMIT
from streamseg.types import Box


def jitter_box(box: Box, by: float, rng: np.random.Generator) -> Box:
    """A box each of whose edges is off by up to `by` of its side; at least two pixels wide and high."""
    width, height = box[2] - box[0], box[3] - box[1]
    left, top, right, bottom = (float(off) for off in rng.uniform(-by, by, 4) * (width, height, width, height))
    x0, y0 = box[0] + left, box[1] + top
    return (x0, y0, max(box[2] + right, x0 + 2), max(box[3] + bottom, y0 + 2))


def corrupt_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An (M, M) uint8 mask, 0 or 1, dilated or eroded, with a hole or a piece too much, and moved."""
    box = box_of_mask(mask)
    if box is None:
        return mask
    center_x, center_y, width, height = center_size(box)
    side_px = max(width, height)
    corrupted = _dilated_or_eroded(mask, side_px, rng)
    if rng.random() < 0.4:
        corrupted = _with_hole(corrupted, side_px, rng)
    if rng.random() < 0.3:
        corrupted = corrupted.copy()
        off = rng.normal(0, 0.4, 2) * side_px
        x, y = _sample_pixel(corrupted, rng)
        _draw_ellipse(corrupted, (x + off[0], y + off[1]), side_px * rng.uniform(0.08, 0.3), rng, 1)
    dx, dy = rng.normal(0, 0.07, 2) * side_px
    scale = math.exp(rng.normal(0, 0.06))
    matrix = np.array([[scale, 0, center_x * (1 - scale) + dx], [0, scale, center_y * (1 - scale) + dy]])
    return np.asarray(cv2.warpAffine(corrupted, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST))


def mask_to_logits(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask as float32 logits of some sureness and softness at the edge."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(0.5, 2.0))
    logits = (soft * 2 - 1) * rng.uniform(3, LOGIT_LIMIT) + rng.normal(0, 0.5)
    return np.asarray(logits, np.float32)


def _dilated_or_eroded(mask: np.ndarray, side_px: float, rng: np.random.Generator) -> np.ndarray:
    radius = max(1, int(side_px * rng.uniform(0.01, 0.09)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    kind = rng.random()
    if kind < 0.35:
        return np.asarray(cv2.dilate(mask, kernel))
    if kind < 0.6:
        eroded = np.asarray(cv2.erode(mask, kernel))
        return eroded if eroded.any() else mask
    return mask


def _with_hole(mask: np.ndarray, side_px: float, rng: np.random.Generator) -> np.ndarray:
    """The mask without a chunk, unless that is nearly all of it."""
    (x, y), radius = _sample_pixel(mask, rng), side_px * rng.uniform(0.1, 0.35)
    left = mask.copy()
    if rng.random() < 0.5:
        _draw_ellipse(left, (x, y), radius, rng, 0)
    else:
        cv2.rectangle(left, (int(x - radius), int(y - radius)), (int(x + radius), int(y + radius)), (0,), -1)
    return left if np.count_nonzero(left) > 0.25 * np.count_nonzero(mask) else mask


def _sample_pixel(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """x, y of one of the mask's pixels."""
    y, x = np.unravel_index(int(rng.choice(np.flatnonzero(mask))), mask.shape)
    return float(x), float(y)


def _draw_ellipse(
    mask: np.ndarray, middle: tuple[float, float], radius_px: float, rng: np.random.Generator, value: int
) -> None:
    axes = (2 * radius_px, radius_px * rng.uniform(0.6, 2))
    cv2.ellipse(mask, (middle, axes, rng.uniform(0, 180)), (value,), -1)
