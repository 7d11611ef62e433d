"""Points and boxes on the outlines of things, which are known at half the world's size."""

from __future__ import annotations

import cv2
import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.types import Box


def deepest(inside: np.ndarray) -> tuple[float, float]:
    """x, y of the point furthest inside an (H, W) uint8 mask."""
    depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5


def point_on(small: np.ndarray, rng: np.random.Generator, *, anywhere: bool = False) -> tuple[float, float]:
    """x, y in world pixels: on the object, half of the time well inside it."""
    inside = small > 0
    if not anywhere and rng.random() < 0.5:
        depth = cv2.distanceTransform(np.pad(small, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        inside = depth >= 0.6 * depth.max()
    y, x = np.unravel_index(int(rng.choice(np.flatnonzero(inside))), small.shape)
    return 2 * float(x) + 1, 2 * float(y) + 1


def box_of_outline(small: np.ndarray) -> Box:
    """The box of an object in world pixels, from its outline at half the size."""
    box = box_of_mask(small) or (0.0, 0.0, 1.0, 1.0)
    return (2 * box[0], 2 * box[1], 2 * box[2], 2 * box[3])
