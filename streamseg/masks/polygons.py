"""Masks as polygons.

A polygon can run in two ways through the pixels of a mask, since programs read polygons in two ways:

``edges``
    A quarter of a pixel inside the edge of the mask, in coordinates where the top left corner of the top left pixel is
    (0, 0): for readers that ask which centers of pixels lie inside (COCO, CVAT).
``centers``
    Through the centers of the outermost pixels, in whole numbers where the top left pixel itself is (0, 0): for readers
    that draw the polygon with its outline (OpenCV's ``fillPoly``, Pillow, LabelMe).

Read back in its own way, and with a tolerance of 0, ``edges`` gives the same mask to the pixel; ``centers`` does
but for pixels that hang on the rest by a corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np

from streamseg.errors import UsageError

Grid = Literal["edges", "centers"]

_LOSS = 0.03
"""How much of a small mask's area simplifying its outline may cost, about."""


class Part(NamedTuple):
    """A piece of a mask that hangs together."""

    outer: np.ndarray
    """(N, 2) float64 x, y."""
    holes: list[np.ndarray]
    """(N, 2) float64 each."""


def outline(mask: np.ndarray, tolerance_px: float = 0.5, grid: Grid = "edges") -> list[Part]:
    """The parts of a (H, W) bool mask, the largest first; none if it is empty.

    Args:
        mask: where the object is. Pixels that touch at a corner hang together.
        tolerance_px: how far the polygon may lie from the outline; 0 keeps every corner. For small objects it is less,
            so that the polygon has about 98 % of the mask in common with it.
        grid: how it runs through the pixels.

    Raises:
        UsageError: the mask has another shape, or the tolerance is negative.
    """
    if mask.ndim != 2 or tolerance_px < 0:
        raise UsageError(
            f"expected a (H, W) mask and a tolerance of 0 or more, got {mask.shape} and {tolerance_px:g}; "
            f"give one mask at a time"
        )
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(mask, bool).view(np.uint8))
    if not width:
        return []
    crop = np.ascontiguousarray(mask[top : top + height, left : left + width], bool).view(np.uint8)
    if grid == "edges":
        # Of the picture at twice the size, the outermost pixels lie a quarter of a pixel inside the edge.
        crop = np.repeat(np.repeat(crop, 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = []
    for contour in contours:
        simple = _simplified(contour, tolerance_px * (2 if grid == "edges" else 1))
        points = simple.reshape(-1, 2).astype(np.float64)
        rings.append((points + 0.5 if grid == "edges" else points) / (2 if grid == "edges" else 1) + (left, top))
    parents = tree[0, :, 3]
    parts = [
        (cv2.contourArea(contours[number]), Part(ring, [rings[at] for at in np.flatnonzero(parents == number)]))
        for number, ring in enumerate(rings)
        if parents[number] < 0
    ]
    return [part for _, part in sorted(parts, key=lambda part: -part[0])]


def one_ring(parts: Sequence[Part]) -> np.ndarray:
    """One polygon for all parts and holes: they are joined by cuts without width, there and back.

    Args:
        parts: as `outline` gives them, at least one.

    Returns:
        (N, 2) float64. Filled by the even-odd rule, as every reader of single polygons does it, it is the same area.
    """
    ring = _with_holes(parts[0])
    for part in parts[1:]:
        ring = _joined(ring, _with_holes(part))
    return ring


def rings(parts: Sequence[Part]) -> list[np.ndarray]:
    """One polygon a part, its holes joined to it by cuts without width: (N, 2) float64 each."""
    return [_with_holes(part) for part in parts]


def fill(polygons: Sequence[np.ndarray], height: int, width: int, grid: Grid = "edges") -> np.ndarray:
    """The (H, W) bool mask of polygons: what lies in any of them.

    Args:
        polygons: (N, 2) each; one that crosses itself is filled by the even-odd rule.
        height: of the mask.
        width: of the mask.
        grid: how they run through the pixels.
    """
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        if len(points) == 0:
            continue
        if grid == "centers":
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
            continue
        _fill_centers(mask, points)
    return mask.view(bool)


def _fill_centers(mask: np.ndarray, points: np.ndarray) -> None:
    """Set the pixels whose centers lie in a polygon, row by row, by the even-odd rule."""
    height, width = mask.shape
    top = max(0, int(np.floor(points[:, 1].min() - 0.5)))
    bottom = min(height, int(np.ceil(points[:, 1].max() + 0.5)))
    nexts = np.roll(points, -1, axis=0)
    sloped = points[:, 1] != nexts[:, 1]
    starts, ends = points[sloped], nexts[sloped]
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    for row in range(top, bottom):
        center = row + 0.5
        crossed = (low <= center) & (center < high)
        if not crossed.any():
            continue
        first, last = starts[crossed], ends[crossed]
        x = first[:, 0] + (center - first[:, 1]) * (last[:, 0] - first[:, 0]) / (last[:, 1] - first[:, 1])
        columns = np.clip(np.ceil(np.sort(x) - 0.5), 0, width).astype(int)
        for left, right in zip(columns[::2], columns[1::2], strict=False):
            mask[row, left:right] = 1


def _simplified(contour: np.ndarray, tolerance: float) -> np.ndarray:
    if tolerance > 0 and len(contour) > 2:
        perimeter = max(cv2.arcLength(contour, True), 1.0)
        tolerance = min(tolerance, _LOSS * cv2.contourArea(contour) / perimeter * 2)
    if len(contour) > 2:
        contour = np.asarray(cv2.approxPolyDP(contour, tolerance, True))
    # Whoever reads polygons expects three corners or more.
    return contour if len(contour) > 2 else np.concatenate([contour, contour, contour])[:3]


def _with_holes(part: Part) -> np.ndarray:
    ring = part.outer
    for hole in part.holes:
        ring = _joined(ring, hole)
    return ring


def _joined(ring: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A ring that goes from its corner that is nearest to the other one over to that, round it, and back."""
    best = (np.inf, 0, 0)
    # In pieces: every corner of one with every corner of the other may be many pairs.
    for begin in range(0, len(ring), 1024):
        away = ((ring[begin : begin + 1024, None] - other[None]) ** 2).sum(axis=2)
        at, to = np.unravel_index(int(away.argmin()), away.shape)
        if away[at, to] < best[0]:
            best = (float(away[at, to]), begin + int(at), int(to))
    _, leave, land = best
    return np.concatenate([ring[: leave + 1], other[land:], other[: land + 1], ring[leave:]])
