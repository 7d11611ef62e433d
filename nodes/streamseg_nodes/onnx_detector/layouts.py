"""What the outputs of a detector mean: the layouts that exporters write, told apart by names and shapes.

| layout | outputs | boxes | who writes it |
|---|---|---|---|
| ultralytics | (1, 4 + C + extra, N) | centers and sizes in pixels of the input | ultralytics YOLOv8, 9, 11, 12 |
| yolov5 | (1, N, 5 + C + extra) | the same; objectness times class | YOLOv5, YOLOv7 |
| end2end | (1, N, 6) | corners, score, class | ultralytics YOLOv10, 26, and exports with NMS inside |
| yolox | (1, N, 5 + C) | offsets in the cells of three grids | YOLOX |
| rtdetr | labels, boxes, scores; two inputs | corners in pixels of the frame | RT-DETR, D-FINE, DEIM |
| ultralytics-rtdetr | (1, N, 4 + C), N up to 1000 | centers and sizes as fractions | ultralytics RT-DETR |
| rfdetr | dets (1, N, 4), labels (1, N, C) | centers and sizes as fractions; logits | RF-DETR |
| detr | pred_boxes (1, N, 4), logits (1, N, C) | the same | transformers' RT-DETR and deformable DETR |
| boxes | boxes (N, 4), labels (N), scores (N) | corners in pixels of the input | torchvision |
| counted | num_dets, det_boxes, det_scores, det_classes | corners in pixels of the input | YOLOv7 with NMS inside |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from streamseg.errors import ModelError, nearest

_STRIDES_PX = (8, 16, 32)
_MOST_QUERIES = 1000
"""Detectors with queries, or with their own suppression, give this many at most; those on grids give more."""

Outputs = Mapping[str, np.ndarray]
"""Name -> what came out."""
Fit = Literal["centered", "corner", "stretched"]
"""How a frame is put into the input: with borders on all sides, on the right and below, or by changing its aspect."""


class Raw(NamedTuple):
    """What a detector says, all of it."""

    boxes_xyxy: np.ndarray
    """(N, 4) float64, in pixels of the input, or of the frame (`Layout.in_frame`)."""
    scores: np.ndarray
    """(N,) float64."""
    classes: np.ndarray
    """(N,) int64."""


Reader = Callable[[Outputs, tuple[int, int], int], Raw]
"""Outputs, size (H, W) of the input in pixels, and number of classes -> what they say."""


@dataclass(frozen=True)
class Layout:
    """How a kind of detector is asked, and how its answer is read."""

    name: str
    read: Reader
    fit: Fit = "centered"
    suppressed: bool = False
    """Whether boxes do not overlap already, so that there is nothing to suppress."""
    in_frame: bool = False
    """Whether boxes are in pixels of the frame."""
    raw_bgr: bool = False
    """Whether it takes BGR from 0 to 255 rather than RGB from 0 to 1."""
    standardized: bool = False
    """Whether the mean of ImageNet is taken away, and divided by its standard deviation."""
    scores_from: tuple[int, int] | None = None
    """The axis of the first output of three along which classes have their scores, and where these begin."""
    logits: tuple[str, ...] = ()
    """Names of the output whose last axis is classes."""

    def count_classes(self, outputs: Outputs) -> int | None:
        """For how many classes there are scores, at most; None where numbers of classes come out."""
        if self.logits:
            return int(_named(outputs, *self.logits).shape[-1])
        if self.scores_from is None:
            return None
        axis, first = self.scores_from
        return int(_only(outputs).shape[axis]) - first


def _corners(centers_and_sizes: np.ndarray) -> np.ndarray:
    half = centers_and_sizes[..., 2:4] / 2
    middle = centers_and_sizes[..., :2]
    return np.concatenate([middle - half, middle + half], axis=-1)


def _best(boxes: np.ndarray, scores: np.ndarray) -> Raw:
    """Each box with the class that has most."""
    classes = scores.argmax(axis=1)
    return Raw(boxes, scores[np.arange(len(scores)), classes], classes)


def _only(outputs: Outputs) -> np.ndarray:
    """The output that has boxes and scores: the first with three axes, of the one frame there is."""
    return np.asarray(next(each for each in outputs.values() if each.ndim == 3)[0], np.float64)


def _named(outputs: Outputs, *names: str) -> np.ndarray:
    """An output by the first of its names that is there, of the one frame there is."""
    lowered = {name.lower(): each for name, each in outputs.items()}
    found = next(lowered[name] for name in names if name in lowered)
    return np.asarray(found, np.float64)


def _ultralytics(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    rows = _only(outputs).T
    return _best(_corners(rows[:, :4]), rows[:, 4 : 4 + count])


def _yolov5(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    rows = _only(outputs)
    return _best(_corners(rows[:, :4]), rows[:, 5 : 5 + count] * rows[:, 4:5])


def _end2end(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    rows = _only(outputs)
    return Raw(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def _yolox(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    rows = _only(outputs)
    cells, strides = [], []
    for stride in _STRIDES_PX:
        y, x = np.mgrid[0 : size[0] // stride, 0 : size[1] // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((x.size, 1), stride))
    cell, stride_px = np.concatenate(cells), np.concatenate(strides)
    middle, sides = (rows[:, :2] + cell) * stride_px, np.exp(np.minimum(rows[:, 2:4], 20)) * stride_px
    return _best(_corners(np.concatenate([middle, sides], axis=1)), rows[:, 5:] * rows[:, 4:5])


def _rtdetr(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    boxes, scores = _named(outputs, "boxes"), _named(outputs, "scores")
    return Raw(boxes.reshape(-1, 4), scores.reshape(-1), _named(outputs, "labels").reshape(-1).astype(np.int64))


def _fractions(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return _corners(boxes) * (width, height, width, height)


def _ultralytics_rtdetr(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    rows = _only(outputs)
    return _best(_fractions(rows[:, :4], size), rows[:, 4:])


def _rfdetr(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    boxes, logits = _named(outputs, "dets", "pred_boxes")[0], _named(outputs, "labels", "logits")[0]
    return _best(_fractions(boxes, size), 1 / (1 + np.exp(-logits)))


def _counted(outputs: Outputs, size: tuple[int, int], count: int) -> Raw:
    there = int(_named(outputs, "num_dets", "num_detections").reshape(-1)[0])
    boxes = _named(outputs, "det_boxes", "detection_boxes").reshape(-1, 4)[:there]
    scores = _named(outputs, "det_scores", "detection_scores").reshape(-1)[:there]
    classes = _named(outputs, "det_classes", "detection_classes").reshape(-1)[:there]
    return Raw(boxes, scores, classes.astype(np.int64))


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("ultralytics", _ultralytics, scores_from=(0, 4)),
        Layout("yolov5", _yolov5, scores_from=(1, 5)),
        Layout("end2end", _end2end, suppressed=True),
        Layout("yolox", _yolox, fit="corner", raw_bgr=True, scores_from=(1, 5)),
        Layout("rtdetr", _rtdetr, fit="stretched", suppressed=True, in_frame=True),
        Layout("ultralytics-rtdetr", _ultralytics_rtdetr, fit="stretched", suppressed=True, scores_from=(1, 4)),
        Layout("rfdetr", _rfdetr, fit="stretched", suppressed=True, standardized=True, logits=("labels",)),
        Layout("detr", _rfdetr, fit="stretched", suppressed=True, logits=("logits",)),
        Layout("boxes", _rtdetr, suppressed=True),
        Layout("counted", _counted, suppressed=True),
    )
}
"""Name -> layout."""


def layout_called(name: str) -> Layout:
    """A layout by its name.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in LAYOUTS:
        raise ModelError(f"there is no layout {name!r} of detectors; {nearest(name, LAYOUTS)}")
    return LAYOUTS[name]


