"""Many pictures on one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from streamseg.errors import UsageError


def contact_sheet(images: Sequence[np.ndarray], columns: int, width: int, *, gap_px: int = 4) -> np.ndarray:
    """Lay out pictures row by row, each fitted into a cell of the first one's shape, on a dark ground.

    Args:
        images: (H, W, 3) uint8 RGB each, of any size.
        columns: how many in a row; fewer if there are fewer images.
        width: of the sheet, in pixels.
        gap_px: between the cells and round them.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        UsageError: no images, one of another shape or type, or no room for that many columns.
    """
    if not images:
        raise UsageError("expected at least one image for a contact sheet, got none; give some")
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise UsageError(f"expected (H, W, 3) uint8 images, got {image.shape} {image.dtype}; convert them to RGB")
    columns = min(columns, len(images))
    cell_width = (width - gap_px) // columns - gap_px if columns > 0 else 0
    if cell_width < 1:
        raise UsageError(
            f"expected room for {columns} columns in {width} pixels; ask for 1 or more, or for a wider sheet"
        )
    cell_height = max(1, round(cell_width * images[0].shape[0] / images[0].shape[1]))
    rows = math.ceil(len(images) / columns)
    sheet = np.full((gap_px + rows * (cell_height + gap_px), width, 3), 24, np.uint8)
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        small = _fit(image, cell_width, cell_height)
        y = gap_px + row * (cell_height + gap_px) + (cell_height - small.shape[0]) // 2
        x = gap_px + column * (cell_width + gap_px) + (cell_width - small.shape[1]) // 2
        sheet[y : y + small.shape[0], x : x + small.shape[1]] = small
    return sheet


def _fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale to the largest size with the same proportions that fits."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, min(width, round(image.shape[1] * scale))), max(1, min(height, round(image.shape[0] * scale))))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
