"""Pictures as ROS messages have them (``sensor_msgs`` Image and CompressedImage), made RGB.

Names of encodings are those of ``sensor_msgs/image_encodings.hpp``.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import cv2
import numpy as np

from streamseg.errors import WireError, nearest
from streamseg.masks.image_files import PIXELS_MAX, decode_image
from streamseg.masks.image_sizes import claimed_size

Buffer = bytes | bytearray | memoryview | np.ndarray

_BAYER = {
    # By the colors of the top left 2 x 2 pixels, row by row, as ROS names them. OpenCV's older names (BayerBG …) are
    # those of the second row from its second pixel on, so "bayer_rggb8" is its "BayerBG".
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
}
_BAYER_LEAST = 4
"""Smaller ones have no pixel whose neighbors are all there."""


_TAIL_BYTES = 1024
"""Some cameras pad what they send."""
_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND"}
"""How files begin -> what has to be near their end."""
_EXPECTED = {
    "plain": "",
    "bayer": f"at least {_BAYER_LEAST} x {_BAYER_LEAST} pixels",
    "yuv422": "an even width",
    "yuv420": "an even width and height",
}


class _Layout(NamedTuple):
    channels: int
    """Values of a pixel; for yuv422 two, for nv12 one (of the upper plane)."""
    deep: bool
    """Two bytes a value, of which the upper one is taken."""
    code: int | None
    """OpenCV's name of the conversion to RGB; None copies."""
    kind: str = "plain"
    """Or what its size is bound by: ``bayer``, ``yuv422``, ``yuv420``."""


def _layouts() -> dict[str, _Layout]:
    found: dict[str, _Layout] = {}
    for deep, bits in ((False, "8"), (True, "16")):
        gray = _Layout(1, deep, cv2.COLOR_GRAY2RGB)
        bgr, bgra = _Layout(3, deep, cv2.COLOR_BGR2RGB), _Layout(4, deep, cv2.COLOR_BGRA2RGB)
        found |= {f"mono{bits}": gray, f"{bits}UC1": gray}
        found |= {f"rgb{bits}": _Layout(3, deep, None), f"bgr{bits}": bgr, f"{bits}UC3": bgr}
        found |= {f"rgba{bits}": _Layout(4, deep, cv2.COLOR_RGBA2RGB), f"bgra{bits}": bgra, f"{bits}UC4": bgra}
        found |= {f"bayer_{name}{bits}": _Layout(1, deep, code, "bayer") for name, code in _BAYER.items()}
    for name in ("yuv422", "uyvy"):
        found[name] = _Layout(2, False, cv2.COLOR_YUV2RGB_UYVY, "yuv422")
    for name in ("yuv422_yuy2", "yuyv"):
        found[name] = _Layout(2, False, cv2.COLOR_YUV2RGB_YUY2, "yuv422")
    found["nv12"] = _Layout(1, False, cv2.COLOR_YUV2RGB_NV12, "yuv420")
    found["nv21"] = _Layout(1, False, cv2.COLOR_YUV2RGB_NV21, "yuv420")
    return found


_LAYOUTS = _layouts()
ENCODINGS = tuple(_LAYOUTS)
"""Those that `image_to_rgb` knows."""


def image_to_rgb(
    encoding: str,
    height: int,
    width: int,
    step: int,
    is_bigendian: bool | int,
    data: Buffer,
    out: np.ndarray | None = None,
    *,
    lend: bool = False,
) -> np.ndarray:
    """The pixels of a ``sensor_msgs/Image`` as RGB; the arguments are its fields.

    Of 16 bits the upper eight are taken, so depth in millimeters looks dark. Alpha is dropped. ``8UC3`` and ``8UC4``
    are taken for BGR, as ``cv_bridge`` does. YUV is BT.601 of limited range; nv12 and nv21 have their plane of colors
    below that of brightness, ``step`` bytes a row too.

    Args:
        encoding: one of `ENCODINGS`.
        height: of the picture in pixels.
        width: likewise.
        step: bytes from one row to the next; what follows the pixels of a row is left out.
        is_bigendian: whether the upper byte of two comes first; means nothing for 8 bits.
        data: uint8.
        out: (height, width, 3) uint8 to write into; a new array if None.
        lend: without `out`, pixels that are RGB already may be given as they lie in `data`, read-only.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        WireError: an encoding that is not known, no pixels or more than are taken (`PIXELS_MAX`), a step that is less
            than a row, or data of another length than all this makes.
    """
    layout, rows, row_bytes = _checked(encoding, height, width, step, len(data))
    pixels = np.lib.stride_tricks.as_strided(
        np.frombuffer(data, np.uint8), (rows, row_bytes), (step, 1), writeable=False
    )
    if layout.deep:
        pixels = pixels[:, 0 if is_bigendian else 1 :: 2]
    if layout.channels > 1:
        pixels = pixels.reshape(rows, width, layout.channels)
    if layout.code is None:
        return pixels if lend and out is None else _copied(pixels, out)
    # OpenCV reads any distance between rows, but none between the values of a pixel.
    source = np.ascontiguousarray(pixels) if layout.deep or layout.kind == "yuv420" else pixels
    return np.asarray(cv2.cvtColor(source, layout.code, dst=out), np.uint8)


