"""What the author of a detector sees: a node that says where there are things worth following.

    class Words(Detector):
        class Config(Detector.Config, kw_only=True):
            words: list[str]

        def setup(self) -> None:
            self._model = load(self.config.words)

        def detect(self, frame: Frame) -> list[Detection]:
            return [Detection((x0, y0, x1, y1), label, score) for ... in self._model(frame.image_rgb)]

It stands between the source and embed, so what it finds travels with its frame. Propagate makes objects of it, unless
they are followed already. A detector that keeps nothing from frame to frame may say ``replicable = True``.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from streamseg.messages import Detected, Detection, Frame
from streamseg.node import Node, NodeConfig, Option


class Detector(Node[Frame, Detected]):
    """Base of nodes that find things in frames."""

    keeps_frames = True

    class Config(NodeConfig, frozen=True):
        """Options that all detectors have."""

        every: Annotated[
            int,
            msgspec.Meta(ge=0),
            Option(
                "the detector looks at every N-th frame, from the first on; 0: only at the first",
                flag="--detect-every",
                metavar="N",
            ),
        ] = 1

    def detect(self, frame: Frame) -> list[Detection]:
        """What there is in a frame, boxes in its pixels."""
        raise TypeError(f"{type(self).__name__} must override detect()")

    def watch(self, frame: Frame) -> None:
        """Called with every frame, before `detect`, for detectors that learn from those they are not asked about."""

    def process(self, message: Frame) -> Detected:
        """The frame, with what was found in it if this is one to look at."""
        self.watch(message)
        seq, every = message.stamp.seq, self.config.every
        looks = seq % every == 0 if every else seq == 0
        height, width = message.image_rgb.shape[:2]
        found = [_clipped(each, width, height) for each in self.detect(message)] if looks else None
        detections = None if found is None else [each for each in found if each is not None]
        return Detected(message.stamp, message.image_rgb, detections)


def _clipped(found: Detection, width: int, height: int) -> Detection | None:
    """A detection inside its frame; None if it lies outside. A broken one costs the frame, not the run."""
    x0, y0, x1, y1 = (float(edge) for edge in found.box_xyxy)
    if not all(map(math.isfinite, (x0, y0, x1, y1, found.score))) or x0 >= x1 or y0 >= y1:
        raise ValueError(f"expected a detection's box with x0 < x1 and y0 < y1, and a score, all finite, got {found}")
    inside = (max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None
    return msgspec.structs.replace(found, box_xyxy=inside, score=float(found.score))
