"""What a caller in Python gets of a frame: the picture, and the objects in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamseg.extras import load
from streamseg.masks import rle
from streamseg.masks.polygons import outline, rings
from streamseg.messages import Segmented
from streamseg.types import Box, CaptureClock, ObjectState


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMask:
    """One object in one frame."""

    id: int
    """Stable for life; used again at most for a detector's objects, once all 65,535 have been."""
    label: str
    state: ObjectState
    score: float
    """The model's own estimate of the mask's IoU, 0 to 1."""
    box_xyxy: Box | None
    """Tight box round the mask in pixels, right and bottom edges exclusive; None if the mask is empty."""
    area_px: int
    _labels: np.ndarray = field(repr=False)
    _value: int = field(repr=False)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, made when asked for."""
        return np.asarray(self._labels == self._value)


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame and the objects in it. Everything is a copy: it may be kept and changed."""

    index: int
    """Position among all frames of the source, those that a live source dropped included."""
    pts_s: float | None
    """Presentation time in seconds; None if the source has none."""
    image_rgb: np.ndarray = field(repr=False)
    """(H, W, 3) uint8, RGB, upright."""
    objects: list[ObjectMask]
    captured_ns: int | None = None
    """When the picture was taken, nanoseconds since the epoch by `captured_clock`; None if nobody said."""
    captured_clock: CaptureClock = "arrival"
    """``sender`` if the source says when its pictures were taken, ``recording`` if a bag does, ``arrival`` for when
    they came, ``reading`` for a file."""
    arrived_ns: int | None = None
    """When the picture came, nanoseconds since the epoch by this machine's clock; None if it came from no source."""

    def to_numpy(self) -> dict[str, np.ndarray]:
        """The objects as arrays with an entry each, in the order of `objects`.

        Returns:
            ``ids`` (N,) int64; ``masks`` (N, H, W) bool; ``boxes_xyxy`` (N, 4) float32 in pixels, NaN where the mask
            is empty; ``scores`` (N,) float32; ``areas_px`` (N,) int64; ``states`` and ``labels`` (N,) text.
        """
        nothing = (float("nan"),) * 4
        masks = [each.mask for each in self.objects]
        return {
            "ids": np.array([each.id for each in self.objects], np.int64),
            "masks": np.stack(masks) if masks else np.zeros((0, *self.image_rgb.shape[:2]), bool),
            "boxes_xyxy": np.array([each.box_xyxy or nothing for each in self.objects], np.float32).reshape(-1, 4),
            "scores": np.array([each.score for each in self.objects], np.float32),
            "areas_px": np.array([each.area_px for each in self.objects], np.int64),
            "states": np.array([each.state for each in self.objects], np.str_),
            "labels": np.array([each.label for each in self.objects], np.str_),
        }

    def polygons(self, tolerance_px: float = 0.5) -> dict[int, list[np.ndarray]]:
        """Id -> the outlines of the object's parts, the largest first; holes are cut in from the outside.

        Args:
            tolerance_px: how far they may lie from the outline; 0 keeps every corner.

        Returns:
            (N, 2) float64 x, y each, in pixels, where the top left corner of the top left pixel is (0, 0).
        """
        return {each.id: rings(outline(each.mask, tolerance_px)) for each in self.objects if each.area_px}

    def to_coco(self, image_id: int | None = None) -> list[dict[str, Any]]:
        """The objects that can be seen, as annotations of COCO with compressed run lengths.

        Args:
            image_id: of the picture; None takes the frame's `index`.

        Returns:
            Plain data, as ``COCO.loadRes`` of pycocotools takes it. ``category_id`` is 1; ``label`` says the name.
        """
        found = []
        for each in self.objects:
            if each.box_xyxy is None:
                continue
            x0, y0, x1, y1 = each.box_xyxy
            found.append(
                {
                    "image_id": self.index if image_id is None else image_id,
                    "category_id": 1,
                    "segmentation": rle.to_coco(each.mask),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": each.area_px,
                    "iscrowd": 0,
                    "score": each.score,
                    "track_id": each.id,
                    "label": each.label,
                    "state": each.state,
                }
            )
        return found

    def to_supervision(self) -> Any:
        """The objects that can be seen, as ``supervision.Detections``: boxes, masks, scores, ids as ``tracker_id``.

        Its ``data`` has ``class_name`` (the labels) and ``state``; all have class 0.

        Raises:
            UsageError: the package supervision is not installed.
        """
        supervision = load("supervision", "formats", "to give detections of supervision")
        arrays = self.to_numpy()
        seen = arrays["areas_px"] > 0
        return supervision.Detections(
            xyxy=arrays["boxes_xyxy"][seen],
            mask=arrays["masks"][seen],
            confidence=arrays["scores"][seen],
            class_id=np.zeros(int(seen.sum()), np.int64),
            tracker_id=arrays["ids"][seen],
            data={"class_name": arrays["labels"][seen], "state": arrays["states"][seen]},
        )


def frame_result(message: Segmented, *, copy: bool = True) -> FrameResult:
    """The result that a message is.

    Args:
        message: from the last node that changes masks.
        copy: of its arrays; not needed where they are nobody else's.
    """
    labels = message.labels.copy() if copy else message.labels
    image_rgb = message.frame.image_rgb.copy() if copy else message.frame.image_rgb
    objects = [
        ObjectMask(each.id, each.label, each.state, each.score, each.box_xyxy, each.area_px, labels, number)
        for number, each in enumerate(message.objects, 1)
    ]
    stamp = message.stamp
    return FrameResult(
        stamp.index, stamp.pts_s, image_rgb, objects, stamp.captured_ns, stamp.captured_clock, stamp.came_ns
    )
