"""Augmentation as a camera does it: exposure and colors of an episode, and now and then a bad frame."""

from __future__ import annotations

import math

import cv2
import numpy as np


class CameraAugmentation:
    """One episode's exposure, colors and quality; `apply` adds what changes from frame to frame."""

    def __init__(self, rng: np.random.Generator) -> None:
        strength = rng.uniform() ** 1.5
        self._gain = math.exp(rng.normal(0, 0.2 * strength)) * np.exp(rng.normal(0, 0.08 * strength, 3))
        self._bias = rng.normal(0, 18 * strength)
        self._gamma = math.exp(rng.normal(0, 0.25 * strength))
        self._saturation = 0.0 if rng.random() < 0.05 else math.exp(rng.normal(0, 0.3 * strength))
        self._darkness = rng.uniform(0.12, 0.5) if rng.random() < 0.08 else None
        self._degrades = rng.random() < 0.4

    def apply(self, picture_rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The picture as this camera would give it.

        Args:
            picture_rgb: (H, W, 3) uint8.
            rng: of the moment.
        """
        seen = self._exposed(picture_rgb, rng)
        if abs(self._saturation - 1) > 0.05:
            gray = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            seen = cv2.addWeighted(seen, self._saturation, gray, 1 - self._saturation, 0)
        if self._darkness is not None or (self._degrades and rng.random() < 0.25):
            seen = _noisy(seen, rng)
        return _degraded(seen, rng) if self._degrades else seen

    def _exposed(self, picture_rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        flicker = math.exp(rng.normal(0, 0.02))
        curve = (np.arange(256) / 255)[:, None] ** self._gamma * 255 * self._gain * flicker + self._bias
        curve = curve * (self._darkness or 1.0)
        table = np.clip(curve, 0, 255).astype(np.uint8).reshape(1, 256, 3)
        return np.asarray(cv2.LUT(picture_rgb, table))


def _noisy(picture_rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(picture_rgb.shape, np.float32) * np.float32(rng.uniform(2, 12))
    return np.asarray(np.clip(picture_rgb + noise, 0, 255), np.uint8)


def _degraded(picture_rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, moved, compressed or of low resolution; three in ten are none of these."""
    kind = rng.random()
    if kind < 0.2:
        return np.asarray(cv2.GaussianBlur(picture_rgb, (0, 0), rng.uniform(0.5, 2.2)))
    if kind < 0.4:
        return np.asarray(
            cv2.filter2D(picture_rgb, -1, _motion_blur_kernel(int(rng.integers(3, 12)), rng.uniform(0, math.pi)))
        )
    if kind < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
        # Red and blue are swapped on the way in and out alike.
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture_rgb, quality)[1], cv2.IMREAD_COLOR))
    if kind < 0.7:
        height, width = picture_rgb.shape[:2]
        scale = rng.uniform(0.35, 0.8)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(cv2.resize(picture_rgb, small, interpolation=cv2.INTER_AREA), (width, height)))
    return picture_rgb


def _motion_blur_kernel(length_px: int, angle: float) -> np.ndarray:
    """(L, L) float32 of sum 1: a line through the middle, what a moving camera does to a point."""
    kernel = np.zeros((length_px, length_px), np.float32)
    middle = (length_px - 1) / 2
    dx, dy = middle * math.cos(angle), middle * math.sin(angle)
    ends = [(round(middle + s * dx), round(middle + s * dy)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    return kernel / max(float(kernel.sum()), 1.0)
