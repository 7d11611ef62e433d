"""A stand-in for the model whose every mask depends on every pixel of every frame before: nothing can go missing."""

from __future__ import annotations

import os
import time
import zlib

import msgspec
import numpy as np

from streamseg.jobs import NO_TRACKER
from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import Frame, Gap, ObjectResult, Segmented
from streamseg.node import Node, NodeConfig


class Chained(Node[Frame, Segmented]):
    """Object 1 is a rectangle; where it is comes from a checksum of all pictures so far."""

    class Config(NodeConfig, frozen=True):
        sleep_s: float = 0.0
        drop_every: int = 0
        count: bool = False
        """Remember how many frames there were instead of what was in them."""
        die_at: int = -1
        """Index of a frame at which this process dies, whenever it comes."""

    resumable = True

    def setup(self) -> None:
        positions = {} if self.context.job is None else self.context.job.positions
        self._sums: dict[str, int] = {}
        for stream, position in positions.items():
            if position.tracker != NO_TRACKER:
                self._sums[stream] = msgspec.msgpack.decode(position.tracker, type=int)

    def process(self, message: Frame) -> Segmented | None:
        stamp = message.stamp
        time.sleep(self.config.sleep_s)
        if stamp.index == self.config.die_at:
            os._exit(9)
        if self.config.drop_every and stamp.index % self.config.drop_every == self.config.drop_every - 1:
            return None
        before = self._sums.get(stamp.stream, 0)
        self._sums[stamp.stream] = now = (
            before + 1 if self.config.count else zlib.crc32(message.image_rgb.tobytes(), before)
        )
        height, width = message.image_rgb.shape[:2]
        labels = self.context.empty(stamp, (height, width), np.uint16)
        labels[...] = 0
        top, left = now % (height - 8), now // 1000 % (width - 8)
        labels[top : top + 8, left : left + 8] = 1
        ((area_px, box),) = areas_and_boxes(labels, 1)
        found = ObjectResult(1, "TRACKED", 1.0, box, area_px, reason=f"{now:08x}")
        return Segmented(message, [found], labels, msgspec.Raw(msgspec.msgpack.encode(now)))

    def gap(self, gap: Gap) -> None:
        """Nothing is kept of a frame that does not come."""
