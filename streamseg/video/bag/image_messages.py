"""The messages that have a picture: what is read out of them, whatever they are encoded in.

From ROS 2 ``sensor_msgs`` Image and CompressedImage; from Foxglove RawImage, CompressedImage and CompressedVideo, as
protobuf, as JSON, or as ROS 2 messages (``foxglove_msgs``).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import numpy as np

from streamseg import extras
from streamseg.errors import MediaError, StreamsegError, WireError
from streamseg.robotics.ros_image import compressed_to_rgb, image_to_rgb
from streamseg.video.bag.topics import DamagedMessageError, Topic

Kind = Literal["raw", "packed", "video"]

_KINDS: Mapping[str, Kind] = {
    "sensor_msgs/msg/Image": "raw",
    "sensor_msgs/msg/CompressedImage": "packed",
    "foxglove.RawImage": "raw",
    "foxglove.CompressedImage": "packed",
    "foxglove.CompressedVideo": "video",
}
_ENCODINGS = ("cdr", "protobuf", "json")


class PictureMessage(NamedTuple):
    """What a message says."""

    stamp_ns: int | None
    """When the picture was taken, nanoseconds since the epoch; None if it does not say."""
    format: str
    """The encoding of pixels, or the format of what they are compressed with."""
    data: bytes | memoryview | np.ndarray
    frame_id: str = ""
    """Name of the camera's coordinate frame."""
    height: int = 0
    """Of raw pixels, like those that follow."""
    width: int = 0
    step: int = 0
    is_bigendian: bool = False

    def to_rgb(self, kind: Kind, most_pixels: int) -> np.ndarray:
        """(H, W, 3) uint8, RGB, of a picture that stands by itself; maybe read-only.

        Raises:
            WireError: it cannot be decoded.
        """
        if kind == "packed":
            return compressed_to_rgb(self.format, self.data, most_pixels)
        if self.height * self.width > most_pixels:
            raise WireError(f"it has {self.width} x {self.height} pixels, at most {most_pixels} are taken")
        return image_to_rgb(self.format, self.height, self.width, self.step, self.is_bigendian, self.data, lend=True)


def kind_of(topic: Topic) -> Kind | None:
    """What kind of pictures a topic has; None if it has none that can be read."""
    return _KINDS.get(_plain(topic.type)) if topic.encoding in _ENCODINGS else None


def parser(topic: Topic) -> Callable[[bytes | memoryview], PictureMessage]:
    """What reads the messages of a topic that has pictures; it raises `DamagedMessageError`.

    Raises:
        MediaError: the bag's definition of its type is damaged.
        UsageError: a package that is needed is missing.
    """
    try:
        decode = {"cdr": _cdr, "protobuf": _protobuf, "json": _json}[topic.encoding](topic)
    except StreamsegError:
        raise
    # Readers of what strangers wrote fail in ways that they do not list.
    except Exception as error:
        raise MediaError(
            f"expected the bag to define {topic.type} for {topic.name}, but that cannot be read: "
            f"{type(error).__name__}: {error}"
        ) from error
    kind = kind_of(topic)

    def parse(data: bytes | memoryview) -> PictureMessage:
        try:
            message = decode(data)
            is_ros = topic.type.startswith("sensor_msgs")
            stamp_ns = _time_ns(message.header.stamp if is_ros else message.timestamp) or None
            frame_id = str(message.header.frame_id if is_ros else getattr(message, "frame_id", ""))
            if kind != "raw":
                return PictureMessage(stamp_ns, str(message.format), message.data, frame_id)
            height, width, step = int(message.height), int(message.width), int(message.step)
            is_big = bool(getattr(message, "is_bigendian", False))
            return PictureMessage(stamp_ns, str(message.encoding), message.data, frame_id, height, width, step, is_big)
        except DamagedMessageError:
            raise
        except Exception as error:
            raise DamagedMessageError(f"it is no {topic.type} ({type(error).__name__}: {error})") from error

    return parse


def _plain(name: str) -> str:
    """ROS 2 has Foxglove's types under other names, and some writers leave ``msg`` out."""
    name = re.sub(r"^foxglove_msgs/(?:msg/)?", "foxglove.", name)
    return re.sub(r"^sensor_msgs/(?:msg/)?", "sensor_msgs/msg/", name)


def _time_ns(time: Any) -> int:
    """Of a time as protobuf, ROS 2 or JSON have it."""
    seconds = getattr(time, "seconds", None)
    if seconds is not None:
        return int(seconds) * 10**9 + int(time.nanos)
    return int(time.sec) * 10**9 + int(time.nanosec if hasattr(time, "nanosec") else time.nsec)


def _cdr(topic: Topic) -> Callable[[bytes | memoryview], Any]:
    typesys = extras.load("rosbags.typesys", "bags", "to read ROS 2 messages")
    store = typesys.get_typestore(typesys.Stores.LATEST)
    parts = topic.type.split("/")
    name = f"{parts[0]}/msg/{parts[-1]}"
    if name not in store.types:
        found = typesys.get_types_from_msg(topic.definition.decode("utf-8", "replace"), name)
        store.register({each: fields for each, fields in found.items() if each not in store.types})
    return lambda data: store.deserialize_cdr(data, name)


def _protobuf(topic: Topic) -> Callable[[bytes | memoryview], Any]:
    decoder = extras.load("mcap_protobuf.decoder", "bags", "to read Foxglove messages")
    records = extras.load("mcap.records", "bags", "to read Foxglove messages")
    schema = records.Schema(id=1, name=topic.type, encoding="protobuf", data=topic.definition)
    found: Callable[[bytes], Any] = decoder.DecoderFactory().decoder_for("protobuf", schema)
    return lambda data: found(bytes(data))


def _json(topic: Topic) -> Callable[[bytes | memoryview], Any]:
    def decode(data: bytes | memoryview) -> SimpleNamespace:
        message: SimpleNamespace = json.loads(bytes(data), object_hook=lambda found: SimpleNamespace(**found))
        try:
            message.data = base64.b64decode(message.data, validate=True)
        except binascii.Error as error:
            raise DamagedMessageError(f"its data are no base64 ({error})") from error
        return message

    return decode
