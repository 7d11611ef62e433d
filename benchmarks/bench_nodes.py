"""Nodes that the benchmarks build graphs of; workers find them because PYTHONPATH has this folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from streamseg.messages import Frame, ObjectResult, Segmented, Stamp
from streamseg.node import Captured, Node, NodeConfig, Source

FOLDER = Path(__file__).parent


def let_workers_import() -> None:
    """Put this folder on the import path of the worker processes."""
    paths = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


class Threshold(Node[Frame, Segmented]):
    """Takes what is redder than green for the one object."""

    def process(self, message: Frame) -> Segmented:
        image = message.image_rgb
        labels = self.context.empty(message.stamp, image.shape[:2], np.uint16)
        np.copyto(labels, image[..., 0] > image[..., 1].astype(np.int16) + 40)
        ys, xs = np.nonzero(labels)
        box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)) if len(xs) else None
        return Segmented(message, [ObjectResult(1, "TRACKED", 1.0, box, len(xs))], labels)


class Ticks(Source[Frame]):
    """Small frames as fast as they are taken."""

    class Config(NodeConfig):
        frames: int

    def produce(self) -> Iterator[Captured[Frame]]:
        for index in range(self.config.frames):
            yield Captured(index, index, (1, 30), time.time_ns(), self._make)

    def _make(self, stamp: Stamp) -> Frame:
        image = self.context.empty(stamp, (48, 64, 3), np.uint8)
        image[...] = stamp.seq % 256
        return Frame(stamp, image)


def compute(rounds: int) -> None:
    """Keep one core busy; some 0.1 ms a round."""
    image = np.zeros((120, 160, 3), np.uint8)
    for _ in range(rounds):
        image = cv2.GaussianBlur(image, (9, 9), 2.0)


class Work(Node[Frame, Frame]):
    """Computes for a while and passes the frame on."""

    class Config(NodeConfig):
        rounds: int

    def process(self, message: Frame) -> Frame:
        compute(self.config.rounds)
        return message


class LastWork(Node[Frame, None]):
    """Computes for a while."""

    class Config(NodeConfig):
        rounds: int

    def process(self, message: Frame) -> None:
        compute(self.config.rounds)
