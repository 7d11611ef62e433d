"""What an object looks like, so that it is known again; and the colors of frames.

An `Appearance` has the mean of the model's features under a mask and a color histogram, a `Template` a whole view of
the object, cell by cell. Histograms also tell scenes apart and, back-projected, show where in a frame an object may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import msgspec
import numpy as np

from streamseg.errors import UsageError
from streamseg.masks.roi import Window
from streamseg.types import Box

_LEVELS = 6
"""Steps of each color channel in the histogram of an object."""
COLOR_BINS = _LEVELS**3
"""How many colors that are."""
_SCENE_LEVELS = 4
"""Steps of each color channel in the histogram of a frame."""
_SAMPLES = 64
"""A mask or frame is sampled at so many places at most, in each direction."""
_SEARCH_ROWS = 96
"""A frame that is searched is sampled in about so many rows."""
_RARE = 1e-4
"""A color that covers less of both object and frame says nothing."""
_TEMPLATE_SIDE = 16
"""Cells of a template in each direction at most: half the resolution of a full focus view's features."""
_LEAST_SHARE = 1e-4
"""Of a cell, however little or much the object covers of it."""


@lru_cache(maxsize=512)
def _vector(packed: bytes) -> np.ndarray:
    """float16 as float32, read-only: an object's looks are compared many times a frame."""
    vector = np.frombuffer(packed, np.float16).astype(np.float32)
    vector.flags.writeable = False
    return vector


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
        return _vector(self.feature)

    @property
    def color_vector(self) -> np.ndarray:
        """(216,) float32."""
        return _vector(self.colors)

    def similarity(self, other: Appearance) -> float:
        """Cosine of the features, -1 to 1."""
        return float(self.feature_vector @ other.feature_vector)

    def color_similarity(self, other: Appearance) -> float:
        """Bhattacharyya coefficient of the colors: 1 for the same shares, 0 for none in common."""
        return float(self.color_vector @ other.color_vector)

    def color_pixels(self, area_px: float) -> np.ndarray:
        """(216,) float32: how many pixels of each color an area of such looks has."""
        return np.asarray(np.square(self.color_vector) * np.float32(area_px))

    def moved_towards(self, other: Appearance, step: float) -> Appearance:
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
    return Appearance.of(mean_feature(features, logits), color_histogram(image_rgb, pasted, window))