def recognize(
    outputs: Outputs, size: tuple[int, int], metadata: Mapping[str, str], count: int | None, *, two_inputs: bool
) -> Layout | None:
    """The layout that outputs have; None if it is none of those that are known.

    Args:
        outputs: of a picture.
        size: (H, W) of the input in pixels.
        metadata: of the file.
        count: how many classes the file says there are; None if it does not.
        two_inputs: whether it is told the size of the frame, too.
    """
    names = {name.lower() for name in outputs}
    if {"labels", "boxes", "scores"} <= names:
        return LAYOUTS["rtdetr" if two_inputs else "boxes"]
    if {"dets", "labels"} <= names:
        return LAYOUTS["rfdetr"]
    if {"logits", "pred_boxes"} <= names:
        return LAYOUTS["detr"]
    if names & {"num_dets", "num_detections"} and len(outputs) == 4:
        return LAYOUTS["counted"]
    grids = [each for each in outputs.values() if each.ndim == 3]
    if not grids or grids[0].shape[0] != 1:
        return None
    name = _on_grids(grids[0].shape[1], grids[0].shape[2], size, metadata, count, extra=len(outputs) > 1)
    return None if name is None else LAYOUTS[name]


def _on_grids(
    rows: int, columns: int, size: tuple[int, int], metadata: Mapping[str, str], count: int | None, *, extra: bool
) -> str | None:
    cells = sum((size[0] // stride) * (size[1] // stride) for stride in _STRIDES_PX)
    queries = "rtdetr" in metadata.get("description", "").lower().replace("-", "")
    if queries and count is not None and columns == 4 + count:
        return "ultralytics-rtdetr"
    if columns == 6 and rows <= _MOST_QUERIES:
        return "end2end"
    if columns == cells and rows >= 5 and (count is None or rows == 4 + count or (rows > 4 + count and extra)):
        return "ultralytics"
    if rows == cells and columns > 5 and count in (None, columns - 5):
        return "yolox"
    if (
        rows > _MOST_QUERIES
        and columns > 5
        and (count is None or columns == 5 + count or (columns > 5 + count and extra))
    ):
        return "yolov5"
    if count is not None and columns == 4 + count and rows <= _MOST_QUERIES:
        return "ultralytics-rtdetr"
    return None
