"""Frames as a detector takes them, and its boxes back in pixels of the frame."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from streamseg_nodes.onnx_detector.layouts import Layout

_GRAY = 114
"""What detectors are trained to take for a border."""
_MEAN, _DEVIATION = (
    np.array(values, np.float32).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)
"""Of ImageNet, RGB from 0 to 1."""


class Placed(NamedTuple):
    """A frame in the input of a detector."""

    tensor: np.ndarray
    """(1, 3, H, W)."""
    scale_xy: tuple[float, float]
    """Pixels of the input for one of the frame."""
    offset_xy: tuple[float, float]
    """Where the frame begins in the input, in pixels."""


def place(image_rgb: np.ndarray, size: tuple[int, int], layout: Layout, dtype: np.dtype) -> Placed:
    """Put a frame into an input of size (H, W).

    Args:
        image_rgb: (h, w, 3) uint8.
        size: (H, W) in pixels.
        layout: how.
        dtype: of the input; integers are taken to go from 0 to 255.
    """
    height, width = image_rgb.shape[:2]
    if layout.fit == "stretched":
        scaled = size
    else:
        scale = min(size[0] / height, size[1] / width)
        scaled = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = ((size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2) if layout.fit == "centered" else (0, 0)
    canvas = np.full((*size, 3), _GRAY, np.uint8)
    resized = image_rgb
    if scaled != (height, width):
        resized = np.asarray(cv2.resize(image_rgb, scaled[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    canvas[top : top + scaled[0], left : left + scaled[1]] = resized
    scale_xy, offset_xy = (scaled[1] / width, scaled[0] / height), (float(left), float(top))
    values = np.ascontiguousarray((canvas[..., ::-1] if layout.raw_bgr else canvas).transpose(2, 0, 1)[None])
    if np.issubdtype(dtype, np.floating):
        shares = values.astype(np.float32) / np.float32(1 if layout.raw_bgr else 255)
        shares = (shares - _MEAN) / _DEVIATION if layout.standardized else shares
        return Placed(shares.astype(dtype), scale_xy, offset_xy)
    return Placed(values.astype(dtype), scale_xy, offset_xy)


def in_frame(boxes_xyxy: np.ndarray, placed: Placed) -> np.ndarray:
    """Boxes in pixels of the input, (N, 4), as boxes in pixels of the frame."""
    return np.asarray((boxes_xyxy - np.tile(placed.offset_xy, 2)) / np.tile(placed.scale_xy, 2), np.float64)
