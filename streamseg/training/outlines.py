"""Points and boxes on the outlines of things, which are known at half the world's size."""

from __future__ import annotations

import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.measures import depth_map
from streamseg.types import Box


def point_on(small: np.ndarray, rng: np.random.Generator, *, anywhere: bool = False) -> tuple[float, float]:
    """x, y in world pixels: on the object, half of the time well inside it."""
    inside = small > 0
    if not anywhere and rng.random() < 0.5:
        depth = depth_map(small)
        inside = depth >= 0.6 * depth.max()
    y, x = np.unravel_index(int(rng.choice(np.flatnonzero(inside))), small.shape)
    return 2 * float(x) + 1, 2 * float(y) + 1


def box_of_outline(small: np.ndarray) -> Box:
    """The box of an object in world pixels, from its outline at half the size."""
    box = box_of_mask(small) or (0.0, 0.0, 1.0, 1.0)
    return (2 * box[0], 2 * box[1], 2 * box[2], 2 * box[3])
