"""Which of the things a detector found are new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from streamseg.masks.boxes import area, box_iou, shared_area
from streamseg.types import Box

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class DetectionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which detections become objects, and for how long."""

    min_score: float = 0.0
    """Less certain ones are ignored."""
    same_iou: Share = 0.3
    """A detection whose box has at least this IoU with that of an object is that object,"""
    inside: Share = 0.7
    """and so is one of which at least this share lies in the object's box, or the other way round: it is a part of it,
    or has it as a part."""
    max_objects: Annotated[int, msgspec.Meta(ge=1)] = 20
    """No new objects while there are so many, those that are lost included."""
    forget_after: Annotated[int, msgspec.Meta(ge=1)] = 50
    """An object that a detector found is given up after so many frames without it; others are searched for ever."""


def newcomers(
    boxes: Sequence[Box],
    scores: Sequence[float],
    known: Sequence[Box],
    *,
    min_score: float,
    same_iou: float,
    inside: float,
    room: int,
) -> list[int]:
    """Positions of the detections that become objects, the most certain first.

    Args:
        boxes: of the detections.
        scores: one a box.
        known: boxes of the objects that there are.
        min_score: as `DetectionOptions` has it, and so are the next two.
        same_iou: see there.
        inside: see there.
        room: how many there may be at most.
    """
    taken = list(known)
    new: list[int] = []
    for position in sorted(range(len(boxes)), key=lambda position: -scores[position]):
        box = boxes[position]
        if len(new) >= room:
            break
        if scores[position] >= min_score and not any(_same(box, other, same_iou, inside) for other in taken):
            taken.append(box)
            new.append(position)
    return new


def _same(first: Box, second: Box, same_iou: float, inside: float) -> bool:
    smaller = min(area(first), area(second))
    return box_iou(first, second) >= same_iou or (smaller > 0 and shared_area(first, second) / smaller >= inside)
