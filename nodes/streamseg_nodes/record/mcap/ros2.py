"""Results in ROS 2's messages: what a ROS system knows without anything of ours.

Masks are ``sensor_msgs/Image``, detections ``vision_msgs/Detection2DArray``, the overlay is
``sensor_msgs/CompressedImage``, states are ``diagnostic_msgs/DiagnosticArray``, prompts ``std_msgs/String`` with JSON,
since ROS has no type for them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from streamseg import extras
from streamseg.messages import ObjectResult, Stamp
from streamseg_nodes.record.mcap import messages
from streamseg_nodes.record.mcap.growing import Channel
from streamseg_nodes.record.mcap.messages import Prompts, Result

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_DETECTIONS, _DIAGNOSTICS = "vision_msgs/msg/Detection2DArray", "diagnostic_msgs/msg/DiagnosticArray"
_STRING, _HEADER = "std_msgs/msg/String", "std_msgs/msg/Header"
# vision_msgs 4, from ROS 2 Humble on, which rosbags does not have.
_VISION = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
_OK, _WARN, _ERROR, _STALE = 0, 1, 2, 3
_LEVELS = {"TRACKED": _OK, "REACQUIRED": _OK, "UNCERTAIN": _WARN, "LOST": _ERROR}


class Ros2Encoder:
    """ROS 2's messages, in CDR.

    Raises:
        UsageError: a package that is needed is missing.
    """

    profile = "ros2"

    def __init__(self) -> None:
        typesys = extras.load("rosbags.typesys", "bags", "to write ROS 2 messages")
        self._store = typesys.get_typestore(typesys.Stores.LATEST)
        for name, text in _VISION.items():
            self._store.register(typesys.get_types_from_msg(text, f"vision_msgs/msg/{name}"))
        self._no_pose = self._made(
            "geometry_msgs/msg/PoseWithCovariance",
            self._made(
                "geometry_msgs/msg/Pose",
                self._made("geometry_msgs/msg/Point", 0.0, 0.0, 0.0),
                self._made("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0),
            ),
            np.zeros(36),
        )
        kinds = {
            messages.MASKS: _IMAGE,
            messages.OVERLAY: _COMPRESSED,
            messages.DETECTIONS: _DETECTIONS,
            messages.STATES: _DIAGNOSTICS,
            messages.PROMPTS: _STRING,
        }
        self.channels = tuple(
            Channel(topic, "cdr", kind, "ros2msg", self._store.generate_msgdef(kind, ros_version=2)[0].encode())
            for topic, kind in kinds.items()
        )

    def frame(self, result: Result) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame."""
        header = self._header(result.stamp_ns, result.stamp)
        found = [self._detection(header, each) for each in result.objects if each.box_xyxy is not None]
        made = [
            (messages.MASKS, self._masks(header, result.label_image)),
            (messages.DETECTIONS, self._bytes(_DETECTIONS, header, found)),
            (messages.STATES, self._bytes(_DIAGNOSTICS, header, [self._status(each) for each in result.objects])),
        ]
        if result.overlay_jpeg is not None:
            data = np.frombuffer(result.overlay_jpeg, np.uint8)
            made.append((messages.OVERLAY, self._bytes(_COMPRESSED, header, "jpeg", data)))
        if result.prompts:
            text = msgspec.json.encode(Prompts(result.stamp.index, list(result.prompts))).decode()
            made.append((messages.PROMPTS, self._bytes(_STRING, text)))
        return made

    def gap(self, stamp_ns: int, stamp: Stamp, reason: str) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame that no masks are known of."""
        status = self._made("diagnostic_msgs/msg/DiagnosticStatus", _STALE, "frame", reason, stamp.stream, [])
        return [(messages.STATES, self._bytes(_DIAGNOSTICS, self._header(stamp_ns, stamp), [status]))]

    def _masks(self, header: Any, image: np.ndarray) -> bytes:
        height, width = image.shape
        encoding = "mono8" if image.itemsize == 1 else "16UC1"
        data = image.astype(image.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
        return self._bytes(_IMAGE, header, height, width, encoding, 0, width * image.itemsize, data)

    def _detection(self, header: Any, found: ObjectResult) -> Any:
        x0, y0, x1, y1 = found.box_xyxy or (0.0, 0.0, 0.0, 0.0)
        center = self._made("vision_msgs/msg/Point2D", (x0 + x1) / 2, (y0 + y1) / 2)
        box = self._made(
            "vision_msgs/msg/BoundingBox2D", self._made("vision_msgs/msg/Pose2D", center, 0.0), x1 - x0, y1 - y0
        )
        hypothesis = self._made("vision_msgs/msg/ObjectHypothesis", found.label, float(found.score))
        with_pose = self._made("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis, self._no_pose)
        return self._made("vision_msgs/msg/Detection2D", header, [with_pose], box, str(found.id))

    def _status(self, found: ObjectResult) -> Any:
        values = {"id": str(found.id), "state": found.state, "score": f"{found.score:.4f}", "area": str(found.area_px)}
        pairs = [self._made("diagnostic_msgs/msg/KeyValue", key, value) for key, value in values.items()]
        message = f"{found.state}: {found.reason}" if found.reason else found.state
        level = _LEVELS[found.state]
        return self._made("diagnostic_msgs/msg/DiagnosticStatus", level, f"object {found.id}", message, "", pairs)

    def _header(self, stamp_ns: int, stamp: Stamp) -> Any:
        time = self._made("builtin_interfaces/msg/Time", stamp_ns // 10**9, stamp_ns % 10**9)
        return self._made(_HEADER, time, stamp.stream)

    def _made(self, kind: str, *fields: Any) -> Any:
        return self._store.types[kind](*fields)

    def _bytes(self, kind: str, *fields: Any) -> bytes:
        return bytes(self._store.serialize_cdr(self._made(kind, *fields), kind))
