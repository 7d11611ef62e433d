"""Images of ROS made RGB: every encoding, any step, and what cannot be meant."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from streamseg.errors import WireError
from streamseg.robotics.ros_image import ENCODINGS, compressed_to_rgb, image_to_rgb

HEIGHT, WIDTH = 6, 8
PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GRAY = PICTURE[..., 0]
MOSAICS = {"rggb": ("rg", "gb"), "bggr": ("bg", "gr"), "gbrg": ("gb", "rg"), "grbg": ("gr", "bg")}


def padded(rows: np.ndarray, padding: int = 5) -> tuple[int, bytes]:
    """The step, and the data with some rubbish after each row."""
    flat = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    data = np.concatenate([flat, np.full((len(rows), padding), 77, np.uint8)], 1)
    return data.shape[1], data.tobytes()


@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        ("rgb8", PICTURE),
        ("bgr8", PICTURE[..., ::-1]),
        ("8UC3", PICTURE[..., ::-1]),
        ("rgba8", np.dstack([PICTURE, GRAY])),
        ("bgra8", np.dstack([PICTURE[..., ::-1], GRAY])),
        ("8UC4", np.dstack([PICTURE[..., ::-1], GRAY])),
    ],
)
def test_colors_of_eight_bits(encoding: str, stored: np.ndarray) -> None:
    step, data = padded(stored)
    assert np.array_equal(image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data), PICTURE)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_gray_of_eight_bits(encoding: str) -> None:
    step, data = padded(GRAY)
    assert np.array_equal(image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data), np.dstack([GRAY] * 3))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "rgb16", "bgra16"])
def test_of_sixteen_bits_the_upper_eight_are_taken_in_either_order(encoding: str, order: str) -> None:
    upper = {"rgb16": PICTURE, "bgra16": np.dstack([PICTURE[..., ::-1], GRAY])}.get(encoding, GRAY)
    stored = (upper.astype(f"{order}u2") << 8 | 0x5A).astype(f"{order}u2")
    step, data = padded(stored)
    expected = PICTURE if upper.ndim == 3 else np.dstack([GRAY] * 3)
    assert np.array_equal(image_to_rgb(encoding, HEIGHT, WIDTH, step, order == ">", data), expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", MOSAICS)
def test_a_mosaic_of_one_color_has_that_color(pattern: str, bits: int) -> None:
    color = {"r": 200, "g": 120, "b": 30}
    tile = np.array([[color[letter] for letter in row] for row in MOSAICS[pattern]])
    mosaic = np.tile(tile, (HEIGHT // 2, WIDTH // 2)).astype(np.uint8)
    stored = mosaic if bits == 8 else mosaic.astype(">u2") << 8
    step, data = padded(stored.astype(mosaic.dtype if bits == 8 else ">u2"))
    found = image_to_rgb(f"bayer_{pattern}{bits}", HEIGHT, WIDTH, step, 1, data)
    assert np.array_equal(found, np.broadcast_to(np.uint8([200, 120, 30]), found.shape))


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv422_of_one_color_has_that_color(encoding: str, order: str) -> None:
    # BT.601, limited range: red (255, 0, 0).
    value = {"y": 81, "u": 90, "v": 240}
    row = np.tile(np.array([value[letter] for letter in order], np.uint8), WIDTH // 2)
    step, data = padded(np.tile(row, (HEIGHT, 1)))
    found = image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(("encoding", "order"), [("nv12", "uv"), ("nv21", "vu")])
def test_planes_of_one_color_have_that_color(encoding: str, order: str) -> None:
    value = {"u": 90, "v": 240}
    colors = np.tile(np.array([value[letter] for letter in order], np.uint8), WIDTH // 2)
    rows = np.concatenate([np.full((HEIGHT, WIDTH), 81, np.uint8), np.tile(colors, (HEIGHT // 2, 1))])
    step, data = padded(rows)
    found = image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_writes_where_it_is_told(encoding: str) -> None:
    out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    step = WIDTH * 8
    data = bytes(step * (HEIGHT * 3 // 2 if encoding.startswith("nv") else HEIGHT))
    assert image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data, out) is out


def test_the_padding_of_the_last_row_may_be_missing() -> None:
    step, data = padded(PICTURE)
    assert np.array_equal(image_to_rgb("rgb8", HEIGHT, WIDTH, step, 0, data[:-5]), PICTURE)


def test_a_result_is_a_copy() -> None:
    data = bytearray(PICTURE.tobytes())
    found = image_to_rgb("rgb8", HEIGHT, WIDTH, WIDTH * 3, 0, data)
    data[:] = bytes(len(data))
    assert np.array_equal(found, PICTURE)


@pytest.mark.parametrize(("encoding", "stored"), [("rgb8", PICTURE), ("bgr8", PICTURE[..., ::-1])])
def test_pixels_that_are_rgb_already_are_lent_if_that_will_do(encoding: str, stored: np.ndarray) -> None:
    step, data = padded(stored)
    there = np.frombuffer(data, np.uint8)
    found = image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data, lend=True)
    assert np.array_equal(found, PICTURE)
    assert np.shares_memory(found, there) == (encoding == "rgb8")
    out = np.empty_like(PICTURE)
    assert image_to_rgb(encoding, HEIGHT, WIDTH, step, 0, data, out, lend=True) is out


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (("rgb9", 2, 2, 6, 0, bytes(12)), "got 'rgb9'; did you mean 'rgb8'?"),
        (("32FC1", 2, 2, 8, 0, bytes(16)), "floats are depth or features"),
        (("rgb8", 2, 2, 5, 0, bytes(12)), "a step of at least 6 bytes for 2 pixels of rgb8, got 5"),
        (("rgb8", 2, 2, 6, 0, bytes(11)), "expected 12 bytes of image data (2 rows of 6), got 11; the message was cut"),
        (("rgb8", 2, 2, 6, 0, bytes(18)), "expected 12 bytes of image data (2 rows of 6), got 18; its fields"),
        (("rgb8", 0, 2, 6, 0, b""), "expected an image with pixels, got 2 x 0"),
        (("mono8", 1 << 31, 1 << 31, 1 << 31, 0, b""), "at most 134217728 pixels"),
        (("yuv422", 2, 3, 6, 0, bytes(12)), "an even width of an image that is yuv422, got 3 x 2"),
        (("nv12", 3, 4, 4, 0, bytes(16)), "an even width and height"),
        (("bayer_rggb8", 2, 2, 2, 0, bytes(4)), "at least 4 x 4 pixels"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(fields: tuple, sentence: str) -> None:
    with pytest.raises(WireError, match=re.escape(sentence)):
        image_to_rgb(*fields)


@pytest.mark.parametrize("format", ["png", "bgr8; png compressed bgr8", "rgb8; png compressed bgr8", ""])
def test_a_compressed_image_is_what_its_file_says(format: str) -> None:
    data = cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes()
    assert np.array_equal(compressed_to_rgb(format, data), PICTURE)


def test_a_file_with_red_and_blue_exchanged_says_so_in_its_format() -> None:
    data = cv2.imencode(".png", PICTURE)[1].tobytes()
    assert np.array_equal(compressed_to_rgb("rgb8; png compressed rgb8", data), PICTURE)


def test_jpeg_and_gray_pictures_are_rgb() -> None:
    flat = np.full((16, 16), 90, np.uint8)
    found = compressed_to_rgb("mono8; jpeg compressed ", cv2.imencode(".jpg", flat)[1])
    assert found.shape == (16, 16, 3)
    assert np.abs(found.astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    ("format", "data", "sentence"),
    [
        ("16UC1; compressedDepth png", b"", "expected a picture, got depth"),
        ("jpeg", b"nothing", "('jpeg') of 7 bytes to be a picture, but it is not a picture"),
        ("png", cv2.imencode(".png", PICTURE)[1].tobytes()[:60], "damaged"),
        ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0" + bytes(50), "65536 x 65536 pixels"),
    ],
)
def test_a_compressed_image_that_cannot_be_read_is_said(format: str, data: bytes, sentence: str) -> None:
    with pytest.raises(WireError, match=re.escape(sentence)):
        compressed_to_rgb(format, data)
