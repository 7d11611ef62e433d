"""Turning pictures upright, as the display matrix of their container asks for."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import Any, cast

import av
import cv2
import numpy as np

_log = logging.getLogger("streamseg.video")


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay down a picture: first swap x and y, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        return (height, width) if self.transpose else (width, height)

    def write(self, image: np.ndarray, out: np.ndarray) -> None:
        """Write the (H, W, 3) uint8 `image` upright into `out`; reads and writes each pixel once."""
        match (self.transpose, self.mirror_x, self.mirror_y):
            case (False, False, False):
                np.copyto(out, image)
            case (False, True, True):
                cv2.rotate(image, cv2.ROTATE_180, dst=out)
            case (False, True, False):
                cv2.flip(image, 1, dst=out)
            case (False, False, True):
                cv2.flip(image, 0, dst=out)
            case (True, True, False):
                cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE, dst=out)
            case (True, False, True):
                cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE, dst=out)
            case (True, False, False):
                cv2.transpose(image, dst=out)
            case _:
                np.copyto(out, image.transpose(1, 0, 2)[::-1, ::-1])


UPRIGHT = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """The orientation in a frame's display matrix; upright if it has none.

    The matrix is the one of the MP4 track header (ISO/IEC 14496-12, 8.3.2), row vectors: a source pixel
    (x, y) is shown at (a x + c y, b x + d y). Angles that are no multiple of 90 degrees are ignored with a
    warning: they would leave empty corners.
    """
    matrix = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    if b == 0 and c == 0 and a and d:
        return Orientation(False, mirror_x=a < 0, mirror_y=d < 0)
    if a == 0 and d == 0 and b and c:
        return Orientation(True, mirror_x=c < 0, mirror_y=b < 0)
    _log.warning("the video asks to be shown turned by %d degrees; only multiples of 90 are applied", frame.rotation)
    return UPRIGHT
