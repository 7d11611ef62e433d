"""The geometry of a view: a rectangle of the frame resampled to a picture for the image encoder.

A *region* is a box in frame pixels (`streamseg.masks.boxes`), not necessarily on whole pixels, that may reach
beyond the frame. A *picture size* is ``(height, width)`` in pixels; an int means a square. Pixel centers lie at
+0.5 in frame and picture alike, so the edges of the region are the edges of the picture, and any grid over the
picture (features, low-resolution logits) is a picture of the region with fewer pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamseg.errors import UsageError
from streamseg.masks.boxes import center_size
from streamseg.types import Box

Size = int | tuple[int, int]
"""(height, width) in pixels; an int means a square."""

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1: a rectangle of whole frame pixels, right and bottom exclusive."""

FILL_RGB = (124, 116, 104)
"""SAM's mean color, rounded: what lies outside the frame is about zero after normalization, as SAM's padding is."""

NOTHING_LOGIT = -10.0
"""Logit of a place that was not seen: surely background (sigmoid 0.00005)."""


def whole(width: int, height: int) -> Box:
    """The region of the whole frame. With `fit` as picture size its proportions are kept."""
    return (0.0, 0.0, float(width), float(height))


def fit(width: int, height: int, longer_side_px: int) -> tuple[int, int]:
    """The picture size (height, width) of a whole frame scaled so that its longer side has `longer_side_px`.

    Rounds as SAM's ``ResizeLongestSide.get_preprocess_shape`` does.
    """
    scale = longer_side_px / max(width, height)
    return (int(height * scale + 0.5), int(width * scale + 0.5))


def focus_region(box: Box, factor: float = 1.8, min_side_px: int = 48) -> Box:
    """A square round the middle of `box`, its side `factor` times the longer side of the box.

    Its edges lie on whole pixels, so that sampling it is a plain crop and resize. `min_side_px` keeps a tiny
    object from being blown up to nothing but blur.
    """
    center_x, center_y, width, height = center_size(box)
    side = max(min_side_px, math.floor(max(width, height) * factor + 0.5))
    x0, y0 = math.floor(center_x - side / 2 + 0.5), math.floor(center_y - side / 2 + 0.5)
    return (float(x0), float(y0), float(x0 + side), float(y0 + side))


