"""A stand-in for embed and propagate that starts in no time: every frame gets one square mask."""

from __future__ import annotations

import time

import numpy as np

from streamseg.messages import Frame, ObjectResult, Segmented
from streamseg.node import Node, NodeConfig


class Square(Node[Frame, Segmented]):
    """Object 1 is the square of 8 pixels in the top left corner."""

    class Config(NodeConfig):
        fail: bool = False
        sleep_s: float = 0.0
        slow_from: int = 0
        """The first frame to sleep at."""

    def process(self, message: Frame) -> Segmented:
        if self.config.fail:
            raise ValueError("no luck today")
        if message.stamp.seq >= self.config.slow_from:
            time.sleep(self.config.sleep_s)
        labels = self.context.empty(message.stamp, message.image_rgb.shape[:2], np.uint16)
        labels[...] = 0
        labels[:8, :8] = 1
        return Segmented(message, [ObjectResult(1, "TRACKED", 1.0, (0.0, 0.0, 8.0, 8.0), 64)], labels)
