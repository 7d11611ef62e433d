"""Segmentation without a model, so that tests know every mask: what is bright, and what is dark."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import Frame, ObjectResult, Segmented, Stamp
from streamseg.node import Node, NodeConfig


def bright_labels(image_rgb: np.ndarray) -> np.ndarray:
    """(H, W) uint16: 1 where red is above 200, 2 where green is below 40."""
    labels = np.zeros(image_rgb.shape[:2], np.uint16)
    labels[image_rgb[..., 1] < 40] = 2
    labels[image_rgb[..., 0] > 200] = 1
    return labels


def segmented(frame: Frame, labels: np.ndarray, ids: tuple[int, ...]) -> Segmented:
    """A message with one tracked object for each label."""
    objects = [
        ObjectResult(id=found, state="TRACKED", score=0.75, box_xyxy=box, area_px=area_px, label=f"thing {found}")
        for found, (area_px, box) in zip(ids, areas_and_boxes(labels, len(ids)), strict=True)
    ]
    return Segmented(frame=frame, objects=objects, labels=labels, tracker=msgspec.Raw(msgspec.msgpack.encode(7)))


def drawn(
    seq: int, labels: np.ndarray, ids: tuple[int, ...], *, stream: str = "s", index: int | None = None, **more: Any
) -> Segmented:
    """A message whose picture is gray and whose time is that of a 10 fps video; `more` goes into its stamp."""
    index = seq if index is None else index
    stamp = Stamp(stream, seq, index, index, (1, 10), 1_000 + seq, 0, seq + 1, **more)
    image_rgb = np.full((*labels.shape, 3), 90, np.uint8)
    return segmented(Frame(stamp, image_rgb), labels.astype(np.uint16), ids)


class Bright(Node[Frame, Segmented]):
    """`bright_labels` of each frame, as objects 3 and 300."""

    class Config(NodeConfig):
        drop: list[int] = []
        fail: list[int] = []

    def process(self, message: Frame) -> Segmented | None:
        if message.stamp.seq in self.config.fail:
            raise ValueError(f"no luck with frame {message.stamp.seq}")
        if message.stamp.seq in self.config.drop:
            return None
        return segmented(message, bright_labels(message.image_rgb), (3, 300))
