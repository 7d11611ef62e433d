"""A source and a sink that say how long a frame is on its way between two processes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamseg.messages import Frame, Stamp
from streamseg.node import Captured, Node, NodeConfig, Source


def write_time(image: np.ndarray) -> None:
    """Write the time on the clock that all processes share into the first 8 bytes."""
    image.reshape(-1)[:8].view(np.int64)[0] = time.monotonic_ns()


def read_age_ms(image: np.ndarray) -> float:
    """Read a frame's first and last row, then say how long ago its time was written."""
    int(image[0].sum()) + int(image[-1].sum())
    now_ns = time.monotonic_ns()
    return (now_ns - int(image.reshape(-1)[:8].view(np.int64)[0])) / 1e6


def noise(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 noise."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


class PacedFrames(Source[Frame]):
    """A picture that this process owns, copied into the slot of each frame; one every `pause_s`."""

    class Config(NodeConfig, frozen=True):
        """How many, how often, and of which size."""

        frames: int
        pause_s: float
        height: int = 1080
        width: int = 1920

    def setup(self) -> None:
        """Make the picture."""
        self._image = noise(self.config.height, self.config.width)

    def produce(self) -> Iterator[Captured[Frame]]:
        """One every `pause_s`."""
        for index in range(self.config.frames):
            time.sleep(self.config.pause_s)
            yield Captured(index, index, (1, 30), time.time_ns(), self._make)

    def _make(self, stamp: Stamp) -> Frame:
        write_time(self._image)
        image = self.context.empty(stamp, self._image.shape, np.uint8)
        np.copyto(image, self._image)
        return Frame(stamp, image)


class ReadAges(Node[Frame, None]):
    """Reads the first and the last row of each frame and notes its age in milliseconds."""

    class Config(NodeConfig, frozen=True):
        """Where the ages are written."""

        path: str

    def setup(self) -> None:
        """Nothing is noted yet."""
        self._ages_ms: list[float] = []

    def process(self, message: Frame) -> None:
        """Note its age."""
        self._ages_ms.append(read_age_ms(message.image_rgb))

    def close(self) -> None:
        """Write the ages down: a JSON list."""
        Path(self.config.path).write_text(json.dumps(self._ages_ms))
