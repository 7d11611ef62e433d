"""Pictures that stand beside what a format says of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import OutputError
from streamseg.formats.files.json_file import cannot_write


def write_jpeg(path: Path, image_rgb: np.ndarray, quality: int) -> None:
    """Write (H, W, 3) uint8 RGB as JPEG; its folder is made.

    Raises:
        OutputError: it cannot be written.
    """
    write_file(path, _encoded(".jpg", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]))


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) RGB or (H, W, 4) RGBA, uint8, as PNG; its folder is made.

    Raises:
        OutputError: it cannot be written.
    """
    write_file(path, encode_png(image))


def encode_png(image: np.ndarray) -> bytes:
    """The PNG of (H, W) or (H, W, 3) RGB or (H, W, 4) RGBA, uint8.

    Raises:
        OutputError: it cannot be made.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(channels)
    return _encoded(".png", image if code is None else cv2.cvtColor(image, code), [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _encoded(suffix: str, image: np.ndarray, settings: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, image, settings)
    if not done:
        raise OutputError(f"expected to make a picture ({suffix}), the encoder refused it; choose another format")
    return data.tobytes()


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file; its folder is made.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise cannot_write(path, error) from error
