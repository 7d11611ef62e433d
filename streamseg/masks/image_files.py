"""Still images of a stranger: how large they say they are is looked at before they are decoded.

A picture of a few kilobytes can say that it has a thousand million pixels, and decoders take the memory first.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from streamseg.masks.image_sizes import claimed_size
from streamseg.regular_files import opened, read_regular

PIXELS_MAX = 1 << 27
"""More are not decoded unless somebody says so: 16384 x 8192."""
FILE_MAX_BYTES = 1 << 30
_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_CHUNK_MAX_BYTES = 1 << 24
"""Of a part of a PNG that was cut off; longer ones have to be there."""

PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    OverflowError,
    EOFError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is not as it should be."""


def read_image(path: Path | str, flags: int, most_pixels: int = PIXELS_MAX) -> np.ndarray:
    """The picture in a file, as `decode_image`.

    Raises:
        OSError: it is not there, not a regular file, too large, or cannot be read.
        ValueError: as `decode_image`.
    """
    return decode_image(read_regular(path, FILE_MAX_BYTES), flags, most_pixels)


def decode_image(data: bytes, flags: int, most_pixels: int = PIXELS_MAX) -> np.ndarray:
    """A picture as OpenCV decodes it: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA.

    Args:
        data: a PNG, JPEG, WebP, TIFF, BMP, GIF or PNM file.
        flags: ``cv2.IMREAD_…``.
        most_pixels: one that says it has more is refused.

    Raises:
        ValueError: it is no such picture, damaged, or too large; says what.
    """
    _check_size(claimed_size(io.BytesIO(data)), most_pixels)
    _check_chunks(data)
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise ValueError("it is not a picture that can be decoded, or damaged")
    return np.asarray(decoded)


def read_values(path: Path | str, modes: tuple[str, ...], otherwise: str) -> np.ndarray:
    """The values in a file as Pillow has them, so that the colors of a palette stay numbers.

    Args:
        path: of a picture as for `decode_image`.
        modes: of Pillow, to be taken as they are.
        otherwise: the mode that others are converted to.

    Raises:
        OSError: it is not there, not a regular file, too large, or cannot be read.
        ValueError: it is no such picture, damaged, or too large; says what.
    """
    data = read_regular(path, FILE_MAX_BYTES)
    _check_size(claimed_size(io.BytesIO(data)), min(PIXELS_MAX, Image.MAX_IMAGE_PIXELS or PIXELS_MAX))
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image if image.mode in modes else image.convert(otherwise))
    except PILLOW_ERRORS as error:
        raise ValueError(f"it is not a picture that can be decoded, or damaged: {error}") from error


def file_size(path: Path | str) -> tuple[int, int]:
    """(width, height) that the picture in a file says it has; its pixels are not read.

    Raises:
        OSError: it is not there, not a regular file, or cannot be read.
        ValueError: it is no picture, or has more than `PIXELS_MAX` pixels.
    """
    with opened(path) as fd, os.fdopen(fd, "rb", closefd=False) as file:
        return _check_size(claimed_size(file), PIXELS_MAX)


def _check_chunks(data: bytes) -> None:
    """Refuse a PNG with a part that says it is far longer than the file: OpenCV takes the memory for it first."""
    at = len(_PNG_MARK)
    while data.startswith(_PNG_MARK) and at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if length > len(data) and length > _CHUNK_MAX_BYTES:
            raise ValueError(f"it is damaged: a part of it says that it has {length} bytes, the file has {len(data)}")
        at += length + 12


def _check_size(size: tuple[int, int] | None, most_pixels: int) -> tuple[int, int]:
    if size is None:
        raise ValueError("it is not a picture that can be decoded (PNG, JPEG, WebP, TIFF, BMP, GIF or PNM)")
    if size[0] * size[1] > most_pixels:
        raise ValueError(f"it says that it has {size[0]} x {size[1]} pixels, at most {most_pixels} are decoded")
    return size
