"""Nodes of `remote.py`: pictures like a camera's, read on another machine, and counted here."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from streamseg.messages import Frame, Message, Stamp
from streamseg.node import Captured, Node, NodeConfig, Source


class Rows(Message, frozen=True):
    """A frame, and what its first and last row add up to."""

    frame: Frame
    total: int

    @property
    def stamp(self) -> Stamp:
        return self.frame.stamp


class PhotoFrames(Source[Frame]):
    """A made picture with edges, shading and a camera's noise, as often as there is room."""

    class Config(NodeConfig):
        frames: int
        height: int = 1080
        width: int = 1920

    def setup(self) -> None:
        chance = np.random.default_rng(0)
        height, width = self.config.height, self.config.width
        small = chance.integers(0, 256, (height // 60, width // 60, 3), np.uint8)
        smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        self._image = np.clip(smooth + chance.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)

    def produce(self) -> Iterator[Captured[Frame]]:
        for index in range(self.config.frames):
            yield Captured(index, index, (1, 30), time.time_ns(), self._make)

    def _make(self, stamp: Stamp) -> Frame:
        image = self.context.empty(stamp, self._image.shape, np.uint8)
        image[...] = self._image
        return Frame(stamp, image)


class ReadRows(Node[Frame, Rows]):
    """Touches what has come."""

    def process(self, message: Frame) -> Rows:
        return Rows(message, int(message.image_rgb[0].sum()) + int(message.image_rgb[-1].sum()))


class Arrivals(Node[Rows, None]):
    """Writes down when each came back, in seconds."""

    class Config(NodeConfig):
        path: str

    def setup(self) -> None:
        self._times_s: list[float] = []

    def process(self, message: Rows) -> None:
        self._times_s.append(time.monotonic())

    def finish(self, stream: str) -> None:
        Path(self.config.path).write_text(json.dumps(self._times_s))
