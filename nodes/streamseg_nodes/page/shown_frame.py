"""A frame as the page shows it: the picture as JPEG, the masks as outlines that the browser draws over it."""

from __future__ import annotations

import struct
import time
from typing import Any

import cv2
import msgspec
import numpy as np

from streamseg.errors import OutputError
from streamseg.messages import ObjectResult, Segmented, Stamp

_TOLERANCE_PX = 0.6
_FEWEST_PX = 6.0
"""Pieces of a mask with a smaller area are not drawn."""


class Sight(msgspec.Struct, frozen=True):
    """What of a message is kept until somebody has time to look at it; the arrays are copies."""

    stamp: Stamp
    image_rgb: np.ndarray
    labels: np.ndarray
    objects: list[ObjectResult]

    @staticmethod
    def of(message: Segmented) -> Sight:
        """Copy a message, which is only lent."""
        return Sight(message.stamp, message.frame.image_rgb.copy(), message.labels.copy(), list(message.objects))


def encode(sight: Sight, width_px: int, quality: int) -> bytes:
    """The length of a header (4 bytes, little endian), the header (JSON), the picture (JPEG).

    Args:
        sight: the frame.
        width_px: wider pictures are sent reduced to this; outlines are in pixels of the frame all the same.
        quality: of the JPEG, 1 to 100.

    Raises:
        OutputError: the picture cannot be encoded.
    """
    height, width = sight.labels.shape
    stamp = sight.stamp
    header = {
        "stream": stamp.stream,
        "seq": stamp.seq,
        "index": stamp.index,
        "pts_s": stamp.pts_s,
        "age_ms": round((time.time_ns() - stamp.came_ns) / 1e6, 1),
        "width": width,
        "height": height,
        "objects": [_plain(found, sight.labels, number) for number, found in enumerate(sight.objects, 1)],
    }
    data = msgspec.json.encode(header)
    return struct.pack("<I", len(data)) + data + _jpeg(sight.image_rgb, width_px, quality)


def outlines(labels: np.ndarray, value: int, box_xyxy: tuple[float, float, float, float]) -> list[list[int]]:
    """The outlines of one mask, holes included: flat lists x, y, x, y, … of the middles of its outermost pixels.

    Args:
        labels: (H, W) uint16.
        value: of the mask in it.
        box_xyxy: round the mask, pixels.
    """
    x0, y0, x1, y1 = (int(edge) for edge in box_xyxy)
    mask = (labels[y0:y1, x0:x1] == value).astype(np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))
    # What is a fine detail depends on how large the mask is.
    tolerance = max(_TOLERANCE_PX, max(x1 - x0, y1 - y0) / 400)
    lines = []
    for contour in found:
        if cv2.contourArea(contour) >= _FEWEST_PX or len(found) == 1:
            lines.append(cv2.approxPolyDP(contour, tolerance, True).reshape(-1).tolist())
    return lines


def _plain(found: ObjectResult, labels: np.ndarray, value: int) -> dict[str, Any]:
    return {
        "id": found.id,
        "label": found.label,
        "state": found.state,
        "reason": found.reason,
        "score": round(found.score, 3),
        "box": found.box_xyxy,
        "area": found.area_px,
        "outline": [] if found.box_xyxy is None else outlines(labels, value, found.box_xyxy),
    }


def _jpeg(image_rgb: np.ndarray, width_px: int, quality: int) -> bytes:
    height, width = image_rgb.shape[:2]
    if width > width_px:
        size = (width_px, max(1, round(height * width_px / width)))
        image_rgb = cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", image_rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OutputError(f"expected a picture of {width}x{height} pixels to become a JPEG, but that failed")
    return bytes(data)