def check_image(encoding: str, height: int, width: int, step: int, data_bytes: int) -> None:
    """Whether `image_to_rgb` will take an image with these fields, and so many bytes of data.

    Raises:
        WireError: as there.
    """
    _checked(encoding, height, width, step, data_bytes)


def compressed_to_rgb(format: str, data: Buffer, most_pixels: int = PIXELS_MAX) -> np.ndarray:
    """The pixels of a ``sensor_msgs/CompressedImage``, or of Foxglove's, as RGB: JPEG, PNG and what else OpenCV reads.

    What the data begin with says what they are. The format counts where it says more: ``rgb8; jpeg compressed rgb8``
    has red and blue exchanged in the file, as ROS's ``compressed_image_transport`` has it, ``… compressed bgr8`` has
    not. Pictures are not turned as EXIF says: a message has the pixels as they lie.

    Args:
        format: as the message has it.
        data: the file.
        most_pixels: a picture that says it has more is not decoded.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        WireError: depth (``compressedDepth``), no picture, a damaged one, or too many pixels.
    """
    _refuse_depth(format)
    try:
        image_bgr = decode_image(bytes(data), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, most_pixels)
    except ValueError as error:
        raise WireError(
            f"expected a compressed image ({format!r}) of {len(data)} bytes to be a picture, but {error}"
        ) from error
    if "compressed rgb" in format.partition(";")[2]:
        return image_bgr
    return np.asarray(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB), np.uint8)


def check_compressed(format: str, data: Buffer, most_pixels: int = PIXELS_MAX) -> tuple[int, int]:
    """What a ``sensor_msgs/CompressedImage`` says of itself; nothing is decoded.

    Args:
        format: as the message has it.
        data: the file.
        most_pixels: more are refused.

    Returns:
        (height, width).

    Raises:
        WireError: as `compressed_to_rgb`, but for damage inside; also a JPEG or PNG that was cut off.
    """
    _refuse_depth(format)
    size = claimed_size(io.BytesIO(bytes(data)))
    if size is None:
        raise WireError(f"expected a compressed image ({format!r}), got {len(data)} bytes that are no picture")
    if size[0] * size[1] > most_pixels:
        raise WireError(
            f"expected a compressed image of at most {most_pixels} pixels, got one that says {size[0]} x {size[1]}"
        )
    head, tail = bytes(data[:8]), bytes(data[-_TAIL_BYTES:])
    ends = next((end for mark, end in _ENDS.items() if head.startswith(mark)), b"")
    if ends not in tail:
        raise WireError(f"expected a whole compressed image ({format!r}), got one that was cut off")
    return size[1], size[0]


def _checked(encoding: str, height: int, width: int, step: int, data_bytes: int) -> tuple[_Layout, int, int]:
    """The layout, how many rows its data has, and how many bytes of a row are pixels."""
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise WireError(f"expected an image encoding that has colors or gray, got {encoding!r}; {_like(encoding)}")
    _check_size(encoding, layout, height, width)
    row_bytes = width * layout.channels * (2 if layout.deep else 1)
    if step < row_bytes:
        raise WireError(
            f"expected a step of at least {row_bytes} bytes for {width} pixels of {encoding}, got {step}; "
            f"the publisher fills its Image in wrong"
        )
    rows = height * 3 // 2 if layout.kind == "yuv420" else height
    # After the last row the rest of the step may be missing.
    least, most = step * (rows - 1) + row_bytes, step * rows
    if not least <= data_bytes <= most:
        short = "the message was cut off, or its" if data_bytes < least else "its"
        raise WireError(
            f"expected {most} bytes of image data ({rows} rows of {step}), got {data_bytes}; {short} fields do not fit"
        )
    return layout, rows, row_bytes


def _refuse_depth(format: str) -> None:
    if "compressedDepth" in format:
        raise WireError(
            f"expected a picture, got depth ({format!r}); take the topic of the color or gray camera beside it"
        )


def _check_size(encoding: str, layout: _Layout, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise WireError(f"expected an image with pixels, got {width} x {height} of {encoding}")
    if height * width > PIXELS_MAX:
        raise WireError(f"expected an image of at most {PIXELS_MAX} pixels, got {width} x {height} of {encoding}")
    odd_width, odd_height = width % 2, height % 2
    wrong = {
        "plain": False,
        "bayer": min(width, height) < _BAYER_LEAST,
        "yuv422": odd_width,
        "yuv420": odd_width or odd_height,
    }
    if wrong[layout.kind]:
        raise WireError(f"expected {_EXPECTED[layout.kind]} of an image that is {encoding}, got {width} x {height}")


def _copied(pixels: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    if out is None:
        return np.array(pixels, np.uint8)
    np.copyto(out, pixels)
    return out


def _like(encoding: str) -> str:
    if encoding.startswith("32FC") or encoding.startswith("64FC"):
        return "floats are depth or features, not a picture: take the topic of the color or gray camera beside it"
    return nearest(encoding, _LAYOUTS)
