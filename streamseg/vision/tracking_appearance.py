"""What an object looks like, so that it is known again: the model's features under its mask, and its colours."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np

from streamseg.vision.boxes import Box, center_size
from streamseg.vision.views import Window

_LEVELS = 6
"""Steps of each colour channel in the histogram of an object."""
_SCENE_LEVELS = 4
"""Steps of each colour channel in the histogram of a frame."""
_SAMPLES = 64
"""A mask or frame is sampled at so many places at most, in each direction."""
_SIZES = (0.7, 1.0, 1.4)
"""An object is searched in these multiples of its last size."""


class Appearance(msgspec.Struct, frozen=True):
    """Small enough to be carried along with every frame."""

    feature: bytes
    """(C,) float16 of unit length: the mean feature."""
    colours: bytes
    """(216,) float16: share of each colour, the root of it."""

    @staticmethod
    def of(feature: np.ndarray, colours: np.ndarray) -> Appearance:
        """Keep a (C,) feature and a (216,) histogram."""
        return Appearance(feature.astype(np.float16).tobytes(), colours.astype(np.float16).tobytes())

    @property
    def feature_vector(self) -> np.ndarray:
        """(C,) float32."""
        return np.frombuffer(self.feature, np.float16).astype(np.float32)

    @property
    def colour_vector(self) -> np.ndarray:
        """(216,) float32."""
        return np.frombuffer(self.colours, np.float16).astype(np.float32)

    def similarity(self, other: Appearance) -> float:
        """Cosine of the features, -1 to 1."""
        return float(self.feature_vector @ other.feature_vector)

    def colour_similarity(self, other: Appearance) -> float:
        """Bhattacharyya coefficient of the colours: 1 for the same shares, 0 for none in common."""
        return float(self.colour_vector @ other.colour_vector)

    def towards(self, other: Appearance, step: float) -> Appearance:
        """This, changed by a fraction `step` of the way to another."""
        mixed = []
        for mine, its in ((self.feature_vector, other.feature_vector), (self.colour_vector, other.colour_vector)):
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
    return Appearance.of(mean_feature(features, logits), _colours_under(image_rgb, pasted, window))


def mean_feature(features: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(C,) float32 of unit length: the mean of features (C, h, w) under the mask of logits (4h, 4w)."""
    c, h, w = features.shape
    weight = (logits > 0).reshape(h, 4, w, 4).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
    mean = features.reshape(c, -1).astype(np.float32, copy=False) @ weight
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6))


def _colours_under(image_rgb: np.ndarray, pasted: np.ndarray, window: Window) -> np.ndarray:
    x0, y0, x1, y1 = window
    step_y, step_x = max(1, (y1 - y0) // _SAMPLES), max(1, (x1 - x0) // _SAMPLES)
    inside = pasted[::step_y, ::step_x] > 0
    return _histogram(image_rgb[y0:y1:step_y, x0:x1:step_x][inside], _LEVELS)


def scene_of(image_rgb: np.ndarray) -> bytes:
    """The colours of a frame (H, W, 3) uint8 as (64,) float16, for `scene_similarity`."""
    height, width = image_rgb.shape[:2]
    picture = image_rgb[:: max(1, height // _SAMPLES), :: max(1, width // _SAMPLES)]
    return _histogram(picture.reshape(-1, 3), _SCENE_LEVELS).astype(np.float16).tobytes()


def scene_similarity(first: bytes, second: bytes) -> float:
    """Bhattacharyya coefficient of two frames' colours, 0 to 1.

    Frames that follow each other were seen above 0.96 (fast pans included), frames of different scenes below 0.94.
    """
    return float(
        np.frombuffer(first, np.float16).astype(np.float32) @ np.frombuffer(second, np.float16).astype(np.float32)
    )


def _histogram(pixels_rgb: np.ndarray, levels: int) -> np.ndarray:
    """(N, 3) uint8 -> (levels ** 3,) float32, the root of each colour's share; zeros if there are no pixels."""
    steps = pixels_rgb.astype(np.int32) * levels >> 8
    bins = (steps[:, 0] * levels + steps[:, 1]) * levels + steps[:, 2]
    return np.sqrt(np.bincount(bins, minlength=levels**3) / max(len(bins), 1)).astype(np.float32)


def likely_places(
    features: np.ndarray,
    appearance: Appearance,
    box_cells: tuple[float, float],
    cells: tuple[int, int],
    *,
    count: int = 1,
) -> list[tuple[Box, float]]:
    """Where in a view the object most likely is, by its features.

    Args:
        features: (C, h, w).
        appearance: of the object.
        box_cells: its last (width, height) in feature cells.
        cells: (width, height) of the part of the features that is picture, not padding.
        count: how many places.

    Returns:
        The best boxes in feature cells, the middle of none in another, and how much more like the object each is than
        its surroundings (difference of mean cosines); none if no box of a plausible size fits in.
    """
    width, height = cells
    seen = features[:, :height, :width].astype(np.float32, copy=False)
    lengths = np.linalg.norm(seen, axis=0)
    cosines = np.tensordot(appearance.feature_vector, seen, 1) / np.maximum(lengths, 1e-6)
    sizes = [(round(box_cells[0] * size), round(box_cells[1] * size)) for size in _SIZES]
    found = [place for size in sizes for place in _best_windows(cosines, *size, count)]
    chosen: list[tuple[Box, float]] = []
    for place in sorted(found, key=lambda place: -place[1]):
        if len(chosen) < count and not any(_meet(place[0], other) for other, _ in chosen):
            chosen.append(place)
    return chosen


def _meet(first: Box, second: Box) -> bool:
    """Whether the middle of one lies in the other."""
    (x, y, _, _), (u, v, _, _) = center_size(first), center_size(second)
    return (first[0] < u < first[2] and first[1] < v < first[3]) or (
        second[0] < x < second[2] and second[1] < y < second[3]
    )


def _best_windows(cosines: np.ndarray, width: int, height: int, count: int) -> list[tuple[Box, float]]:
    """Windows of that size whose mean exceeds that of the ring around it, as wide as half the window, by most."""
    rows, columns = cosines.shape
    width, height = max(1, width), max(1, height)
    if width > columns or height > rows:
        return []
    inner = _window_means(cosines, width, height)
    dx, dy = max(1, width // 2), max(1, height // 2)
    outer = _window_means(
        cv2.copyMakeBorder(cosines, dy, dy, dx, dx, cv2.BORDER_REFLECT_101), width + 2 * dx, height + 2 * dy
    )
    inner_share = width * height / ((width + 2 * dx) * (height + 2 * dy))
    contrast = inner - (outer - inner_share * inner) / (1 - inner_share)
    found = []
    for _ in range(count):
        y, x = (int(k) for k in np.unravel_index(int(contrast.argmax()), contrast.shape))
        if not np.isfinite(contrast[y, x]):
            break
        found.append(((float(x), float(y), float(x + width), float(y + height)), float(contrast[y, x])))
        contrast[max(0, y - height // 2) : y + height // 2 + 1, max(0, x - width // 2) : x + width // 2 + 1] = -np.inf
    return found


def _window_means(values: np.ndarray, width: int, height: int) -> np.ndarray:
    sums = cv2.integral(values.astype(np.float32))
    total = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return np.asarray(total / (width * height))
