"""Small nodes for tests of the graph: cheap to start, and able to misbehave on request."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.errors import OutputError, PromptError
from streamseg.messages import Frame, Gap, Message, Regions, Stamp
from streamseg.node import Captured, Node, NodeConfig, Source
from streamseg.types import Region


class Summed(Message, frozen=True):
    """A frame with the sum of its pixels."""

    frame: Frame
    total: int
    doubled: np.ndarray

    @property
    def stamp(self) -> Stamp:
        return self.frame.stamp


class Counter(Source[Frame]):
    """Frames whose every pixel is their number."""

    class Config(NodeConfig):
        frames: int = 10
        height: int = 48
        width: int = 64
        pause_s: float = 0.0
        live: bool = False
        fail_at: int = -1

    @property
    def policy(self) -> Any:
        return "freshest" if self.config.live else "every-frame"

    def setup(self) -> None:
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def produce(self) -> Iterator[Captured[Frame]]:
        for index in range(self.config.frames):
            if self._stopped:
                return
            if index == self.config.fail_at:
                raise ValueError("the source broke")
            if self.config.pause_s:
                time.sleep(self.config.pause_s)
            yield Captured(
                index, index * 40, (1, 1000), time.time_ns(), lambda stamp, index=index: self._make(stamp, index)
            )

    def _make(self, stamp: Stamp, index: int) -> Frame:
        image = self.context.empty(stamp, (self.config.height, self.config.width, 3), np.uint8)
        image[...] = index % 256
        return Frame(stamp, image)


class Sum(Node[Frame, Summed]):
    """Adds up pixels; may drop, fail, be slow, die."""

    replicable = True

    class Config(NodeConfig):
        drop: list[int] = []
        fail: list[int] = []
        fatal_at: int = -1
        die_at: int = -1
        sleep_s: float = 0.0
        odd_sleep_s: float = 0.0
        batch: int = 1

    @property
    def batch(self) -> int:
        return int(self.config.batch)

    def process(self, message: Frame) -> Summed | None:
        seq = message.stamp.seq
        time.sleep(self.config.sleep_s + (self.config.odd_sleep_s if seq % 2 else 0))
        if seq in self.config.drop:
            return None
        if seq in self.config.fail:
            raise ValueError(f"no luck with frame {seq}")
        if seq == self.config.fatal_at:
            raise PromptError("expected a box inside the frame, got a bad one")
        if seq == self.config.die_at:
            os.kill(os.getpid(), 9)
        return Summed(message, int(message.image_rgb.sum()), message.image_rgb * 2)


class Write(Node[Summed, None]):
    """Writes a line for each frame."""

    class Config(NodeConfig):
        path: str
        full_at: int = -1
        sleep_s: float = 0.0

    def setup(self) -> None:
        self._file = Path(self.config.path).open("w")  # noqa: SIM115 (closed in close)

    def process(self, message: Summed) -> None:
        time.sleep(self.config.sleep_s)
        stamp = message.stamp
        if stamp.seq == self.config.full_at:
            raise OutputError("the disk is full")
        same = bool((message.doubled == message.frame.image_rgb * 2).all())
        self._line(
            seq=stamp.seq, index=stamp.index, total=message.total, same=same, pts_s=stamp.pts_s, stream=stamp.stream
        )

    def gap(self, gap: Gap) -> None:
        self._line(seq=gap.stamp.seq, gap=gap.kind, reason=gap.reason, stream=gap.stamp.stream)

    def finish(self, stream: str) -> None:
        self._line(end=stream)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _line(self, **values: Any) -> None:
        self._file.write(json.dumps(values) + "\n")


class Follow(Node[Frame, Frame]):
    """Passes frames on and says back where it saw them."""

    gives_feedback = Regions

    def setup(self) -> None:
        for stream in self.context.streams:
            self.context.feedback(Regions(stream, -1, []))

    def process(self, message: Frame) -> Frame:
        stamp = message.stamp
        self.context.feedback(Regions(stamp.stream, stamp.seq, [Region((0, 0, stamp.seq + 1, 1), 1)]))
        return message


class Look(Node[Frame, Frame]):
    """Waits for what `Follow` said of the frame before."""

    takes_feedback = Regions

    def setup(self) -> None:
        self._last: dict[str, Regions] = {}

    def on_feedback(self, message: Regions) -> None:
        self._last[message.stream] = message

    def ready(self, message: Frame) -> bool:
        last = self._last.get(message.stamp.stream)
        return last is not None and last.seq == message.stamp.seq - 1

    def process(self, message: Frame) -> Frame:
        wide = len(self._last[message.stamp.stream].regions)
        image = message.image_rgb.copy()
        image[...] = wide
        return Frame(message.stamp, image)
