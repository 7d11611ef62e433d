"""Which detections become objects, by hand."""

from __future__ import annotations

from typing import Any

from streamseg.tracking.initialize import new_detections
from streamseg.types import Box

OBJECT: Box = (10, 10, 30, 30)
SAME: Box = (12, 12, 32, 32)
PART: Box = (10, 10, 18, 18)
AROUND: Box = (5, 5, 80, 80)
NEIGHBOR: Box = (28, 10, 48, 30)
FAR: Box = (60, 60, 90, 90)


def new(boxes: list[Box], scores: list[float] | None = None, known: list[Box] | None = None, **rules: Any) -> list[int]:
    given = {"min_score": 0.0, "same_iou": 0.3, "inside": 0.7, "room": 9, **rules}
    return new_detections(boxes, scores or [1.0] * len(boxes), [OBJECT] if known is None else known, **given)


def test_what_is_followed_already_is_not_new() -> None:
    assert new([SAME, NEIGHBOR, FAR]) == [1, 2]
    assert new([SAME], same_iou=0.9, inside=1.0) == [0]


def test_parts_of_an_object_and_what_has_it_as_a_part_are_not_new() -> None:
    assert new([PART, AROUND]) == []
    assert new([PART, AROUND], inside=1.0, same_iou=0.3) == []
    assert new([(10, 10, 50, 18)]) == [0]


def test_of_two_detections_of_one_thing_the_surer_is_taken() -> None:
    assert new([OBJECT, SAME, FAR], [0.5, 0.9, 0.7], known=[]) == [1, 2]


def test_unsure_ones_and_those_there_is_no_room_for_are_left_out() -> None:
    assert new([OBJECT, FAR], [0.4, 0.6], known=[], min_score=0.5) == [1]
    assert new([OBJECT, FAR], [0.4, 0.6], known=[], room=1) == [1]
    assert new([OBJECT, FAR], known=[], room=0) == []
