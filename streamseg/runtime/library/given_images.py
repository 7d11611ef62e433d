"""Pictures that callers in Python have in memory: arrays, tensors and PIL's, as RGB of one size. Nothing is guessed."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from streamseg.errors import UsageError

_WANTED = "a picture (height, width, 3) of uint8, RGB"
_MODES = ("RGB", "L")
"""Of PIL's pictures, those whose pixels are taken as they are."""


class GivenImage(NamedTuple):
    """A picture, ready to be followed in."""

    image_rgb: np.ndarray
    """(H, W, 3) uint8, RGB, contiguous."""
    scaled_from: tuple[int, int] | None
    """(width, height) that it had, where it was scaled to the size of the first; else None."""


class GivenImages:
    """Takes the pictures of one stream; every one gets the size of the first, as in a graph.

    Args:
        size: (width, height) of the first, if it has been already.
    """

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self.size = size
        """(width, height) of the first picture, and so of all; None before it."""

    def take(self, image: Any, *, bgr: bool = False, gray: bool = False, own: bool = False) -> GivenImage:
        """A picture as it goes on from here.

        Args:
            image: (H, W, 3) of uint8 as an array of numpy, a tensor of torch (on any device), or anything else that
                numpy takes for an array; or a picture of PIL (RGB or L).
            bgr: its colors are blue, green, red, as OpenCV reads them.
            gray: it is (H, W), without colors.
            own: whether the pixels must not be the caller's.

        Raises:
            UsageError: it is something else.
        """
        check_colors(bgr=bgr, gray=gray)
        array = _array(image)
        pixels = array if array.flags.c_contiguous else np.ascontiguousarray(array)
        if isinstance(image, Image.Image):
            _check_mode(image, bgr)
            gray = image.mode == "L"
        pixels = _colored(pixels, bgr, gray)
        if own and np.may_share_memory(pixels, array):
            pixels = pixels.copy()
        size = (pixels.shape[1], pixels.shape[0])
        if self.size is None:
            self.size = size
        if size == self.size:
            return GivenImage(pixels, None)
        shrinks = self.size[0] * self.size[1] < size[0] * size[1]
        scaled = cv2.resize(pixels, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return GivenImage(np.asarray(scaled), size)


def check_colors(*, bgr: bool, gray: bool) -> None:
    """Whether what is said of colors can be meant.

    Raises:
        UsageError: it cannot.
    """
    if bgr and gray:
        raise UsageError("expected bgr=True or gray=True, got both; gray pictures have no colors")


def _check_mode(image: Image.Image, bgr: bool) -> None:
    if image.mode not in _MODES:
        raise UsageError(f"expected a picture of PIL in RGB or L, got {image.mode}; convert it: image.convert('RGB')")
    if bgr:
        raise UsageError("expected arrays with bgr=True, got a picture of PIL, which is RGB; leave out bgr=True")


def _colored(pixels: np.ndarray, bgr: bool, gray: bool) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    if pixels.dtype != np.uint8:
        raise UsageError(_of_another_type(pixels))
    if 0 in pixels.shape:
        raise UsageError(f"expected {_WANTED}, got {pixels.shape}, which is empty")
    if not gray:
        _check_shape(pixels)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)) if bgr else pixels
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if flat.ndim != 2:
        raise UsageError(
            f"expected a gray picture (height, width) of uint8, as gray=True says, got {pixels.shape}; give it as it "
            f"is meant, or leave out gray=True"
        )
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB))


def _array(image: Any) -> np.ndarray:
    """The picture as an array of numpy, without a copy where that is possible."""
    if hasattr(image, "detach") and hasattr(image, "cpu"):
        tensor = image.detach().cpu()
        try:
            return np.asarray(tensor)
        except (TypeError, RuntimeError) as error:
            raise UsageError(f"expected {_WANTED}, got a tensor of {tensor.dtype}; convert it to uint8") from error
    if not isinstance(image, (np.ndarray, Image.Image)) and not hasattr(image, "__array__"):
        got = "None" if image is None else f"a {type(image).__name__}"
        raise UsageError(f"expected {_WANTED}, as an array, a tensor or a picture of PIL, got {got}")
    return np.asarray(image)


def _check_shape(pixels: np.ndarray) -> None:
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return
    todo = ""
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1):
        todo = "; it has no colors: if it is gray, say gray=True"
    elif pixels.ndim == 3 and pixels.shape[0] == 3:
        todo = "; its colors come first: give image.transpose(1, 2, 0) (of a tensor, image.permute(1, 2, 0))"
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        todo = "; it has a fourth channel: leave it out, image[..., :3]"
    elif pixels.ndim == 4:
        todo = "; those are several: give one after the other"
    raise UsageError(f"expected {_WANTED}, got {pixels.shape}{todo}")


def _of_another_type(pixels: np.ndarray) -> str:
    if pixels.dtype.kind not in "uifb" or not pixels.size:
        return f"expected {_WANTED}, got {pixels.shape} of {pixels.dtype}"
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f":
        factor = " * 255" if low >= 0 and high <= 1 else ""
        todo = f"{'multiply by 255 and ' if factor else ''}convert it: (image{factor}).astype('uint8')"
    elif pixels.dtype.kind == "b":
        todo = "convert it: image.astype('uint8') * 255"
    elif pixels.dtype == np.uint16 and high > 255:
        todo = "take the upper 8 of the bits that it uses: (image >> 8).astype('uint8') if it uses all 16"
    else:
        todo = "convert it: image.astype('uint8')"
    values = f"{low:g} to {high:g}" if pixels.dtype.kind != "b" else f"{low} to {high}"
    return f"expected a picture of uint8 from 0 to 255, got {pixels.dtype} with values from {values}; {todo}"
