"""Results in ROS 2's messages, as the node ``ros2_masks`` publishes them: what a ROS system knows without any of ours.

Masks are ``sensor_msgs/Image``, detections ``vision_msgs/Detection2DArray``, the overlay is
``sensor_msgs/CompressedImage``, states are ``diagnostic_msgs/DiagnosticArray``, prompts ``std_msgs/String`` with JSON,
since ROS has no type for them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streamseg import extras
from streamseg.messages import ObjectResult, Stamp
from streamseg.robotics import ros_results
from streamseg.ros2 import types
from streamseg_nodes.record.mcap import messages
from streamseg_nodes.record.mcap.growing import Channel
from streamseg_nodes.record.mcap.messages import Prompts, Result

_KINDS = {
    messages.MASKS: "sensor_msgs/msg/Image",
    messages.OVERLAY: "sensor_msgs/msg/CompressedImage",
    messages.DETECTIONS: "vision_msgs/msg/Detection2DArray",
    messages.STATES: "diagnostic_msgs/msg/DiagnosticArray",
    messages.PROMPTS: "std_msgs/msg/String",
}
_LEVELS: dict[str, ros_results.Level] = {"TRACKED": "ok", "REACQUIRED": "ok", "UNCERTAIN": "warn", "LOST": "error"}


class Ros2Encoder:
    """ROS 2's messages, in CDR.

    Raises:
        UsageError: a package that is needed is missing.
    """

    profile = "ros2"

    def __init__(self) -> None:
        extras.load("rosbags.typesys", "bags", "to write ROS 2 messages")
        self.channels = tuple(
            Channel(topic, "cdr", kind, "ros2msg", types.typestore().generate_msgdef(kind, ros_version=2)[0].encode())
            for topic, kind in _KINDS.items()
        )

    def frame(self, result: Result) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame."""
        head = _header(result.stamp_ns, result.stamp)
        detections = [
            ros_results.detection(head, each.id, each.label, each.state, each.score, each.box_xyxy)
            for each in result.objects
        ]
        made = [
            _encoded(messages.MASKS, {**result.masks, "header": head}),
            _encoded(messages.DETECTIONS, {"header": head, "detections": detections}),
            _encoded(messages.STATES, {"header": head, "status": [_status(each) for each in result.objects]}),
        ]
        if result.overlay is not None:
            made.append(_encoded(messages.OVERLAY, {**result.overlay, "header": head}))
        if result.prompts:
            text = msgspec.json.encode(Prompts(result.stamp.index, list(result.prompts))).decode()
            made.append(_encoded(messages.PROMPTS, {"data": text}))
        return made

    def gap(self, stamp_ns: int, stamp: Stamp, reason: str) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame that no masks are known of."""
        status = ros_results.diagnostics(stamp_ns, "frame", "stale", reason, {"frame": stamp.index})
        return [_encoded(messages.STATES, {**status, "header": _header(stamp_ns, stamp)})]


def _status(found: ObjectResult) -> Any:
    values = {"id": found.id, "state": found.state, "score": f"{found.score:.4f}", "area": found.area_px}
    text = f"{found.state}: {found.reason}" if found.reason else found.state
    return ros_results.diagnostics(0, f"object {found.id}", _LEVELS[found.state], text, values)["status"][0]


def _header(stamp_ns: int, stamp: Stamp) -> ros_results.Fields:
    return ros_results.header(stamp_ns, stamp.frame_id or stamp.stream)


def _encoded(topic: str, fields: ros_results.Fields) -> tuple[str, bytes]:
    return topic, types.encode(_KINDS[topic], fields)
