"""Pictures are decoded only up to the size that is allowed, and that is known before there is memory for them."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.masks.image_files import decode_image, file_size, read_values
from streamseg.masks.image_sizes import claimed_size

HEIGHT, WIDTH = 12, 20
KINDS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "PPM", "WEBP")


def picture(kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).save(written, kind, **options)
    return written.getvalue()


def claims(kind: str, side: int) -> bytes:
    """A small file that says it is `side` pixels wide and high."""
    data = bytearray(picture(kind))
    if kind == "PNG":
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "JPEG":
        at = data.find(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    elif kind == "PPM":
        data[:] = data.replace(b"20 12", b"%d %d" % (side, side))
    elif kind == "TIFF":
        for tag, value in ((256, WIDTH), (257, HEIGHT)):
            at = data.find(struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", value))
            data[at + 8 : at + 12] = struct.pack("<I", side)
    elif kind == "WEBP":
        at = data.find(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = struct.pack("<HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_that_of_the_decoded_picture(kind: str) -> None:
    data = picture(kind)
    assert claimed_size(io.BytesIO(data)) == (WIDTH, HEIGHT)
    assert decode_image(data, cv2.IMREAD_COLOR).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}])
def test_all_kinds_of_webp_say_their_size(options: dict[str, object]) -> None:
    assert claimed_size(io.BytesIO(picture("WEBP", **options))) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_says_it_is_enormous_is_not_decoded(tmp_path: Path, kind: str) -> None:
    data = claims(kind, 16383)
    for read in (lambda: decode_image(data, cv2.IMREAD_UNCHANGED), lambda: file_size(tmp_path / "a")):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(ValueError, match="16383 x 16383 pixels, at most"):
            read()
    with pytest.raises(ValueError, match="16383 x 16383"):
        read_values(tmp_path / "a", ("RGB",), "RGB")


def test_who_allows_more_gets_more() -> None:
    data = picture("PNG")
    with pytest.raises(ValueError, match="at most 239 are"):
        decode_image(data, cv2.IMREAD_COLOR, HEIGHT * WIDTH - 1)
    assert decode_image(data, cv2.IMREAD_COLOR, HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"P6", b"hello", b"RIFF0000WEBPVP8 "])
def test_what_is_no_picture_is_a_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a picture"):
        decode_image(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_picture_is_a_sentence_or_what_there_is_of_it(kind: str) -> None:
    data = picture(kind)
    for end in range(1, len(data), 7):
        try:
            assert decode_image(data[:end], cv2.IMREAD_COLOR).shape == (HEIGHT, WIDTH, 3)
        except ValueError as error:
            assert "picture" in str(error)


def test_no_memory_is_taken_for_what_is_refused() -> None:
    code = (
        "import sys, cv2; from streamseg.masks.image_files import decode_image\n"
        "try: decode_image(sys.stdin.buffer.read(), cv2.IMREAD_COLOR)\n"
        "except ValueError: print('refused')\n"
    )

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    command = [sys.executable, "-c", code]
    data = claims("JPEG", 32000)
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=True, preexec_fn=small)
    assert done.stdout == b"refused\n"


def test_a_pnm_whose_numbers_can_be_read_in_two_ways_is_refused() -> None:
    pixels = bytes(9 * 255 * 3)
    for header in (b"P6\n1# 9\n255 \n", b"P6 9#\n1\n255\n", b"P6 1# 90000\n90000 255\n"):
        with pytest.raises(ValueError, match="not a picture that can be decoded"):
            decode_image(header + pixels, cv2.IMREAD_COLOR)
    assert decode_image(b"P6\n# two\r9 # by\n1 255\n" + pixels, cv2.IMREAD_COLOR).shape == (1, 9, 3)
