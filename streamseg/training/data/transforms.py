"""Affine transforms, 3x3 in pixels with pixel centers at +0.5: how pictures are placed, and how they move."""

from __future__ import annotations

import math

import cv2
import numpy as np

from streamseg.types import Box

Size = tuple[int, int]
"""(height, width) in pixels."""


def translation(x_px: float, y_px: float) -> np.ndarray:
    """Move."""
    return np.array([[1, 0, x_px], [0, 1, y_px], [0, 0, 1]], np.float64)


def scaling(x: float, y: float) -> np.ndarray:
    """Stretch about the origin."""
    return np.diag([x, y, 1.0])


def reflection(span_px: float) -> np.ndarray:
    """Swap left and right of what reaches from 0 to `span_px`."""
    return np.array([[-1, 0, span_px], [0, 1, 0], [0, 0, 1]], np.float64)


def rotation_scaling(about: tuple[float, float], scale: float, degrees: float, stretch: float = 0.0) -> np.ndarray:
    """Scale, turn and stretch about a point.

    Args:
        about: x, y that stay where they are.
        scale: factor.
        degrees: clockwise on the screen.
        stretch: width times 1 + stretch, height divided by it.
    """
    angle = math.radians(degrees)
    turn = np.eye(3)
    turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    stretched = turn @ scaling(scale * (1 + stretch), scale / (1 + stretch))
    return np.asarray(translation(*about) @ stretched @ translation(-about[0], -about[1]))


def region_to_picture(region: Box, size: Size) -> np.ndarray:
    """From scene pixels to those of a picture of `size` that shows `region`."""
    x0, y0, x1, y1 = region
    return np.asarray(scaling(size[1] / (x1 - x0), size[0] / (y1 - y0)) @ translation(-x0, -y0))


def transform_point(place: np.ndarray, point_xy: tuple[float, float]) -> tuple[float, float]:
    """A point through a transform."""
    x, y, _ = place @ np.array([*point_xy, 1.0])
    return float(x), float(y)


def warp(picture: np.ndarray, place: np.ndarray, size: Size, border: int) -> np.ndarray:
    """A picture through a transform, bilinear, as a picture of `size`.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        place: from its pixels to the result's.
        size: of the result.
        border: what lies beyond the picture, as OpenCV's BORDER_… has it; a constant is 0.
    """
    # OpenCV takes (0, 0) for a pixel's center.
    matrix = (translation(-0.5, -0.5) @ place @ translation(0.5, 0.5))[:2]
    return np.asarray(cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border))
