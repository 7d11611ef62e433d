"""Results as the fields of ROS messages."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.robotics import ros_results

HEAD = ros_results.header(1_764_000_000_000_000_009, "camera")


def pixels(fields: ros_results.Fields) -> np.ndarray:
    kind = {"mono8": np.uint8, "16UC1": "<u2"}[fields["encoding"]]
    return fields["data"].view(kind).reshape(fields["height"], fields["width"])


def test_a_header_has_the_stamp_to_the_nanosecond() -> None:
    assert HEAD == {"stamp": {"sec": 1_764_000_000, "nanosec": 9}, "frame_id": "camera"}


@pytest.mark.parametrize(
    ("ids", "encoding"), [([3, 1, 255], "mono8"), ([3, 1, 256], "16UC1"), ([], "mono8"), (list(range(1, 300)), "16UC1")]
)
def test_pixels_of_a_label_image_are_ids(ids: list[int], encoding: str) -> None:
    labels = np.random.default_rng(0).integers(0, len(ids) + 1, (9, 7)).astype(np.uint16)
    fields = ros_results.label_image(HEAD, labels, ids)
    assert (fields["encoding"], fields["height"], fields["width"]) == (encoding, 9, 7)
    assert fields["step"] * 9 == len(fields["data"])
    assert np.array_equal(pixels(fields), np.array([0, *ids])[labels])


def test_sixteen_bits_can_be_asked_for() -> None:
    assert ros_results.label_image(HEAD, np.ones((2, 2), np.uint16), [4], "16UC1")["encoding"] == "16UC1"


def test_a_detection_of_a_lost_object_has_a_box_without_size() -> None:
    found = ros_results.detection(HEAD, 5, "", "LOST", 0.0, None)
    assert (found["id"], found["bbox"]["size_x"], found["bbox"]["size_y"]) == ("5", 0.0, 0.0)
    assert [each["hypothesis"]["class_id"] for each in found["results"]] == ["5", "LOST"]
