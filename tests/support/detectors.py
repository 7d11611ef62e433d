"""Detectors of a package that is not streamseg's: one that knows a color by its name, a broken one, one that dies."""

from __future__ import annotations

import os

import numpy as np

from streamseg.detector import Detector
from streamseg.messages import Detection, Frame

COLORS = {"red": (220, 60, 40), "yellow": (240, 220, 60)}


class Colored(Detector):
    """Finds things of the colors that it is asked for in words."""

    replicable = True

    class Config(Detector.Config, frozen=True, kw_only=True):
        words: list[str]

    def detect(self, frame: Frame) -> list[Detection]:
        found = []
        for word in self.config.words:
            near = (abs(frame.image_rgb.astype(int) - COLORS[word]) < 20).all(axis=2)
            ys, xs = np.nonzero(near)
            if len(xs):
                box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
                found.append(Detection(box, word, 0.9))
        return found


class Dying(Detector):
    """Ends its process at a black picture."""

    def detect(self, frame: Frame) -> list[Detection]:
        if frame.image_rgb.max() < 40:
            os._exit(5)
        return [Detection((10.0, 10.0, 30.0, 30.0))]


class Broken(Detector):
    """Gives x, y, width, height in every second frame."""

    def detect(self, frame: Frame) -> list[Detection]:
        return [Detection((50.0, 40.0, 20.0, 30.0))] if frame.stamp.seq % 2 else [Detection((50.0, 40.0, 70.0, 70.0))]
