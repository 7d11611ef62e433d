"""Pictures, points and boxes at the size a model works in, as segment-anything's ``ResizeLongestSide`` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from streamseg.errors import UsageError
from streamseg.sam.geometry import resized_size

if TYPE_CHECKING:
    import torch


class ResizeLongestSide:
    """Resizing to a long side of so many pixels.

    Args:
        target_length: that side, pixels.
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """(height, width) of a picture of that height and width after resizing."""
        return resized_size((oldh, oldw), long_side_length)

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the same resized, bilinear.

        Raises:
            UsageError: it is something else.
        """
        self.check_image(image)
        height, width = self.get_preprocess_shape(image.shape[0], image.shape[1], self.target_length)
        pixels = np.ascontiguousarray(image)
        return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))

    @staticmethod
    def check_image(image: np.ndarray) -> None:
        """Raise unless it is a picture (H, W, 3) of uint8.

        Raises:
            UsageError: it is something else.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise UsageError(f"expected a picture (H, W, 3) of uint8, got {image.shape} of {image.dtype}; convert it")

    def apply_coords(self, coords: np.ndarray, original_size: tuple[int, ...]) -> np.ndarray:
        """(..., 2) x, y in a picture of `original_size` (H, W) -> the same after resizing, float64."""
        return np.asarray(coords, np.float64) * self._scale(original_size)

    def apply_boxes(self, boxes: np.ndarray, original_size: tuple[int, ...]) -> np.ndarray:
        """(B, 4) or (4,) x0, y0, x1, y1 in a picture of `original_size` (H, W) -> (B, 4) after resizing, float64."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) float -> the same resized, bilinear; off `apply_image`, which models know, by rounding."""
        from torch.nn import functional as F

        size = self.get_preprocess_shape(image.shape[-2], image.shape[-1], self.target_length)
        return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords_torch(self, coords: torch.Tensor, original_size: tuple[int, ...]) -> torch.Tensor:
        """As `apply_coords`, float32, on the device of `coords`."""
        import torch

        scale = torch.tensor(self._scale(original_size), dtype=torch.float32, device=coords.device)
        return coords.to(torch.float32) * scale

    def apply_boxes_torch(self, boxes: torch.Tensor, original_size: tuple[int, ...]) -> torch.Tensor:
        """As `apply_boxes`, float32, on the device of `boxes`."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def _scale(self, original_size: tuple[int, ...]) -> tuple[float, float]:
        height, width = original_size
        new_height, new_width = self.get_preprocess_shape(height, width, self.target_length)
        return new_width / width, new_height / height


class StretchToSquare(ResizeLongestSide):
    """Stretching to a square of so many pixels, with the same names."""

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """(height, width) of any picture after stretching."""
        return long_side_length, long_side_length
