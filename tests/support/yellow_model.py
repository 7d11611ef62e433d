"""A model of another package: it finds what is yellow, in numpy. Its checkpoint says how yellow that has to be."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from streamseg.sam.models import ModelInfo

YELLOW = ModelInfo(
    name="yellow",
    description="what is yellow",
    whole_size=128,
    focus_size=128,
    least_focus_size=128,
    width=1,
    stride=4,
    encoder="support.yellow_model:YellowEncoder",
    decoder="support.yellow_model:YellowDecoder",
)
WRONG_NAME = YELLOW
NOT_A_MODEL = "yellow"


class YellowEncoder:
    name, precision = "yellow-engine", "f32"

    def __init__(self, info: ModelInfo, path: Path, device: str) -> None:
        self.device, self._grid = device, info.whole_size // info.stride
        self._least = int(path.read_text())

    def guard(self, advice: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def encode(self, images_rgb: np.ndarray) -> np.ndarray:
        count, height, width, _ = images_rgb.shape
        square = np.zeros((count, 4 * self._grid, 4 * self._grid), np.float32)
        square[:, :height, :width] = (images_rgb[..., :2] > self._least).all(-1) & (images_rgb[..., 2] < 120)
        return square.reshape(count, 1, self._grid, 4, self._grid, 4).mean((3, 5))


class YellowDecoder:
    name, precision = "yellow-engine", "f32"

    def __init__(self, info: ModelInfo, path: Path, device: str) -> None:
        self.device = device

    def guard(self, advice: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def prompts_per_call(self, grid: int) -> int:
        return 8

    def decode(
        self,
        features: np.ndarray,
        points_xy: np.ndarray,
        point_labels: np.ndarray,
        mask_input: np.ndarray | None,
        wanted: slice,
    ) -> tuple[np.ndarray, np.ndarray]:
        fine = 20 * features.repeat(4, 2).repeat(4, 3) - 10
        shape = (len(points_xy), len(range(4)[wanted]))
        return np.broadcast_to(fine, (*shape, *fine.shape[2:])).astype(np.float32), np.full(shape, 0.95, np.float32)
