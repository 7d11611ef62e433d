"""Messages of ROS 2 without ROS: hashes, bytes, and bytes that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamseg.ros2 import types

IMAGE = "sensor_msgs/msg/Image"


def test_hashes_are_those_of_ros() -> None:
    # As 'ros2 topic info --verbose' shows them on Jazzy.
    known = {
        IMAGE: "d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
        "std_msgs/msg/String": "df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18",
    }
    assert {name: types.type_hash(name) for name in known} == {name: f"RIHS01_{each}" for name, each in known.items()}


def test_what_is_left_out_is_zero_or_empty() -> None:
    message = types.decode("vision_msgs/msg/Detection2D", types.encode("vision_msgs/msg/Detection2D", {"id": "7"}))
    assert (message.id, message.header.frame_id, message.bbox.size_x, len(message.results)) == ("7", "", 0.0, 0)


def test_a_field_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="sensor_msgs/msg/Image has no hight"):
        types.encode(IMAGE, {"hight": 3})


def test_arrays_of_a_message_come_back() -> None:
    data = np.arange(12, dtype=np.uint8)
    message = types.decode(IMAGE, types.encode(IMAGE, {"height": 3, "width": 4, "data": data}))
    assert np.array_equal(message.data, data)
    request = {"bbox_object_ids": ["a", "b"], "point_labels": [1, 0], "point_coords": [{"x": 1.5, "y": 2.5}]}
    found = types.decode(f"{types.ADD_OBJECTS}_Request", types.encode(f"{types.ADD_OBJECTS}_Request", request))
    assert (found.bbox_object_ids, list(found.point_labels)) == (["a", "b"], [1, 0])
    assert found.point_coords[0].y == 2.5


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 120))
def test_bytes_of_a_stranger_are_a_message_or_refused(data: bytes, at: int) -> None:
    whole = types.encode(IMAGE, {"header": {"frame_id": "camera"}, "encoding": "rgb8", "data": bytes(9)})
    for each in (data, whole[:at], whole[:at] + data, b"\0\1\0\0" + data):
        try:
            types.decode(IMAGE, each)
        except ValueError:
            continue