def mean_feature(features: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(C,) float32 of unit length: the mean of features (C, h, w) under the mask of logits (4h, 4w)."""
    weight = _block_means((logits > 0).astype(np.float32), 4).reshape(-1)
    mean = features.reshape(len(features), -1).astype(np.float32, copy=False) @ weight
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6))


class Template(msgspec.Struct, frozen=True):
    """What a view looked like, and where in it the object was."""

    keys: bytes
    """(K, M) int8, what each of M cells is compared by, in steps of `step`."""
    step: float
    covered: bytes
    """(M,) uint8: how much of each cell the object covers, 255 for all."""

    @staticmethod
    def of(keys: np.ndarray, logits: np.ndarray) -> Template:
        """Keep a view.

        Args:
            keys: (K, h, h) float32, h a multiple of 4 and 64 at most.
            logits: (4h, 4h) float32 over the same square; above 0 is the object.

        Raises:
            UsageError: the shapes do not fit.
        """
        k, h, w = keys.shape
        block = next((block for block in (1, 2, 4) if h <= block * _TEMPLATE_SIDE), 0)
        if not block or h % 4 or h != w or logits.shape != (4 * h, 4 * h):
            raise UsageError(
                f"expected keys (K, h, h), h a multiple of 4 and {4 * _TEMPLATE_SIDE} at most, and logits (4h, 4h), "
                f"got {keys.shape} and {logits.shape}"
            )
        small = _block_means(keys, block).reshape(k, -1)
        step = max(float(np.abs(small).max()) / 127, 1e-6)
        inside = _block_means((logits > 0).astype(np.float32), 4 * block)
        return Template(
            np.rint(small / step).astype(np.int8).tobytes(), step, np.rint(inside * 255).astype(np.uint8).tobytes()
        )

    @property
    def key_matrix(self) -> np.ndarray:
        """(K, M) float32."""
        steps = np.frombuffer(self.keys, np.int8).reshape(-1, len(self.covered))
        return steps.astype(np.float32) * np.float32(self.step)

    @property
    def shares(self) -> np.ndarray:
        """(M,) float32, 0 to 1."""
        return np.frombuffer(self.covered, np.uint8).astype(np.float32) / 255


def _block_means(values: np.ndarray, block: int) -> np.ndarray:
    """(..., h, w) -> (..., h / block, w / block): means of squares of cells."""
    # Row by row: a mean over two axes at once takes ten times as long.
    sums = values.reshape(*values.shape[:-2], values.shape[-2] // block, block, values.shape[-1]).sum(axis=-2)
    columns = [sums[..., start::block] for start in range(block)]
    return np.asarray(sum(columns[1:], start=columns[0]) / np.float32(block**2))


def stack_templates(templates: tuple[Template, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All their cells in one: (K, M) float32 keys and (M,) float32 shares.

    Args:
        templates: at least one.
    """
    return (
        np.concatenate([template.key_matrix for template in templates], axis=1),
        np.concatenate([template.shares for template in templates]),
    )


def likeness(first: Template, keys: np.ndarray) -> np.ndarray:
    """How far each cell of a view looks like the object rather than like what was round it, by an earlier view, 0 to 1.

    Cells are compared as the model's matcher does it (`streamseg.sam.matching`).

    Args:
        first: the earlier view.
        keys: (K, ...) float32 of the cells.

    Returns:
        (...) float32.
    """
    flat, memory = keys.reshape(len(keys), -1), first.key_matrix
    root = np.float32(len(flat) ** 0.5)
    closeness = (flat * (2 / root)).T @ memory
    closeness -= np.square(memory).sum(0) / root
    closeness -= closeness.max(axis=1, keepdims=True)
    cv2.exp(closeness, closeness)
    inside, outside = (closeness @ np.stack([first.shares, 1 - first.shares], axis=1).clip(_LEAST_SHARE)).T
    return np.asarray(inside / (inside + outside)).reshape(keys.shape[1:])


def color_histogram(image_rgb: np.ndarray, pasted: np.ndarray, window: Window) -> np.ndarray:
    """(216,) float32: the root of each color's share under a mask; zeros if the mask is empty.

    Args:
        image_rgb: (H, W, 3) uint8, the frame.
        pasted: (y1 - y0, x1 - x0) logits in a window of the frame.
        window: x0, y0, x1, y1.
    """
    x0, y0, x1, y1 = window
    step_y, step_x = max(1, (y1 - y0) // _SAMPLES), max(1, (x1 - x0) // _SAMPLES)
    inside = pasted[::step_y, ::step_x] > 0
    return _histogram(image_rgb[y0:y1:step_y, x0:x1:step_x][inside], _LEVELS)


def scene_histogram(image_rgb: np.ndarray) -> bytes:
    """The colors of a frame (H, W, 3) uint8 as (64,) float16, for `scene_similarity`."""
    height, width = image_rgb.shape[:2]
    picture = image_rgb[:: max(1, height // _SAMPLES), :: max(1, width // _SAMPLES)]
    return _histogram(picture.reshape(-1, 3), _SCENE_LEVELS).astype(np.float16).tobytes()


def scene_similarity(first: bytes, second: bytes) -> float:
    """Bhattacharyya coefficient of two frames' colors, 0 to 1.

    Frames that follow each other were seen above 0.96 (fast pans included), frames of different scenes below 0.94.
    """
    return float(
        np.frombuffer(first, np.float16).astype(np.float32) @ np.frombuffer(second, np.float16).astype(np.float32)
    )


@dataclass(frozen=True, eq=False)
class FrameColors:
    """Which color of the histogram each of some pixels of a frame has."""

    bins: np.ndarray
    """(h, w) int32, of every `step`-th pixel."""
    shares: np.ndarray
    """(216,) float32: how much of the frame each color covers."""
    step: int

    @staticmethod
    def of(image_rgb: np.ndarray) -> FrameColors:
        """Those of a frame (H, W, 3) uint8."""
        step = max(1, image_rgb.shape[0] // _SEARCH_ROWS)
        bins = _bins(image_rgb[::step, ::step], _LEVELS)
        shares = np.bincount(bins.ravel(), minlength=COLOR_BINS) / bins.size
        return FrameColors(bins, shares.astype(np.float32), step)

    def back_project(self, colors: np.ndarray) -> np.ndarray:
        """(h, w) float32, 0 to 1: how far each pixel's color is that of an object rather than of the frame.

        Histogram back-projection with the ratio of Swain and Ballard (1991).

        Args:
            colors: (216,) float32, the root of each color's share of the object.
        """
        own = np.square(colors)
        ratio = own / (own + self.shares + np.float32(_RARE))
        return np.asarray(ratio.astype(np.float32)[self.bins])

    def cell_means(self, likelihood: np.ndarray, square: Box, cells: int) -> np.ndarray:
        """(cells, cells) float32: the means of `likelihood` in the cells of a square of the frame; 0 beyond it."""
        x0, y0, x1, y1 = square
        side = max(cells, min(4 * cells, round((x1 - x0) / self.step)))
        side -= side % cells
        scale_x, scale_y = side * self.step / (x1 - x0), side * self.step / (y1 - y0)
        place = np.array([[scale_x, 0, -x0 * scale_x / self.step], [0, scale_y, -y0 * scale_y / self.step]])
        fine = cv2.warpAffine(likelihood, place, (side, side), flags=cv2.INTER_LINEAR)
        return np.asarray(cv2.resize(fine, (cells, cells), interpolation=cv2.INTER_AREA))


def _bins(pixels_rgb: np.ndarray, levels: int) -> np.ndarray:
    steps = pixels_rgb.astype(np.int32) * levels >> 8
    return np.asarray((steps[..., 0] * levels + steps[..., 1]) * levels + steps[..., 2])


def _histogram(pixels_rgb: np.ndarray, levels: int) -> np.ndarray:
    """(N, 3) uint8 -> (levels ** 3,) float32, the root of each color's share; zeros if there are no pixels."""
    bins = _bins(pixels_rgb, levels)
    return np.sqrt(np.bincount(bins, minlength=levels**3) / max(len(bins), 1)).astype(np.float32)
