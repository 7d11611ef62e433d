"""CVAT's shapes and our masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cvat_sdk import masks

from streamseg.errors import PromptError
from streamseg.masks import polygons
from streamseg.types import Box

TOLERANCE_PX = 0.5
"""How far a polygon may lie from the outline of its mask."""


def to_mask(kind: str, points: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """A polygon or mask of CVAT as (H, W) bool.

    Args:
        kind: ``polygon`` or ``mask``.
        points: as CVAT has them.
        size: (H, W) of the picture.

    Raises:
        PromptError: it is damaged, or empty.
    """
    height, width = size
    if kind == "polygon":
        found = polygons.fill([np.reshape(points, (-1, 2))], height, width)
    else:
        try:
            found = masks.decode_mask(points, image_width=width, image_height=height)
        except ValueError as error:
            raise PromptError(f"expected a mask of CVAT in a picture of {width}x{height}, got: {error}") from error
    if not found.any():
        raise PromptError(f"expected a {kind} in the picture of {width}x{height}, got an empty one; draw it anew")
    return found


def to_box(points: Sequence[float]) -> Box:
    """A rectangle of CVAT as x0, y0, x1, y1.

    Raises:
        PromptError: it is no rectangle.
    """
    if len(points) != 4:
        raise PromptError(f"expected the two corners of a rectangle, got {len(points)} numbers")
    x0, y0, x1, y1 = map(float, points)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def mask_points(mask: np.ndarray) -> list[float]:
    """A (H, W) bool mask that is not empty as CVAT has it."""
    return [float(each) for each in masks.encode_mask(mask)]


def polygon_points(mask: np.ndarray) -> list[float]:
    """A (H, W) bool mask that is not empty as one polygon: its parts and holes are joined by cuts without width."""
    ring = polygons.one_ring(polygons.outline(mask, TOLERANCE_PX))
    return [float(each) for each in ring.ravel()]
