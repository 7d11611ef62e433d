"""Masks that formats stumble over, as a node: the same in every process, so that tests know each of them."""

from __future__ import annotations

import numpy as np

from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import Frame, ObjectResult, Segmented
from streamseg.node import Node, NodeConfig

HEIGHT, WIDTH = 95, 131
IDS = (1, 7, 70, 300, 1000)
LABELS = ("ball", "", "cup & saucer", "ball", "ghost")
LOST = (3, 4, 5)
"""Frames in which object 70 is not to be seen."""


def strange_labels(seq: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """(H, W) uint16: k is object ``IDS[k - 1]``.

    1 moves and is cut off by the edge of the frame; 7 has holes, with an island; 70 is lost for some frames; 300 has
    several parts; 1000 is never seen.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint16)
    labels[(x - 6 * seq) ** 2 + (y - 20) ** 2 < 17**2] = 1
    labels[40:90, 5:55] = 2
    labels[50:70, 12:30] = 0
    labels[55:62, 17:25] = 2
    labels[72 : 76 + seq, 40:48] = 0
    if seq not in LOST:
        labels[(x - 95) ** 2 / 4 + (y - 30) ** 2 < 9**2] = 3
    labels[60:95, 70:90] = 4
    labels[62:93, 94 + seq : 131] = 4
    return labels


def strange_ids(seq: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """The same with ids: (H, W) uint16."""
    return np.array([0, *IDS], np.uint16)[strange_labels(seq, shape)]


class Strange(Node[Frame, Segmented]):
    """`strange_labels` of each frame."""

    class Config(NodeConfig):
        ids: tuple[int, ...] = IDS

    def process(self, message: Frame) -> Segmented:
        labels = strange_labels(message.stamp.seq, message.image_rgb.shape[:2])
        objects = [
            ObjectResult(found, "TRACKED" if area else "LOST", 0.9 if area else 0.1, box, area, label)
            for found, label, (area, box) in zip(self.config.ids, LABELS, areas_and_boxes(labels, 5), strict=True)
        ]
        return Segmented(message, objects, labels)
