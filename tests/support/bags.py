"""Real bags for tests, made on the spot by the libraries that others write them with."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage as FoxgloveCompressedImage
from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo as FoxgloveCompressedVideo
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage as FoxgloveRawImage
from google.protobuf.timestamp_pb2 import Timestamp
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from mcap_protobuf.writer import Writer as ProtobufWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosWriter
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
FIRST_NS = 1_700_000_000_123_456_789
STEP_NS = 33_333_333
RECORDED_LATER_NS = 5_000_000
"""Between the stamp of a picture and the time it is recorded at."""
TOPIC = "/camera/image"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def stamp_ns(number: int) -> int:
    """When a picture was taken; not even, as with real cameras."""
    return FIRST_NS + number * STEP_NS + number * number % 7 * 1000


def _header(taken_ns: int) -> Any:
    stamp = STORE.types["builtin_interfaces/msg/Time"](taken_ns // 10**9, taken_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp, "camera")


def raw_message(image_rgb: np.ndarray, taken_ns: int, encoding: str = "rgb8", **fields: Any) -> bytes:
    """A ``sensor_msgs/Image`` in CDR, fields of which may be made wrong."""
    height, width = image_rgb.shape[:2]
    plain = {"height": height, "width": width, "step": width * 3, "data": image_rgb.reshape(-1)} | fields
    message = STORE.types[IMAGE](
        _header(taken_ns), plain["height"], plain["width"], encoding, 0, plain["step"], plain["data"]
    )
    return bytes(STORE.serialize_cdr(message, IMAGE))


def jpeg(image_rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image_rgb[..., ::-1])[1].tobytes()


def compressed_message(image_rgb: np.ndarray, taken_ns: int) -> bytes:
    """A ``sensor_msgs/CompressedImage`` in CDR: a JPEG."""
    data = np.frombuffer(jpeg(image_rgb), np.uint8)
    message = STORE.types[COMPRESSED](_header(taken_ns), "jpeg", data)
    return bytes(STORE.serialize_cdr(message, COMPRESSED))


def ros_bag(
    path: Path,
    messages: Sequence[bytes],
    *,
    storage: Literal["sqlite3", "mcap"] = "sqlite3",
    mode: Literal["none", "file", "message"] = "none",
    kind: str = IMAGE,
    topics: Sequence[str] = (TOPIC,),
) -> Path:
    """A folder as ``ros2 bag record`` makes it, with the same messages on each topic, and a topic without pictures."""
    plugin = StoragePlugin.SQLITE3 if storage == "sqlite3" else StoragePlugin.MCAP
    writer = RosWriter(path, version=9, storage_plugin=plugin)
    if mode != "none":
        writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    with writer:
        pictures = [writer.add_connection(topic, kind, typestore=STORE) for topic in topics]
        text = writer.add_connection("/chatter", "std_msgs/msg/String", typestore=STORE)
        word = bytes(STORE.serialize_cdr(STORE.types["std_msgs/msg/String"]("hello"), "std_msgs/msg/String"))
        for number, message in enumerate(messages):
            recorded_ns = stamp_ns(number) + RECORDED_LATER_NS
            writer.write(text, recorded_ns - 1000, word)
            for connection in pictures:
                writer.write(connection, recorded_ns, message)
    return path


def ros_mcap(
    path: Path,
    messages: Sequence[bytes],
    *,
    compression: CompressionType = CompressionType.ZSTD,
    chunk_size: int = 50_000,
    finished: bool = True,
    kind: str = IMAGE,
    topics: Sequence[str] = (TOPIC,),
    **options: Any,
) -> Path:
    """An MCAP file with the same messages on each topic, of several chunks; or as one is left whose writer died."""
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=chunk_size, compression=compression, **options)
        writer.start("ros2", "test")
        definition = STORE.generate_msgdef(kind, ros_version=2)[0].encode()
        schema = writer.register_schema(kind, "ros2msg", definition)
        channels = [writer.register_channel(topic, "cdr", schema) for topic in topics]
        for number, message in enumerate(messages):
            recorded_ns = stamp_ns(number) + RECORDED_LATER_NS
            for channel in channels:
                writer.add_message(channel, recorded_ns, message, stamp_ns(number), number)
        if finished:
            writer.finish()
    return path


def _timestamp(number: int) -> Timestamp:
    return Timestamp(seconds=stamp_ns(number) // 10**9, nanos=stamp_ns(number) % 10**9)


def foxglove_message(kind: str, image_rgb: np.ndarray, number: int) -> Any:
    """A ``RawImage`` or ``CompressedImage``."""
    height, width = image_rgb.shape[:2]
    if kind == "RawImage":
        return FoxgloveRawImage(
            timestamp=_timestamp(number),
            frame_id="camera",
            width=width,
            height=height,
            encoding="rgb8",
            step=width * 3,
            data=image_rgb.tobytes(),
        )
    return FoxgloveCompressedImage(timestamp=_timestamp(number), frame_id="camera", format="jpeg", data=jpeg(image_rgb))


def video_messages(images: Sequence[np.ndarray], codec: str, every: int = 10) -> list[Any]:
    """``CompressedVideo``: a frame each, without B-frames, a key frame `every` so many."""
    context = av.CodecContext.create({"h264": "libx264", "h265": "libx265"}[codec], "w")
    assert isinstance(context, VideoCodecContext)
    context.height, context.width = images[0].shape[:2]
    context.pix_fmt = "yuv420p"
    context.framerate = 25
    options = {"h264": {"bf": "0", "g": str(every), "tune": "zerolatency"}}
    options["h265"] = {
        "x265-params": f"bframes=0:keyint={every}:repeat-headers=1:log-level=none",
        "tune": "zerolatency",
    }
    context.options = options[codec]
    packets = []
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += [bytes(packet) for packet in context.encode(frame)]
    packets += [bytes(packet) for packet in context.encode(None)]
    assert len(packets) == len(images)
    return [
        FoxgloveCompressedVideo(timestamp=_timestamp(number), frame_id="camera", format=codec, data=data)
        for number, data in enumerate(packets)
    ]


def foxglove_mcap(path: Path, messages: Sequence[Any], topic: str = TOPIC) -> Path:
    """An MCAP file of protobuf messages."""
    with path.open("wb") as file:
        writer = ProtobufWriter(file, chunk_size=50_000)
        for number, message in enumerate(messages):
            writer.write_message(topic, message, stamp_ns(number) + RECORDED_LATER_NS, stamp_ns(number), number)
        writer.finish()
    return path


def json_mcap(path: Path, images: Sequence[np.ndarray]) -> Path:
    """An MCAP file of ``foxglove.CompressedImage`` as JSON."""
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start("", "test")
        schema = writer.register_schema("foxglove.CompressedImage", "jsonschema", b'{"type": "object"}')
        channel = writer.register_channel(TOPIC, "json", schema)
        for number, image in enumerate(images):
            time = {"sec": stamp_ns(number) // 10**9, "nsec": stamp_ns(number) % 10**9}
            data = base64.b64encode(jpeg(image)).decode()
            message = {"timestamp": time, "frame_id": "camera", "format": "jpeg", "data": data}
            writer.add_message(channel, stamp_ns(number) + RECORDED_LATER_NS, json.dumps(message).encode(), 0, number)
        writer.finish()
    return path
