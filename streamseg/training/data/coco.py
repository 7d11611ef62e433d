"""Masks from a COCO annotation file: polygons, and run lengths, compressed or not. Crowds are left out.

Format: https://cocodataset.org/#format-data. Polygon corners are in pixels with pixel centers at +0.5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import msgspec
import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.masks import rle
from streamseg.regular_files import read_regular
from streamseg.training.data.annotated_images import downscale_mask

_FINER = 4
"""Polygons are rasterized so many times as large: OpenCV counts every pixel that an edge touches as inside."""
_FILE_MAX_BYTES = 4 << 30
_SIDE_MAX_PX = 1 << 16
"""No photo has a longer side."""

_Side = Annotated[int, msgspec.Meta(ge=1, le=_SIDE_MAX_PX)]


class RunLengths(msgspec.Struct, frozen=True):
    """A mask as run lengths."""

    size: tuple[_Side, _Side]
    """(H, W)."""
    counts: str | list[int]


Segmentation = list[list[float]] | RunLengths
"""Polygons x0, y0, x1, y1, …, or run lengths."""


class _Image(msgspec.Struct, frozen=True):
    id: int | str
    file_name: str
    height: _Side
    width: _Side


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int | str
    segmentation: Segmentation = []
    iscrowd: int = 0


class _File(msgspec.Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Annotation]


@dataclass(frozen=True)
class CocoImage:
    """A photo and the masks on it as the file has them."""

    path: Path
    size: tuple[int, int]
    """(H, W) of the photo."""
    segmentations: tuple[Segmentation, ...]


def read(path: Path, images: Path | None = None) -> list[CocoImage]:
    """Every photo with at least one mask, by path.

    Args:
        path: the JSON file.
        images: the folder its file names are relative to; the file's own folder if None.

    Raises:
        MediaError: it cannot be read, is not in COCO's format, or names a photo that is not there.
    """
    try:
        file = msgspec.json.decode(read_regular(path, _FILE_MAX_BYTES), type=_File)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MediaError(f"{path}: expected COCO's 'images' and 'annotations': {error}") from error
    by_image: dict[int | str, list[Segmentation]] = defaultdict(list)
    for annotation in file.annotations:
        if not annotation.iscrowd and annotation.segmentation:
            by_image[annotation.image_id].append(annotation.segmentation)
    folder = images or path.parent
    found = [
        CocoImage(folder / image.file_name, (image.height, image.width), tuple(by_image[image.id]))
        for image in file.images
        if image.id in by_image
    ]
    for photo in found:
        if not photo.path.is_file():
            raise MediaError(f"{path} names {photo.path.name}, but {photo.path} is not there; give 'images: FOLDER'")
    return sorted(found, key=lambda photo: photo.path)


def rasterize(segmentation: Segmentation, image_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool mask of `size`, which is equal to or smaller than the photo's.

    Args:
        segmentation: of an annotation.
        image_size: (H, W) of the photo.
        size: (h, w) of the result.

    Raises:
        MediaError: the run lengths belong to another photo, or a polygon is none.
    """
    if isinstance(segmentation, RunLengths):
        return downscale_mask(_decode(segmentation, image_size), size)
    fine = np.zeros((size[0] * _FINER, size[1] * _FINER), np.uint8)
    scale = np.array([fine.shape[1] / image_size[1], fine.shape[0] / image_size[0]])
    for polygon in segmentation:
        cv2.fillPoly(fine, [_corners(polygon, scale)], (1,))
    return downscale_mask(fine.view(bool), size)


def _decode(lengths: RunLengths, image_size: tuple[int, int]) -> np.ndarray:
    if lengths.size != image_size:
        raise MediaError(f"expected run lengths of a photo of {image_size}, got size {lengths.size}")
    try:
        if isinstance(lengths.counts, str):
            return rle.decode_compressed(lengths.counts, *lengths.size)
        return rle.decode(lengths.counts, *lengths.size)
    except UsageError as error:
        raise MediaError(str(error)) from error


def _corners(polygon: Sequence[float], scale: np.ndarray) -> np.ndarray:
    if len(polygon) < 6 or len(polygon) % 2:
        raise MediaError(f"expected a polygon of three corners x, y or more, got {len(polygon)} numbers")
    corners = np.array(polygon, np.float64).reshape(-1, 2) * scale - 0.5
    # OpenCV walks along an edge however far away it begins, and a number that is none becomes any pixel.
    if not np.all(np.abs(corners) <= 2 * _FINER * _SIDE_MAX_PX):
        raise MediaError(f"expected the corners of a polygon within {_SIDE_MAX_PX} pixels, got others")
    return np.asarray(np.rint(corners), np.int32)
