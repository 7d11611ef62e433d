"""The adapter for rclpy, as far as that goes without ROS: filling messages, with stand-ins for ROS's own."""

from __future__ import annotations

import array
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from streamseg.errors import UsageError
from streamseg.ros2.opening import open_middleware
from streamseg.ros2.rclpy_adapter import fill


class StandInPoint:
    def __init__(self) -> None:
        self.x = self.y = 0.0


class StandInMessage:
    """With the kinds of fields that messages of ROS have in Python."""

    def __init__(self) -> None:
        self.name = ""
        self.level = b"\0"
        self.point = StandInPoint()
        self.data = array.array("B")
        self.points: list[Any] = []

    @staticmethod
    def get_fields_and_field_types() -> dict[str, str]:
        return {"points": "sequence<stand_in_msgs/StandInPoint>"}


def test_stand_ins_for_messages_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("stand_in_msgs.msg")
    module.StandInPoint = StandInPoint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stand_in_msgs", ModuleType("stand_in_msgs"))
    monkeypatch.setitem(sys.modules, "stand_in_msgs.msg", module)
    message = StandInMessage()
    fields = {
        "name": "n",
        "level": 3,
        "point": {"x": 1.0},
        "data": np.arange(300, dtype=np.int64).astype(np.uint8),
        "points": [{"x": 4.0}, {"y": 5.0}],
    }
    fill(message, fields)
    assert (message.name, message.level, message.point.x, message.point.y) == ("n", b"\3", 1.0, 0.0)
    assert isinstance(message.data, array.array)
    assert message.data.tobytes() == fields["data"].tobytes()  # type: ignore[attr-defined]
    assert [(each.x, each.y) for each in message.points] == [(4.0, 0.0), (0.0, 5.0)]


def test_without_ros_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"source a ROS environment .* or choose the middleware dds"):
        open_middleware("rclpy", "streamseg")
