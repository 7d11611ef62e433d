"""Messages of ROS 2 without ROS: their definitions, their bytes (CDR) and their hashes, by rosbags.

rosbags brings those of ROS's own packages; what streamseg needs beside them is defined here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from streamseg.extras import load

ADD_OBJECTS = "isaac_ros_segment_anything2_interfaces/srv/AddObjects"
REMOVE_OBJECT = "isaac_ros_segment_anything2_interfaces/srv/RemoveObject"
TRIGGER = "std_srvs/srv/Trigger"

_DEFINITIONS = {
    # vision_msgs 4: from ROS 2 Humble on.
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    # A struct without fields has one in DDS.
    f"{TRIGGER}_Request": "uint8 structure_needs_at_least_one_member",
    f"{TRIGGER}_Response": "bool success\nstring message",
    # Those of Isaac ROS Segment Anything 2, so that its clients need no change.
    f"{ADD_OBJECTS}_Request": (
        "std_msgs/Header request_header\nstring[] bbox_object_ids\nvision_msgs/BoundingBox2D[] bbox_coords\n"
        "string[] point_object_ids\nvision_msgs/Point2D[] point_coords\nint32[] point_labels"
    ),
    f"{ADD_OBJECTS}_Response": "string[] object_ids\nint32[] object_indices\nbool success\nstring message",
    f"{REMOVE_OBJECT}_Request": "std_msgs/Header request_header\nstring object_id",
    f"{REMOVE_OBJECT}_Response": "string[] object_ids\nint32[] object_indices\nbool success\nstring message",
}
_BYTES = {"byte": "uint8", "char": "uint8", "octet": "uint8"}


@cache
def typestore() -> Any:
    """All messages that streamseg knows, those of ROS 2 Jazzy and ours.

    Raises:
        UsageError: rosbags is not installed.
    """
    typesys = load("rosbags.typesys", "ros2", "for the messages of ROS 2")
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    found: dict[str, Any] = {}
    for name, text in _DEFINITIONS.items():
        # It takes every definition for one in msg/.
        found[name] = next(iter(typesys.get_types_from_msg(text, name).values()))
    store.register(found)
    return store


def type_hash(type_name: str) -> str:
    """``RIHS01_`` and 64 hexadecimal digits, by REP 2016."""
    return str(typestore().hash_rihs01(type_name))


def encode(type_name: str, fields: Mapping[str, Any]) -> bytes:
    """A message as CDR, its four bytes of encapsulation first; what `fields` leaves out is 0 or empty.

    Raises:
        KeyError: the message has no such field.
    """
    return bytes(typestore().serialize_cdr(build(type_name, fields), type_name))


def decode(type_name: str, data: bytes | memoryview) -> Any:
    """The message in CDR; arrays of numbers are numpy's, and are views of `data`.

    Raises:
        ValueError: it is none of this type, cut off, or of an encapsulation other than plain CDR.
    """
    serde = load("rosbags.serde", "ros2", "for the messages of ROS 2")
    try:
        return typestore().deserialize_cdr(data, type_name)
    # A length that was cut off, or is made up, ends in any of these.
    except (serde.SerdeError, struct.error, IndexError, OverflowError, MemoryError, AssertionError) as error:
        raise ValueError(str(error)) from error


def build(type_name: str, fields: Mapping[str, Any]) -> Any:
    """A message of rosbags from plain data."""
    store = typestore()
    known = store.fielddefs[type_name][1]
    if unknown := fields.keys() - {name for name, _ in known}:
        raise KeyError(f"{type_name} has no {', '.join(sorted(unknown))}")
    return store.types[type_name](**{name: _value(desc, fields.get(name)) for name, desc in known})


def _value(desc: Any, given: Any) -> Any:
    kind, rest = desc
    is_array, is_sequence = kind.name == "ARRAY", kind.name == "SEQUENCE"
    if is_array or is_sequence:
        (kind, rest), count = rest
        if kind.name == "NAME":
            return [build(rest, each) for each in given or []]
        if rest[0] == "string":
            return list(given or [])
        if given is None:
            return np.zeros(count if is_array else 0, _dtype(rest[0]))
        if isinstance(given, (bytes, bytearray, memoryview)):
            return np.frombuffer(given, _dtype(rest[0]))
        return np.asarray(given, _dtype(rest[0])).reshape(-1)
    if kind.name == "NAME":
        return build(rest, given or {})
    if given is None:
        return "" if rest[0] == "string" else np.zeros(1, _dtype(rest[0]))[0].item()
    return given


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(_BYTES.get(name, name))