def sample(image_rgb: np.ndarray, region: Box, size: Size) -> np.ndarray:
    """The picture of a region.

    Shrinking averages areas, so nothing aliases; enlarging is bilinear. Outside the frame is `FILL_RGB`.

    Args:
        image_rgb: (H, W, 3) uint8, RGB.
        region: in frame pixels; may reach beyond the frame.
        size: of the picture.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        UsageError: the region has no area.
    """
    height, width = _height_width(size)
    scale_x, scale_y = 1 / _scale(region, (height, width))
    # OpenCV averages 2x2 blocks many times faster than any other area: halve while that does not lose detail.
    halvings = max(0, math.floor(math.log2(min(scale_x, scale_y))))
    block = 2**halvings
    x0, y0 = math.floor(region[0]), math.floor(region[1])
    columns, rows = math.ceil((region[2] - x0) / block), math.ceil((region[3] - y0) / block)
    covered = (x0, y0, x0 + columns * block, y0 + rows * block)
    crop = _crop(image_rgb, covered)
    for _ in range(halvings):
        crop = cv2.resize(crop, (crop.shape[1] // 2, crop.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if covered == region:
        shrinks = scale_x > 1 or scale_y > 1
        return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return _warp(crop, covered, region, (height, width))


def to_view(coordinates: np.ndarray, region: Box, picture_size: Size) -> np.ndarray:
    """Points (..., 2) or boxes (..., 4) from frame pixels to pixels of the region's picture, float64."""
    return _map(coordinates, np.array(region[:2]), _scale(region, picture_size), np.zeros(2))


def to_frame(coordinates: np.ndarray, region: Box, picture_size: Size) -> np.ndarray:
    """Points (..., 2) or boxes (..., 4) from pixels of the region's picture to frame pixels, float64."""
    return _map(coordinates, np.zeros(2), 1 / _scale(region, picture_size), np.array(region[:2]))


def window_of(region: Box, frame_size: tuple[int, int]) -> Window:
    """The frame pixels whose centers lie in the region; without area if there are none.

    Args:
        region: in frame pixels.
        frame_size: (H, W).
    """
    height, width = frame_size
    x0, y0, x1, y1 = (
        min(max(math.ceil(edge - 0.5), 0), limit)
        for edge, limit in zip(region, (width, height, width, height), strict=True)
    )
    return (x0, y0, max(x0, x1), max(y0, y1))


def paste_logits(logits: np.ndarray, region: Box, frame_size: tuple[int, int]) -> tuple[np.ndarray, Window]:
    """Logits of a view at frame resolution, only where the view looked.

    Bilinear; beyond the outermost centers the nearest value holds.

    Args:
        logits: (h, w) float32 over the region.
        region: in frame pixels.
        frame_size: (H, W).

    Returns:
        (window height, window width) float32, and the window of the frame it belongs to: `window_of` the region.

    Raises:
        UsageError: the region has no area.
    """
    window = window_of(region, frame_size)
    size = (window[3] - window[1], window[2] - window[0])
    if 0 in size:
        return np.zeros(size, np.float32), window
    x0, y0, x1, y1 = window
    return _warp(logits, region, (float(x0), float(y0), float(x1), float(y1)), size), window


def resample_logits(
    logits: np.ndarray, from_region: Box, to_region: Box, size: Size, fill: float = NOTHING_LOGIT
) -> np.ndarray:
    """Logits of one view as another view sees them, e.g. the last frame's as the mask prompt of the next.

    Args:
        logits: (h, w) float32 over `from_region`.
        from_region: in frame pixels.
        to_region: in frame pixels.
        size: of the result.
        fill: logit of what `from_region` does not cover.

    Returns:
        (height, width) float32 over `to_region`.

    Raises:
        UsageError: a region has no area.
    """
    return _warp(logits, from_region, to_region, _height_width(size), fill)


def _warp(
    picture: np.ndarray, region: Box, target: Box, size: tuple[int, int], fill: float | None = None
) -> np.ndarray:
    """Bilinear: `picture` covers `region`; the result, (height, width) of `size`, covers `target`.

    Beyond `region` is `fill`, or the nearest value if that is None.
    """
    inwards = _scale(region, picture.shape[:2])
    step = inwards / _scale(target, size)
    # Center of target pixel 0 in picture coordinates, less the half pixel by which OpenCV's (0, 0) is a center.
    start = (np.array(target[:2]) - np.array(region[:2])) * inwards + step / 2 - 0.5
    matrix = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    return cv2.warpAffine(
        picture,
        matrix,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
        borderValue=0.0 if fill is None else fill,
    )


def _crop(image_rgb: np.ndarray, window: Window) -> np.ndarray:
    """The pixels of a window that may reach beyond the frame; a view of the image if it does not."""
    x0, y0, x1, y1 = window
    height, width = image_rgb.shape[:2]
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return image_rgb[y0:y1, x0:x1]
    left, top = min(max(x0, 0), width), min(max(y0, 0), height)
    right, bottom = min(max(x1, left), width), min(max(y1, top), height)
    if left == right or top == bottom:
        return np.full((y1 - y0, x1 - x0, 3), FILL_RGB, np.uint8)
    inside = image_rgb[top:bottom, left:right]
    # Filling by numpy costs more than all the rest of sampling.
    return cv2.copyMakeBorder(
        inside, top - y0, y1 - bottom, left - x0, x1 - right, cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED, value=FILL_RGB
    )


def _scale(region: Box, size: Size) -> np.ndarray:
    """(x, y) picture pixels per frame pixel."""
    height, width = _height_width(size)
    spans = (region[2] - region[0], region[3] - region[1])
    if not (spans[0] > 0 and spans[1] > 0 and width > 0 and height > 0):
        raise UsageError(
            f"expected a region x0 < x1, y0 < y1 and a picture of at least one pixel, got {region} and "
            f"{height}x{width}; check the box the view was made from"
        )
    return np.array([width / spans[0], height / spans[1]])


def _map(coordinates: np.ndarray, origin: np.ndarray, scale: np.ndarray, target: np.ndarray) -> np.ndarray:
    pairs = np.asarray(coordinates, np.float64)
    return np.asarray(((pairs.reshape(-1, 2) - origin) * scale + target).reshape(pairs.shape))


def _height_width(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
