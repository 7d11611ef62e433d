"""Label images as PNG files, in the colors of PASCAL VOC, which DAVIS uses too."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import OutputError, UsageError
from streamseg.regular_files import open_own

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3
_UP = 2
"""PNG's filter that takes the difference to the row above."""
_BAND_ROWS = 32


@cache
def voc_palette() -> np.ndarray:
    """(256, 3) uint8 RGB, read-only; row 0, the background, is black, row 1 is (128, 0, 0).

    The formula of ``VOClabelcolormap`` in the PASCAL VOC development kit: bits 0, 1, 2 of the id become the
    highest free bits of red, green and blue, bits 3, 4, 5 the next lower ones, and so on.
    """
    ids = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (ids >> (3 * level + channel)) & 1
            colors[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    colors.flags.writeable = False
    return colors


@cache
def _palette_bytes() -> bytes:
    return voc_palette().tobytes()


def write_labels_png(
    path: str | Path, labels: np.ndarray, ids: Sequence[int] | None = None, *, root: Path | None = None
) -> None:
    """Write object ids as a PNG whose pixel values are the ids, in the way of DAVIS.

    If all ids of the picture fit into 8 bits, it is a palette image in the colors of PASCAL VOC, otherwise a
    16-bit gray one: an id is never cut. The file appears under its name only once it is complete.

    Args:
        path: ends in ``.png``.
        labels: (H, W) uint8 or uint16; 0 is background.
        ids: the object id of each label, ``ids[k - 1]`` for label k; None if labels are ids already.
        root: a folder from which on no part of the path may be a link; None looks at the last part only.

    Raises:
        OutputError: the file cannot be written.
        UsageError: the labels have another shape or type, or an id is not between 1 and 65535.
    """
    if labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"expected (H, W) labels of uint8 or uint16, got {labels.shape} {labels.dtype}; convert them")
    values = labels if ids is None else _with_ids(labels, ids)
    if values.dtype == np.uint16 and values.max(initial=0) <= 255:
        values = values.astype(np.uint8)
    data = encode_labels(values)
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, root=root), "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"expected to write {path}, got: {error.strerror or error}; free space or choose another folder"
        ) from error


def encode_labels(values: np.ndarray) -> bytes:
    """A PNG of values that are the same over large areas, such as ids, which are packed as runs.

    Args:
        values: (H, W) uint8, which makes a palette image in the colors of PASCAL VOC, or uint16, a gray one.

    Raises:
        UsageError: it has no pixels.
    """
    height, width = values.shape
    if not values.size:
        raise UsageError(f"expected a picture with pixels, got {height} x {width}")
    bits, kind = (16, _GRAY) if values.dtype == np.uint16 else (8, _PALETTE)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))]
    if kind == _PALETTE:
        parts.append((b"PLTE", _palette_bytes()))
    return _PNG_MARK + b"".join(_chunk(*part) for part in [*parts, (b"IDAT", _packed(values)), (b"IEND", b"")])


def _packed(values: np.ndarray) -> bytes:
    """The rows of a picture as PNG has them, in bands: fresh memory for all of them would take longer than the rest."""
    height, width = values.shape
    is_wide = values.dtype == np.uint16
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    packed = bytearray()
    rows = np.zeros((_BAND_ROWS, 1 + width * values.itemsize), np.uint8)
    # Two bytes are no run of one: of these each row is the difference to the one above, nearly all of it 0.
    rows[:, 0] = _UP if is_wide else 0
    above = np.zeros((1, width * values.itemsize), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        band = values[top : top + _BAND_ROWS]
        if is_wide:
            pixels = np.ascontiguousarray(band, ">u2").view(np.uint8)
            np.subtract(pixels[:1], above, out=rows[:1, 1:])
            np.subtract(pixels[1:], pixels[:-1], out=rows[1 : len(band), 1:])
            above = pixels[-1:]
        else:
            rows[: len(band), 1:] = band
        packed += packer.compress(rows[: len(band)].data)
    return bytes(packed + packer.flush())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_ids(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    if any(not 1 <= object_id <= 65535 for object_id in ids):
        raise UsageError(f"expected object ids between 1 and 65535, got {list(ids)}; a 16-bit image holds no others")
    top = int(labels.max(initial=0))
    if top > len(ids):
        raise UsageError(f"expected an id for each label up to {top}, got {len(ids)}; give one id per object")
    kind = np.uint8 if max(ids, default=0) <= 255 else np.uint16
    if kind is np.uint16 or top > 255:
        return np.take(np.array([0, *ids], kind), labels)
    # In a fraction of the time.
    table = np.zeros(256, np.uint8)
    table[1 : len(ids) + 1] = ids[:255]
    return cv2.LUT(labels.astype(np.uint8), table)
