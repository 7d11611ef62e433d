"""How large a picture says it is, from its first bytes; nothing is decoded and nothing is believed.

Libraries that read headers warn about damaged metadata, set up decoders, or have limits for the whole process.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

Size = tuple[int, int]
"""(width, height) in pixels, as it is stored: not turned as EXIF may say."""

_MOST_SEGMENTS = 10_000
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})
"""JPEG markers among those of frames that are none: tables, and one that nobody uses."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


def claimed_size(file: BinaryIO) -> Size | None:
    """The size that a PNG, JPEG, WebP, TIFF, BMP, GIF or PNM says it has; None if the file is none of these."""
    head = file.read(16)
    read = next((read for mark, read in _KINDS.items() if head.startswith(mark)), None)
    if read is None:
        return None
    try:
        file.seek(0)
        width, height = read(file)
    except (struct.error, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _png(file: BinaryIO) -> Size:
    width, height = struct.unpack_from(">II", file.read(24), 16)
    return width, height


def _gif(file: BinaryIO) -> Size:
    width, height = struct.unpack_from("<HH", file.read(10), 6)
    return width, height


def _bmp(file: BinaryIO) -> Size:
    head = file.read(26)
    if struct.unpack_from("<I", head, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", head, 18)
    else:
        width, height = struct.unpack_from("<ii", head, 18)
    return width, abs(height)


# White space must follow a number: OpenCV takes `1# 9` for 1 and 9, others for 1 and a comment.
_PNM_SIZE = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*(\d{1,10})\s(?:\s|#[^\r\n]*[\r\n])*(\d{1,10})\s")


def _pnm(file: BinaryIO) -> Size:
    """Numbers after the mark, between which there may be comments up to the end of a line."""
    found = _PNM_SIZE.match(file.read(1 << 16)[2:])
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _webp(file: BinaryIO) -> Size:
    """By https://developers.google.com/speed/webp/docs/riff_container."""
    head = file.read(30)
    kind, body = head[8:16], head[20:30]
    if len(body) < 10:
        return 0, 0
    if kind == b"WEBPVP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"WEBPVP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", body, 6)
    return (width & 0x3FFF, height & 0x3FFF) if kind == b"WEBPVP8 " else (0, 0)


def _jpeg(file: BinaryIO) -> Size:
    """By ITU-T T.81, B.1: segments, each with a marker and its length, up to the one that begins a frame."""
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        marker = _next_marker(file)
        if marker in _ALONE:
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack_from(">HH", file.read(7), 3)
            return width, height
        (length,) = struct.unpack(">H", file.read(2))
        file.seek(max(0, length - 2), 1)
    return 0, 0


def _next_marker(file: BinaryIO) -> int:
    """What follows the next 0xFF that something other than 0xFF or 0 follows; other bytes are passed over."""
    before = b""
    while byte := file.read(1):
        if before == b"\xff" and byte not in (b"\xff", b"\0"):
            return byte[0]
        before = byte
    raise ValueError("no further marker")


def _tiff(file: BinaryIO) -> Size:
    """Tags 256 and 257 of the first directory: TIFF 6.0, section 2, and BigTIFF."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)
    file.seek(min(at, 1 << 62))
    count_bytes, entry_bytes, value_at = (8, 20, 12) if big else (2, 12, 8)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(count_bytes))
    found = {256: 0, 257: 0}
    for _ in range(min(count, _MOST_SEGMENTS)):
        entry = file.read(entry_bytes)
        tag, kind = struct.unpack_from(f"{order}HH", entry)
        if tag in found and kind in _TIFF_NUMBERS:
            (value,) = struct.unpack_from(f"{order}{_TIFF_NUMBERS[kind]}", entry, value_at)
            found[tag] = max(found[tag], value)
    return found[256], found[257]


_KINDS: dict[bytes, Callable[[BinaryIO], Size]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
    b"BM": _bmp,
    b"GIF8": _gif,
    **{b"P%d" % number: _pnm for number in range(1, 7)},
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
}
