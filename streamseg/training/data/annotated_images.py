"""Images and videos with the masks of their objects, small in memory: masks as run lengths, frames as JPEG."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError
from streamseg.evaluation.photo_files import read_rgb
from streamseg.masks import rle

_JPEG_QUALITY = 95


@dataclass(frozen=True)
class AnnotatedObject:
    """The mask of one object in one image."""

    counts: str
    """Its mask as compressed COCO run lengths."""
    area_px: int


@dataclass(frozen=True)
class AnnotatedImage:
    """A photo and the objects on it, at the size it is used at."""

    path: Path
    size: tuple[int, int]
    """(H, W)."""
    objects: tuple[AnnotatedObject, ...]

    def mask(self, number: int) -> np.ndarray:
        """(H, W) uint8, 0 or 1."""
        return decode_mask(self.objects[number].counts, self.size)


@dataclass(frozen=True)
class AnnotatedVideo:
    """The frames of a video and the masks of the objects in it."""

    name: str
    size: tuple[int, int]
    """(H, W)."""
    frames: tuple[bytes, ...]
    """JPEG files."""
    objects: tuple[tuple[AnnotatedObject, ...], ...]
    """For each object one a frame; its area is 0 where it is not to be seen."""

    def rgb(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        decoded = cv2.imdecode(np.frombuffer(self.frames[frame], np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(np.asarray(decoded), cv2.COLOR_BGR2RGB))

    def mask(self, number: int, frame: int) -> np.ndarray:
        """(H, W) uint8, 0 or 1."""
        return decode_mask(self.objects[number][frame].counts, self.size)


class ImageCache:
    """Decoded images, the last used ones up to a limit of bytes. Threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Path, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def rgb(self, image: AnnotatedImage) -> np.ndarray:
        """(H, W, 3) uint8 RGB at the image's size, not to be written to.

        Raises:
            MediaError: it cannot be read any more.
        """
        with self._lock:
            if image.path in self._kept:
                self._kept.move_to_end(image.path)
                return self._kept[image.path]
        picture = downscale(read_rgb(image.path), image.size)
        picture.flags.writeable = False
        with self._lock:
            if image.path not in self._kept:
                self._kept[image.path] = picture
                self._bytes += picture.nbytes
            while self._bytes > self._limit_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return picture


def encode_object(mask: np.ndarray) -> AnnotatedObject:
    """An (H, W) bool mask as an `AnnotatedObject`."""
    return AnnotatedObject(rle.compress(rle.encode(mask)), int(np.count_nonzero(mask)))


def decode_mask(counts: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, 0 or 1, of compressed run lengths."""
    return rle.decode_compressed(counts, *size).view(np.uint8)


def size_within(size: tuple[int, int], longer_side_px: int) -> tuple[int, int]:
    """(H, W) reduced so that the longer side has `longer_side_px`; as it is if it is no larger."""
    height, width = size
    scale = min(1.0, longer_side_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def downscale(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) or (H, W), uint8, at an equal or smaller size (height, width); areas are averaged."""
    if picture.shape[:2] == size:
        return np.array(picture)
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA))


def downscale_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An (H, W) bool mask at an equal or smaller size: a pixel is in if more than half of it is."""
    if mask.shape == size:
        return mask
    return downscale(mask.view(np.uint8) * np.uint8(255), size) > 127


def encode_jpeg(picture_rgb: np.ndarray) -> bytes:
    """An (H, W, 3) uint8 picture as a JPEG file.

    Raises:
        MediaError: OpenCV cannot write JPEG.
    """
    picture_bgr = cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise MediaError(f"a frame of {picture_rgb.shape} cannot be kept as JPEG; reduce longer_side_px")
    return data.tobytes()
