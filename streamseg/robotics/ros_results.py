"""What is known of a frame as ROS messages: plain data with the fields of ``sensor_msgs``, ``vision_msgs`` and others.

What a message has beyond these fields is 0 or empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np

from streamseg.errors import OutputError
from streamseg.types import Box, ObjectState

Fields = dict[str, Any]
LabelEncoding = Literal["auto", "16UC1"]

_MOST_8_BIT = 255
_TABLE = 256
Level = Literal["ok", "warn", "error", "stale"]
_LEVELS: tuple[Level, ...] = ("ok", "warn", "error", "stale")


def header(stamp_ns: int, frame_id: str) -> Fields:
    """A ``std_msgs/Header``.

    Args:
        stamp_ns: nanoseconds of the clock that the robot goes by.
        frame_id: name of the coordinate frame.
    """
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": frame_id}


def stamp_ns(header: Any) -> int:
    """The stamp of a header that came, in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def label_image(head: Fields, labels: np.ndarray, ids: Sequence[int], encoding: LabelEncoding = "auto") -> Fields:
    """A ``sensor_msgs/Image`` whose pixels are the ids of the objects, 0 where there is none.

    Args:
        head: as `header` makes it.
        labels: (H, W) uint16, k being the mask of ``ids[k - 1]``.
        ids: of the objects, from 1 to 65535.
        encoding: ``auto`` is mono8, and 16UC1 in a frame that has an id above 255.
    """
    height, width = labels.shape
    table = np.array([0, *ids], np.uint16)
    deep = encoding == "16UC1" or int(table.max()) > _MOST_8_BIT
    if deep or len(table) > _TABLE:
        pixels = table[labels].astype("<u2" if deep else np.uint8)
    else:
        # Ten times as fast as looking numbers of 16 bits up.
        padded = np.zeros(_TABLE, np.uint8)
        padded[: len(table)] = table
        pixels = cv2.LUT(labels.astype(np.uint8), padded)
    return {
        "header": head,
        "height": height,
        "width": width,
        "encoding": "16UC1" if deep else "mono8",
        "is_bigendian": 0,
        "step": width * (2 if deep else 1),
        "data": np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
    }


def detection(
    head: Fields, object_id: int, label: str, state: ObjectState, score: float, box_xyxy: Box | None
) -> Fields:
    """A ``vision_msgs/Detection2D``: ``id`` is the object's; the first result says what it is, the second its state.

    Args:
        head: of the frame.
        object_id: stable for life.
        label: what the object is called; its id stands for it if empty.
        state: also where it is LOST, and then the box has no size.
        score: the model's own estimate of the mask's IoU, 0 to 1.
        box_xyxy: pixels, right and bottom edges exclusive; None if nothing is seen.
    """
    x0, y0, x1, y1 = box_xyxy or (0.0, 0.0, 0.0, 0.0)
    return {
        "header": head,
        "id": str(object_id),
        "results": [
            {"hypothesis": {"class_id": name, "score": float(score)}} for name in (label or str(object_id), state)
        ],
        "bbox": {
            "center": {"position": {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2}},
            "size_x": float(x1 - x0),
            "size_y": float(y1 - y0),
        },
    }


def jpeg_image(head: Fields, image_rgb: np.ndarray, quality: int = 80) -> Fields:
    """A ``sensor_msgs/CompressedImage``.

    Args:
        head: of the frame.
        image_rgb: (H, W, 3) uint8.
        quality: of the JPEG, 1 to 100.

    Raises:
        OutputError: it cannot be encoded.
    """
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OutputError(f"expected a picture that JPEG can hold, got one of {image_rgb.shape}; reduce it")
    return {"header": head, "format": "rgb8; jpeg compressed bgr8", "data": data.reshape(-1)}


def diagnostics(now_ns: int, name: str, level: Level, message: str, values: Mapping[str, object]) -> Fields:
    """A ``diagnostic_msgs/DiagnosticArray`` with one status.

    Args:
        now_ns: nanoseconds since the epoch.
        name: what it is about, say ``streamseg: masks``.
        level: how bad it is.
        message: the same in words.
        values: figures, by name.
    """
    status = {
        "level": _LEVELS.index(level),
        "name": name,
        "message": message,
        "hardware_id": "streamseg",
        "values": [{"key": key, "value": str(value)} for key, value in values.items()],
    }
    return {"header": header(now_ns, ""), "status": [status]}
