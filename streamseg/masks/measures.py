"""What is measured of masks: how much two have in common, and where a mask is deepest."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks, 0 to 1; 1 if both are empty."""
    together = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / together) if together else 1.0


def depth_map(mask: np.ndarray, chamfer_px: Literal[3, 5] = 3) -> np.ndarray:
    """How far inside a mask each pixel is: (H, W) float32, in pixels; 0 outside.

    Args:
        mask: (H, W) bool or uint8; what lies beyond its edges is outside, too.
        chamfer_px: side of the neighborhood that distances are summed up over; 5 comes closer to the true ones.
    """
    padded = np.pad(np.ascontiguousarray(mask).view(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, chamfer_px)[1:-1, 1:-1]


def deepest_point(mask: np.ndarray, chamfer_px: Literal[3, 5] = 3) -> tuple[float, float]:
    """(x, y) of the middle of the pixel furthest inside a mask; of the first one if the mask is empty.

    Args:
        mask: (H, W) bool or uint8.
        chamfer_px: see `depth_map`.
    """
    depth = depth_map(mask, chamfer_px)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5
