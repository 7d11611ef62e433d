"""Results in Foxglove's own messages: pictures and boxes as protobuf, the rest as JSON with schemas."""

from __future__ import annotations

from typing import Any

import msgspec

from streamseg import extras
from streamseg.masks.overlay import color_of
from streamseg.messages import Stamp
from streamseg.types import Box
from streamseg_nodes.record.mcap import messages
from streamseg_nodes.record.mcap.growing import Channel
from streamseg_nodes.record.mcap.messages import Prompts, Result, States, states

_PURPOSE = "to write Foxglove's messages"
_LINE_LOOP = 2
_FONT_PX = 16.0


class Detected(msgspec.Struct, frozen=True):
    """One object with a mask, in the JSON of the detections."""

    id: int
    label: str
    score: float
    box_xyxy: Box
    area_px: int


class Detections(msgspec.Struct, frozen=True):
    """The objects of a frame that have a mask."""

    frame: int
    pts_s: float | None
    detections: list[Detected]


class FoxgloveEncoder:
    """Foxglove's messages.

    Raises:
        UsageError: a package that is needed is missing.
    """

    profile = ""

    def __init__(self) -> None:
        self._image = _kind("RawImage")
        self._compressed = _kind("CompressedImage")
        self._annotations = _kind("ImageAnnotations")
        self._points = _kind("PointsAnnotation")
        self._text = _kind("TextAnnotation")
        self._point = _kind("Point2")
        self._color = _kind("Color")
        self._time = extras.load("google.protobuf.timestamp_pb2", "bags", _PURPOSE).Timestamp
        self.channels = (
            _protobuf(messages.MASKS, self._image),
            _protobuf(messages.OVERLAY, self._compressed),
            _protobuf(messages.BOXES, self._annotations),
            _json(messages.DETECTIONS, Detections),
            _json(messages.STATES, States),
            _json(messages.PROMPTS, Prompts),
        )

    def frame(self, result: Result) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame."""
        stamp, time = result.stamp, self._stamp(result.stamp_ns)
        found = [
            Detected(each.id, each.label, each.score, each.box_xyxy, each.area_px)
            for each in result.objects
            if each.box_xyxy is not None
        ]
        made = [
            (messages.MASKS, self._masks(result, time)),
            (messages.BOXES, self._boxes(result, time)),
            (messages.DETECTIONS, msgspec.json.encode(Detections(stamp.index, stamp.pts_s, found))),
            (messages.STATES, msgspec.json.encode(states(result))),
        ]
        if result.overlay is not None:
            jpeg = result.overlay["data"].tobytes()
            picture = self._compressed(timestamp=time, frame_id=_frame_id(stamp), format="jpeg", data=jpeg)
            made.append((messages.OVERLAY, picture.SerializeToString()))
        if result.prompts:
            made.append((messages.PROMPTS, msgspec.json.encode(Prompts(stamp.index, list(result.prompts)))))
        return made

    def gap(self, stamp_ns: int, stamp: Stamp, reason: str) -> list[tuple[str, bytes]]:
        """(topic, message) for a frame that no masks are known of."""
        return [(messages.STATES, msgspec.json.encode(States(stamp.index, [], reason)))]

    def _masks(self, result: Result, time: Any) -> bytes:
        masks = result.masks
        message = self._image(
            timestamp=time,
            frame_id=_frame_id(result.stamp),
            width=masks["width"],
            height=masks["height"],
            encoding=masks["encoding"],
            step=masks["step"],
            data=masks["data"].tobytes(),
        )
        return bytes(message.SerializeToString())

    def _boxes(self, result: Result, time: Any) -> bytes:
        points, texts = [], []
        for each in result.objects:
            if each.box_xyxy is None:
                continue
            x0, y0, x1, y1 = each.box_xyxy
            red, green, blue = (value / 255 for value in color_of(each.id))
            color = self._color(r=red, g=green, b=blue, a=1.0)
            corners = [self._point(x=x, y=y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
            points.append(
                self._points(timestamp=time, type=_LINE_LOOP, points=corners, outline_color=color, thickness=2.0)
            )
            name = f"{each.id} {each.label}".rstrip()
            text = f"{name} {each.state.lower()} {each.score:.2f}"
            texts.append(
                self._text(
                    timestamp=time,
                    position=self._point(x=x0, y=y0),
                    text=text,
                    font_size=_FONT_PX,
                    text_color=self._color(r=1.0, g=1.0, b=1.0, a=1.0),
                    background_color=color,
                )
            )
        return bytes(self._annotations(points=points, texts=texts).SerializeToString())

    def _stamp(self, stamp_ns: int) -> Any:
        return self._time(seconds=stamp_ns // 10**9, nanos=stamp_ns % 10**9)


def _frame_id(stamp: Stamp) -> str:
    return stamp.frame_id or stamp.stream


def _kind(name: str) -> Any:
    return getattr(extras.load(f"foxglove_schemas_protobuf.{name}_pb2", "bags", _PURPOSE), name)


def _protobuf(topic: str, kind: Any) -> Channel:
    build = extras.load("mcap_protobuf.schema", "bags", _PURPOSE).build_file_descriptor_set
    return Channel(topic, "protobuf", kind.DESCRIPTOR.full_name, "protobuf", build(kind).SerializeToString())


def _json(topic: str, kind: type[msgspec.Struct]) -> Channel:
    schema = msgspec.json.schema(kind)
    return Channel(topic, "json", f"streamseg.{kind.__name__}", "jsonschema", msgspec.json.encode(schema))
