"""Arrays as they travel: as they are, or made smaller.

``lossless`` and ``jpeg`` make pictures, (H, W, 3) uint8, smaller, and whole numbers such as masks without any loss.
Features do not get smaller and go as they are.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

import numpy as np

from streamseg.errors import WireError
from streamseg.transport.wire import DTYPES

Mode = Literal["raw", "lossless", "jpeg"]

_WORTH_BYTES = 4096


def packed(array: np.ndarray, mode: Mode, quality: int) -> tuple[str, bytes]:
    """How an array was packed, and what came of it.

    Args:
        array: of one of the types that travel.
        mode: as the graph file has it.
        quality: of JPEG, 1 to 100.
    """
    if mode != "raw" and array.nbytes > _WORTH_BYTES:
        if _is_picture(array.dtype.str, array.shape):
            return _picture(array, mode, quality)
        if array.dtype.kind in "uib":
            return "zlib", zlib.compress(array.tobytes(), 1)
    return "raw", array.tobytes()


def opened(packing: str, data: Any, dtype: str, shape: list[int]) -> Any:
    """The bytes of the array.

    Raises:
        WireError: the packing is not known, or what is in it is not that array.
    """
    if dtype not in DTYPES:
        raise WireError(f"an array of {dtype!r} cannot be received")
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if packing == "raw":
        found = data
    elif packing == "zlib":
        found = _inflated(data, size_bytes)
    elif packing == "delta" and _is_picture(dtype, tuple(shape)):
        found = _summed(_inflated(data, size_bytes), shape)
    elif packing == "jpeg" and _is_picture(dtype, tuple(shape)):
        found = _decoded(data, shape)
    else:
        raise WireError(f"an array that is packed as {packing!r} cannot be opened")
    if len(found) != size_bytes:
        raise WireError(f"an array of {size_bytes} bytes came with {len(found)}")
    return found


def _is_picture(dtype: str, shape: tuple[int, ...]) -> bool:
    return dtype == "|u1" and len(shape) == 3 and shape[2] == 3


def _picture(image_rgb: np.ndarray, mode: Mode, quality: int) -> tuple[str, bytes]:
    if mode == "lossless":
        # What each pixel has more than its left neighbor: nearly as small as PNG, and twice as quick.
        delta = np.empty_like(image_rgb)
        delta[:, :1] = image_rgb[:, :1]
        np.subtract(image_rgb[:, 1:], image_rgb[:, :-1], out=delta[:, 1:])
        deflater = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
        return "delta", deflater.compress(delta.tobytes()) + deflater.flush()
    import cv2

    image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return ("jpeg", data.tobytes()) if done else ("raw", image_rgb.tobytes())


def _summed(delta: bytes, shape: list[int]) -> Any:
    if len(delta) != math.prod(shape):
        return delta  # its size is refused
    image = np.frombuffer(delta, np.uint8).reshape(shape)
    return np.add.accumulate(image, axis=1, dtype=np.uint8).reshape(-1).data


def _decoded(data: Any, shape: list[int]) -> memoryview:
    import cv2

    try:
        image_bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise WireError(f"a picture cannot be decoded: {error.err}") from error
    if image_bgr is None or list(image_bgr.shape) != shape:
        raise WireError("a picture cannot be decoded, or has another size than was said")
    return cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB).reshape(-1).data


def _inflated(data: Any, size_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, size_bytes + 1)
    except zlib.error as error:
        raise WireError(f"an array cannot be decompressed: {error}") from error
    return found
