"""Image files of a folder as pictures of 8 bits; what cannot be decoded is left out and counted."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError
from streamseg.masks.image_files import FILE_MAX_BYTES, decode_image
from streamseg.regular_files import read_regular
from streamseg.video.files.stills import (
    decode_still,
    is_transparent,
    may_be_deep_or_transparent,
    note_on_depth,
    note_on_transparency,
    pictures_beside,
)
from streamseg.video.pixels import bits_in_use, to_eight_bits

_NO_PICTURE = frozenset({errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.EFBIG})
"""A link that leads nowhere, a folder or a FIFO among the images costs one of them."""
_LOOKED_AT = 16
"""So many images are looked at beforehand, from all over the folder."""

_log = logging.getLogger("streamseg.video")


class ImageLoading:
    """Loads the images of one folder alike.

    Args:
        paths: of those that are there, by which it is told how many of 16 bits are in use.
        max_pixels: a picture that has more is left out.
        note: is told what is not used, a sentence each.
    """

    def __init__(self, paths: Sequence[Path], max_pixels: int, note: Callable[[str | None], None]) -> None:
        self._max_pixels = max_pixels
        self._note = note
        self.left_out = 0
        """How many could not be decoded."""
        self.reason = ""
        """Why the last of these could not."""
        self._bits = self._look_at_depth(paths)

    def load(self, path: Path) -> np.ndarray | None:
        """(H, W, 3) uint8 BGR; None, counted, if the file is no image, or one that is too large."""
        try:
            data = read_regular(path, FILE_MAX_BYTES)
            image = decode_still(data, self._max_pixels)
        except OSError as error:
            if error.errno in _NO_PICTURE:
                self._leave_out(path, str(error.strerror))
                return None
            raise MediaError(f"expected a readable image, but {path} gave: {error.strerror}; check its mode") from None
        except ValueError as error:
            self._leave_out(path, str(error))
            return None
        count = pictures_beside(path, data)
        if count > 1:
            self._note(f"{path} has {count} pictures, of which the first is taken; give it by itself for all of them")
        if image.dtype == np.uint16 and image.max() >> self._bits:
            self._note(f"{path} uses more than the {self._bits} bits that others use: its brightest pixels are cut")
        return to_eight_bits(image, self._bits)

    def _leave_out(self, path: Path, reason: str) -> None:
        self.left_out += 1
        self.reason = reason
        _log.warning("%s: %s; left out", path, reason)

    def _look_at_depth(self, paths: Sequence[Path]) -> int:
        """How many bits the images use, by a few of them; says so, and whether some are transparent."""
        largest, transparent = 0, False
        for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
            with contextlib.suppress(OSError, ValueError):
                data = read_regular(path, FILE_MAX_BYTES)
                if not may_be_deep_or_transparent(path, data):
                    continue
                image = decode_image(data, cv2.IMREAD_UNCHANGED, self._max_pixels)
                if not transparent and is_transparent(image):
                    transparent = True
                    others = ", perhaps others as well," if len(paths) > 1 else ""
                    self._note(note_on_transparency(f"{path}{others}"))
                if image.dtype != np.uint16:
                    continue
                largest = max(largest, int((image if image.ndim == 2 else image[..., :3]).max()))
        bits = bits_in_use(largest) if largest else 16
        self._note(note_on_depth(f"images in {paths[0].parent}", bits))
        return bits
