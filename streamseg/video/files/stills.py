"""Still pictures as frames: how many a file has, what of their pixels is used, and the sentences about what is not."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from streamseg.masks.image_files import PILLOW_ERRORS, decode_image

FORMATS = ("PNG", "WEBP", "TIFF")
"""Others are not tried: for some of them Pillow starts programs."""
_ANIMATED_SUFFIXES = frozenset({".png", ".webp", ".tif", ".tiff"})
_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
_LIST_OF_JPEGS = b"MPF\0"
_HEADER_BYTES = 1 << 16
_PNG_HEADER_BYTES = 26


def pictures_in(path: Path, data: bytes | None = None) -> int:
    """How many pictures an image file has that follow each other; 1 for one that cannot be read.

    Args:
        path: of the file.
        data: what is in it, if that has been read already.
    """
    if path.suffix.lower() not in _ANIMATED_SUFFIXES:
        return 1
    return _count(path if data is None else io.BytesIO(data), FORMATS)


def pictures_beside(path: Path, data: bytes) -> int:
    """How many pictures an image file has in all, also those that are no film, such as the second of a stereo pair."""
    if path.suffix.lower() not in _JPEG_SUFFIXES:
        return pictures_in(path, data)
    return _count(io.BytesIO(data), ("JPEG",)) if _LIST_OF_JPEGS in data[:_HEADER_BYTES] else 1


def _count(file: Path | io.BytesIO, formats: tuple[str, ...]) -> int:
    try:
        with Image.open(file, formats=formats) as image:
            return int(getattr(image, "n_frames", 1))
    except PILLOW_ERRORS:
        return 1


def decode_still(data: bytes, most_pixels: int) -> np.ndarray:
    """A picture as (H, W, 3) BGR, uint8 or uint16.

    Raises:
        ValueError: it is none, damaged, too large, or its pixels are other numbers; says what.
    """
    try:
        image = decode_image(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, most_pixels)
    except ValueError as error:
        # OpenCV makes no colors of gray values of 32 bits: then it is their kind that is wrong.
        try:
            image = decode_image(data, cv2.IMREAD_UNCHANGED, most_pixels)
        except ValueError:
            raise error from None
        check_depth(image)
        raise
    check_depth(image)
    return image


def check_depth(image: np.ndarray) -> None:
    """Refuse pixels that do not say which number is black and which white.

    Raises:
        ValueError: says what they are.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"its pixels are {image.dtype}, which do not say what is white; convert it to 8 or 16 bits")


def may_be_deep_or_transparent(path: Path, data: bytes) -> bool:
    """Whether an image has to be decoded to know; PNG says in its header that most have neither."""
    if path.suffix.lower() == ".png" and len(data) >= _PNG_HEADER_BYTES:
        depth, color_type = data[24], data[25]
        return depth == 16 or color_type in (4, 6) or b"tRNS" in data[: data.find(b"IDAT")]
    return path.suffix.lower() in (".webp", ".tif", ".tiff")


def is_transparent(image: np.ndarray) -> bool:
    """Whether a picture as OpenCV decodes it has pixels that are not opaque."""
    if image.dtype.kind != "u" or image.ndim != 3 or image.shape[2] != 4:
        return False
    return bool(image[..., 3].min() < np.iinfo(image.dtype).max)


def note_on_transparency(shown: str) -> str:
    """What is said of pictures, named by a noun in the singular, whose transparency is not used."""
    return f"{shown} is transparent in places: that is dropped, and the colors below it are taken"


def note_on_depth(shown: str, bits: int) -> str | None:
    """What is said of pictures of 16 bits, named by a noun in the plural, that use fewer; None if they use all."""
    if bits >= 16:
        return None
    return f"the 16-bit {shown} use {bits} bits: 0 to {(1 << bits) - 1} is taken for black to white"
