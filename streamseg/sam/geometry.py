"""How a picture is fitted into the square a model works in. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamseg.sam.models import FOCUS_STEP, ModelInfo


@dataclass(frozen=True)
class Geometry:
    """A picture, the size it is resized to, and the square that is padded to (right and bottom)."""

    image_size: tuple[int, int]
    """(height, width) of the picture as it was handed over."""
    input_size: tuple[int, int]
    """(height, width) after resizing: the long side fills the square."""
    square: int
    """Side of the square in pixels."""
    grid: int
    """Side of the square in features; masks come out at four times that."""

    @property
    def is_identity(self) -> bool:
        """Whether the picture already has the size the network wants."""
        return self.image_size == self.input_size

    def to_input(self, points_xy: np.ndarray) -> np.ndarray:
        """(..., 2) x, y in the picture's pixels -> the same in the resized picture's pixels, float64."""
        height, width = self.image_size
        new_height, new_width = self.input_size
        return np.asarray(points_xy, dtype=np.float64) * (new_width / width, new_height / height)


def fit(info: ModelInfo, image_size: tuple[int, int]) -> Geometry:
    """How `info`'s network looks at a picture of `image_size` (height, width).

    A square of `focus_size` or `closer_size` is a focus view and is taken as it is, and so is a smaller one, in steps
    of `FOCUS_STEP` down to `least_focus_size`; everything else is resized so that its long side is `whole_size`,
    rounded as segment-anything's `ResizeLongestSide.get_preprocess_shape` rounds, or stretched to the square if the
    model wants that.
    """
    height, width = image_size
    if height == width and (height in (info.focus_size, info.closer_size) or _is_small_focus(info, height)):
        return Geometry(image_size, image_size, height, height // info.stride)
    resized = (info.whole_size,) * 2 if info.stretches else resized_size(image_size, info.whole_size)
    return Geometry(image_size, resized, info.whole_size, info.whole_size // info.stride)


def resized_size(image_size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) of a picture of `image_size` (height, width) once its long side has `long_side` pixels."""
    height, width = image_size
    scale = long_side * 1.0 / max(height, width)
    # A strip thinner than one model pixel still gets one.
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def _is_small_focus(info: ModelInfo, side_px: int) -> bool:
    return info.least_focus_size <= side_px < info.focus_size and side_px % FOCUS_STEP == 0


def features_shape(info: ModelInfo, image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(C, h, w) of the features of a picture of `image_size` (height, width); they are float32."""
    grid = fit(info, image_size).grid
    return info.width, grid, grid
