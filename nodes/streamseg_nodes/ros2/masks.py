"""Results to ROS 2 topics: a label image, detections, an overlay, diagnostics."""

from __future__ import annotations

import time
from typing import Annotated, Any

import cv2
import msgspec
import numpy as np

from streamseg.errors import GraphError
from streamseg.messages import Gap, ObjectResult, Segmented, SourceStatus
from streamseg.node import Node, Option
from streamseg.robotics import ros_results
from streamseg.ros2.middleware import Middleware, Publisher, Qos, Reliability
from streamseg.types import Box, SourceState
from streamseg_nodes.drawn_masks import drawn_masks
from streamseg_nodes.ros2.ros_config import Depth, RosConfig, absolute, open_for

_DIAGNOSTICS_EVERY_S = 1.0


class Ros2Masks(Node[Segmented, None]):
    """Publishes each frame's objects with the header of its image: stamp to the nanosecond, coordinate frame.

    The label image has the ids of the objects as pixels, and the size that the image had on its topic. What nobody
    listens to is not made. Nobody is waited for.
    """

    class Config(RosConfig, frozen=True):
        """Options of ros2_masks."""

        masks: Annotated[
            str, Option("topic of the label images; none if empty", flag="--masks-topic", metavar="TOPIC")
        ] = "masks"
        detections: Annotated[
            str, Option("topic of the detections; none if empty", flag="--detections-topic", metavar="TOPIC")
        ] = "detections"
        overlay: Annotated[
            str,
            Option(
                "topic of compressed images with the masks drawn in, say overlay/compressed",
                flag="--overlay-topic",
                metavar="TOPIC",
            ),
        ] = ""
        encoding: Annotated[
            ros_results.LabelEncoding,
            Option("auto: mono8, and 16UC1 in a frame with an id above 255", flag="--label-encoding", rare=True),
        ] = "auto"
        reliability: Annotated[
            Reliability,
            Option("best_effort, or reliable for listeners that ask for it", flag="--masks-reliability"),
        ] = "best_effort"
        depth: Annotated[Depth, Option("how many messages are kept for a slow reliable listener")] = 1
        quality: Annotated[int, msgspec.Meta(ge=1, le=100), Option("of the overlay's JPEG, 1 to 100")] = 80
        node_name: Annotated[str, Option("of the ROS node")] = "streamseg_masks"

    resumable = True

    config: Config
    _middleware: Middleware | None = None

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse two outputs on one topic.

        Raises:
            GraphError: there are such.
        """
        topics = [absolute(t, config.namespace) for t in (config.masks, config.detections, config.overlay) if t]
        if len(set(topics)) < len(topics):
            raise GraphError(f"expected a topic of its own for each output of ros2_masks, got {', '.join(topics)}")

    def setup(self) -> None:
        """Open the topics.

        Raises:
            UsageError: what is needed is not installed; says the command that installs it.
            RunError: the middleware cannot be opened.
        """
        self._frames = self._gaps = self._dropped = 0
        self._last: Segmented | None = None
        self._objects: list[ObjectResult] = []
        self._latency_ms = 0.0
        self._states: dict[str, SourceState] = {}
        self._said_s = time.monotonic()
        self._middleware = open_for(self.config, self.config.node_name)
        self._masks = self._topic(self.config.masks, "sensor_msgs/msg/Image")
        self._detections = self._topic(self.config.detections, "vision_msgs/msg/Detection2DArray")
        self._overlay = self._topic(self.config.overlay, "sensor_msgs/msg/CompressedImage")
        self._diagnostics = None
        if self.config.diagnostics:
            kind = "diagnostic_msgs/msg/DiagnosticArray"
            self._diagnostics = self._middleware.advertise(self.config.diagnostics, kind, Qos())

    def describe(self) -> dict[str, Any]:
        """The topics, through what they go out, and how many messages had to be dropped."""
        config = self.config
        return {
            "middleware": None if self._middleware is None else self._middleware.name,
            "topics": [absolute(t, config.namespace) for t in (config.masks, config.detections, config.overlay) if t],
            "dropped": self._dropped,
        }

    def process(self, message: Segmented) -> None:
        """Publish one frame."""
        head = ros_results.header(message.stamp.captured_ns, message.stamp.frame_id)
        size = message.stamp.scaled_from
        if _is_heard(self._masks):
            ids = [each.id for each in message.objects]
            labels = message.labels
            if size is not None:
                labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            self._send(self._masks, ros_results.label_image(head, np.asarray(labels), ids, self.config.encoding))
        if _is_heard(self._detections):
            found = [
                ros_results.detection(head, o.id, o.label, o.state, o.score, _in_image(o.box_xyxy, message))
                for o in message.objects
            ]
            self._send(self._detections, {"header": head, "detections": found})
        if _is_heard(self._overlay):
            self._send(self._overlay, ros_results.jpeg_image(head, drawn_masks(message), self.config.quality))
        self._frames += 1
        self._objects = message.objects
        self._latency_ms = (time.time_ns() - message.stamp.came_ns) / 1e6
        self._say_how_it_goes()

    def gap(self, gap: Gap) -> None:
        """A frame is missing: nothing is published for it."""
        self._gaps += 1

    def status(self, status: SourceStatus) -> None:
        """A source is away or back; the diagnostics say so."""
        self._states[status.stream] = status.state

    def tick(self) -> None:
        """Say how it is going, also while nothing comes."""
        self._say_how_it_goes()

    def close(self) -> None:
        """Leave."""
        if self._middleware is not None:
            self._middleware.close()

    def _topic(self, name: str, kind: str) -> Publisher | None:
        if not name or self._middleware is None:
            return None
        qos = Qos(reliability=self.config.reliability, depth=self.config.depth)
        return self._middleware.advertise(absolute(name, self.config.namespace), kind, qos)

    def _send(self, publisher: Publisher | None, fields: ros_results.Fields) -> None:
        if publisher is not None and not publisher.publish(fields):
            self._dropped += 1

    def _say_how_it_goes(self) -> None:
        if self._diagnostics is None or time.monotonic() - self._said_s < _DIAGNOSTICS_EVERY_S:
            return
        self._said_s = time.monotonic()
        away = [stream for stream, state in self._states.items() if state != "back"]
        lost = [str(each.id) for each in self._objects if each.state == "LOST"]
        level: ros_results.Level = "stale" if away else "warn" if lost else "ok"
        text = f"{', '.join(away)} is away" if away else f"lost: {', '.join(lost)}" if lost else "following"
        values = {
            "frames": self._frames,
            "gaps": self._gaps,
            "dropped messages": self._dropped,
            "objects": len(self._objects),
            "lost objects": len(lost),
            "last latency in ms": round(self._latency_ms, 1),
        }
        name = f"{self.config.node_name}: masks"
        self._diagnostics.publish(ros_results.diagnostics(time.time_ns(), name, level, text, values))


def _is_heard(publisher: Publisher | None) -> bool:
    return publisher is not None and publisher.listeners > 0


def _in_image(box: Box | None, message: Segmented) -> Box | None:
    """A box in pixels of the image as it came, where that was scaled."""
    size = message.stamp.scaled_from
    if box is None or size is None:
        return box
    height, width = message.labels.shape
    x, y = size[0] / width, size[1] / height
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y
