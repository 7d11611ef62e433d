"""Boxes and points in frame pixels.

The top left corner of the top left pixel is (0, 0), x runs to the right, y down. A box is ``(x0, y0, x1, y1)``
with exclusive right and bottom edges: a box round the single pixel (3, 5) is ``(3, 5, 4, 6)``. No box is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from streamseg.errors import PromptError
from streamseg.types import Box


def box_of_mask(mask: np.ndarray) -> Box | None:
    """The tight box round the true pixels of a (H, W) bool or uint8 mask; None if there are none."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return None if width == 0 else (float(x), float(y), float(x + width), float(y + height))


def area(box: Box) -> float:
    """Area in square pixels; 0 for a box that is inverted."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared_area(first: Box, second: Box) -> float:
    """Area of what two boxes have in common, in square pixels."""
    if first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]:
        return 0.0
    left, top = max(first[0], second[0]), max(first[1], second[1])
    return area((left, top, min(first[2], second[2]), min(first[3], second[3])))


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union, 0 to 1; 0 if both boxes are empty."""
    shared = shared_area(first, second)
    return shared / (area(first) + area(second) - shared) if shared else 0.0


def has(box: Box, points_xy: np.ndarray) -> bool:
    """Whether all of (K, 2) points lie in a box, or on its edge."""
    x, y = points_xy[:, 0], points_xy[:, 1]
    return bool(((x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])).all())


def expand(box: Box, fraction: float) -> Box:
    """The box with every edge moved outwards by `fraction` of the side it moves along; negative shrinks.

    ``expand((0, 0, 10, 20), 0.1)`` is ``(-1, -2, 11, 22)``. The result may reach beyond the frame.
    """
    dx, dy = (box[2] - box[0]) * fraction, (box[3] - box[1]) * fraction
    return (box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy)


def clip(box: Box, width: int, height: int) -> Box | None:
    """The part of the box inside a frame of `width` x `height` pixels; None if nothing is left."""
    inside = (max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3]))
    return inside if area(inside) > 0 else None


def center_size(box: Box) -> tuple[float, float, float, float]:
    """``(center_x, center_y, width, height)`` of a box, in pixels."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1])


def from_center_size(center_x: float, center_y: float, width: float, height: float) -> Box:
    """The box of that center and size, in pixels: the inverse of `center_size`."""
    return (center_x - width / 2, center_y - height / 2, center_x + width / 2, center_y + height / 2)


def validate_box(box: Sequence[float], width: int, height: int) -> Box:
    """A box a user gave, checked against a frame of `width` x `height` pixels and clipped to it.

    Raises:
        PromptError: not four finite numbers, inverted, without area, or wholly outside the frame.
    """
    x0, y0, x1, y1 = _numbers(box, 4, "a box is four numbers x0, y0, x1, y1")
    given = f"({x0:g}, {y0:g}, {x1:g}, {y1:g})"
    if x1 < x0 or y1 < y0:
        raise PromptError(
            f"box {given} is inverted: expected x0 < x1 and y0 < y1; give the top left corner first, then the "
            f"bottom right one (not x, y, width, height)"
        )
    if x0 == x1 or y0 == y1:
        raise PromptError(
            f"box {given} is empty: expected x0 < x1 and y0 < y1; the right and bottom edges are exclusive, so a "
            f"single pixel at (3, 5) is (3, 5, 4, 6)"
        )
    clipped = clip((x0, y0, x1, y1), width, height)
    if clipped is None:
        raise PromptError(
            f"box {given} lies outside the {width}x{height} frame: expected it to overlap (0, 0, {width}, {height}); "
            f"give it in pixels of this video's own frames"
        )
    return clipped


def validate_points(
    points_xy: Sequence[Sequence[float]], labels: Sequence[int], width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clicks a user gave, checked against a frame of `width` x `height` pixels.

    Args:
        points_xy: (x, y) in pixels, one pair a click; a click on the middle of the top left pixel is (0.5, 0.5).
        labels: one a click: 1 on the object, 0 on what is not the object.
        width: of the frame.
        height: of the frame.

    Returns:
        (N, 2) float32 points and (N,) int32 labels.

    Raises:
        PromptError: no clicks, as many labels as points are not there, a point that is not two finite numbers or
            lies outside the frame, or a label other than 0 and 1.
    """
    if len(points_xy) == 0:
        raise PromptError("expected at least one click, got none; give an (x, y) on the object")
    if len(points_xy) != len(labels):
        raise PromptError(f"expected one label a click, got {len(points_xy)} clicks and {len(labels)} labels")
    points = [_numbers(point, 2, "a click is two numbers x, y") for point in points_xy]
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise PromptError(
                f"click ({x:g}, {y:g}) lies outside the {width}x{height} frame: expected x from 0 to {width} and y "
                f"from 0 to {height}; give it in pixels of this video's own frames"
            )
    for label in labels:
        if label not in (0, 1):
            raise PromptError(f"a click's label is 1 (on the object) or 0 (not on the object), got {label!r}")
    return np.array(points, np.float32), np.array(labels, np.int32)


def _numbers(values: Sequence[float], count: int, expected: str) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise PromptError(f"{expected}, got {values!r}; give plain numbers, in pixels") from None
    if len(numbers) != count:
        raise PromptError(f"{expected}, got {len(numbers)} of them: {values!r}")
    if not all(math.isfinite(number) for number in numbers):
        raise PromptError(f"{expected}, all finite, got {values!r}; give plain numbers, in pixels")
    return numbers
