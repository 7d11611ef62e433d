"""Two disks that move over a plain ground, with their exact masks: a video the bundled model finds easy."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from streamseg.messages import Frame
from streamseg.node import Captured, NodeConfig, Source

WIDTH, HEIGHT, RADIUS = 240, 180, 32


def truth(index: int, number: int = 0) -> np.ndarray:
    """(H, W) bool mask of disk 0, which moves to the right, or of disk 1, below it, which moves to the left."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (60 + 4 * index, 50) if number == 0 else (180 - 4 * index, 130), RADIUS, 1, -1)
    return mask.view(bool)


def box_of(index: int, number: int = 0) -> list[float]:
    """The tight box round a disk."""
    ys, xs = np.nonzero(truth(index, number))
    return [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]


def picture(index: int, numbers: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """(H, W, 3) uint8 RGB with these disks in it."""
    image = np.full((HEIGHT, WIDTH, 3), (40, 90, 60), np.uint8)
    for number in numbers:
        image[truth(index, number)] = [(220, 60, 40), (240, 220, 60)][number]
    return cv2.GaussianBlur(image, (3, 3), 0)


class Disks(Source[Frame]):
    """The moving disks as a source; disk 1 is gone in frames `gone_from` to `gone_to` (exclusive)."""

    class Config(NodeConfig, frozen=True):
        frames: int = 6
        gone_from: int = 0
        gone_to: int = 0

    def produce(self) -> Iterator[Captured[Frame]]:
        for index in range(self.config.frames):
            yield Captured(index, index, (1, 25), 0, lambda stamp, index=index: Frame(stamp, self._picture(index)))

    def _picture(self, index: int) -> np.ndarray:
        return picture(index, (0,) if self.config.gone_from <= index < self.config.gone_to else (0, 1))
