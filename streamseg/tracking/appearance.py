"""What an object looks like, so that it is known again: the model's features under its mask, and its colors."""

from __future__ import annotations

import msgspec
import numpy as np

from streamseg.masks.roi import Window
from streamseg.tracking.colors import colors_under


class Appearance(msgspec.Struct, frozen=True):
    """Small enough to be carried along with every frame."""

    feature: bytes
    """(C,) float16 of unit length: the mean feature."""
    colors: bytes
    """(216,) float16: share of each color, the root of it."""

    @staticmethod
    def of(feature: np.ndarray, colors: np.ndarray) -> Appearance:
        """Keep a (C,) feature and a (216,) histogram."""
        return Appearance(feature.astype(np.float16).tobytes(), colors.astype(np.float16).tobytes())

    @property
    def feature_vector(self) -> np.ndarray:
        """(C,) float32."""
        return np.frombuffer(self.feature, np.float16).astype(np.float32)

    @property
    def color_vector(self) -> np.ndarray:
        """(216,) float32."""
        return np.frombuffer(self.colors, np.float16).astype(np.float32)

    def similarity(self, other: Appearance) -> float:
        """Cosine of the features, -1 to 1."""
        return float(self.feature_vector @ other.feature_vector)

    def color_similarity(self, other: Appearance) -> float:
        """Bhattacharyya coefficient of the colors: 1 for the same shares, 0 for none in common."""
        return float(self.color_vector @ other.color_vector)

    def pixels(self, area_px: float) -> np.ndarray:
        """(216,) float32: how many pixels of each color an area of such looks has."""
        return np.asarray(np.square(self.color_vector) * np.float32(area_px))

    def towards(self, other: Appearance, step: float) -> Appearance:
        """This, changed by a fraction `step` of the way to another."""
        mixed = []
        for mine, its in ((self.feature_vector, other.feature_vector), (self.color_vector, other.color_vector)):
            between = mine + np.float32(step) * (its - mine)
            mixed.append(between / max(float(np.linalg.norm(between)), 1e-6))
        return Appearance.of(*mixed)


def appearance_under(
    features: np.ndarray, logits: np.ndarray, image_rgb: np.ndarray, pasted: np.ndarray, window: Window
) -> Appearance:
    """What is under a mask; zeros if the mask is empty.

    Args:
        features: (C, h, w).
        logits: (4h, 4w) over the same square.
        image_rgb: (H, W, 3) uint8, the frame.
        pasted: the logits at frame resolution, in a window of the frame.
        window: that window.
    """
    return Appearance.of(mean_feature(features, logits), colors_under(image_rgb, pasted, window))


def mean_feature(features: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(C,) float32 of unit length: the mean of features (C, h, w) under the mask of logits (4h, 4w)."""
    c, h, w = features.shape
    weight = (logits > 0).reshape(h, 4, w, 4).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
    mean = features.reshape(c, -1).astype(np.float32, copy=False) @ weight
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6))
