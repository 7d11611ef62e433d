"""Pictures of a file that has several: an animated PNG or WebP, a TIFF with pages."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from streamseg.errors import MediaError
from streamseg.masks.image_files import PILLOW_ERRORS, PIXELS_MAX
from streamseg.video.pixels import bits_in_use, to_eight_bits
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import SourceKind

_log = logging.getLogger("streamseg.video")

_ANIMATED_SUFFIXES = frozenset({".png", ".webp", ".tif", ".tiff"})
_FORMATS = ("PNG", "WEBP", "TIFF")
"""Others are not tried: for some of them Pillow starts programs."""
_MILLISECOND = (1, 1000)
_USUAL_MS = 100
"""Of a picture that is to be shown for no time at all, as browsers do it."""


def pictures_in(path: Path, data: bytes | None = None) -> int:
    """How many pictures an image file has; 1 for one that cannot be read.

    Args:
        path: of the file.
        data: what is in it, if that has been read already.
    """
    if path.suffix.lower() not in _ANIMATED_SUFFIXES:
        return 1
    try:
        with Image.open(path if data is None else io.BytesIO(data), formats=_FORMATS) as image:
            return int(getattr(image, "n_frames", 1))
    except PILLOW_ERRORS:
        return 1


class AnimationReader(Reader):
    """Reads the pictures of one file as frames of a video: `index` is the position in the file.

    Times are those that the file gives, from 0 on; pages of a TIFF come at 1/fps. Transparency is dropped. Pages of
    another size than the first, such as thumbnails, are left out with a note.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float,
        live: bool,
        start_index: int,
        max_frames: int | None,
        max_pixels: int = PIXELS_MAX,
    ) -> None:
        super().__init__(start_index, max_frames)
        self._max_pixels = max_pixels
        self._path = path
        self._count = pictures_in(path)
        self._image: Any = Image.open(path, formats=_FORMATS)
        self._is_tiff = self._image.format == "TIFF"
        # An animated PNG may have a picture for those who do not know of animations, which is no part of it.
        self._skip = int(bool(getattr(self._image, "default_image", False)))
        rate = Fraction(fps).limit_denominator(1001)
        self._bits = 16
        first = self._load(0)
        if first is None:
            self.close()
            raise MediaError(f"expected pictures in {path}, but its first one cannot be decoded; check it")
        if first.dtype == np.uint16:
            self._bits = bits_in_use(int(first.max()))
        self._info = SourceInfo(
            kind=SourceKind.FOLDER,
            width=first.shape[1],
            height=first.shape[0],
            fps=float(rate) if self._is_tiff else None,
            frames=self._count - self._skip,
            time_base=(rate.denominator, rate.numerator) if self._is_tiff else _MILLISECOND,
            codec=str(self._image.format).lower(),
            live=live,
        )

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def _load(self, index: int) -> np.ndarray | None:
        """(H, W, 3) RGB, uint8 or, of a TIFF, uint16; None if there is no such picture."""
        try:
            self._image.seek(index + self._skip)
            if (pixels := self._image.width * self._image.height) > self._max_pixels:
                raise ValueError(f"it says that it has {pixels} pixels, at most {self._max_pixels} are decoded")
            if self._is_tiff:
                found, pages = cv2.imreadmulti(str(self._path), index, 1, flags=cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
                known = found and pages and pages[0].dtype in (np.uint8, np.uint16)
                return cv2.cvtColor(pages[0], cv2.COLOR_BGR2RGB) if known else None
            return np.array(self._image.convert("RGB"))
        except (*PILLOW_ERRORS, cv2.error) as error:
            _log.debug("%s: picture %d: %s", self._path, index, error)
            return None

    def _read(self) -> Iterator[Picture]:
        start_s, pts = time.monotonic(), 0
        for index in range(self._count - self._skip):
            image = self._load(index) if index >= self._start_index or not self._is_tiff else None
            shown = 1 if self._is_tiff else round(self._image.info.get("duration", 0)) or _USUAL_MS
            if index >= self._start_index:
                if self._is_missing(index, image):
                    pts += shown
                    continue
                due_s = start_s + pts * self.info.time_base[0] / self.info.time_base[1]
                if self.info.live and self._stopping.wait(max(0.0, due_s - time.monotonic())):
                    return
                yield Picture(
                    index=index,
                    pts=pts,
                    time_base=self.info.time_base,
                    captured_ns=time.time_ns(),
                    width=self.info.width,
                    height=self.info.height,
                    fill=partial(self._write, image),
                )
            pts += shown

    def _is_missing(self, index: int, image: np.ndarray | None) -> bool:
        if image is None:
            self.damaged += 1
            self.note(f"{self._path}: picture {index} of {self._count - self._skip} cannot be decoded; left out")
            return True
        if image.shape[:2] != (self.info.height, self.info.width):
            size = f"{image.shape[1]}x{image.shape[0]}"
            self.note(
                f"{self._path}: picture {index} is {size}, the first {self.info.width}x{self.info.height}; left out"
            )
            return True
        return False

    def _write(self, image: np.ndarray | None, out: np.ndarray) -> None:
        if image is not None:
            np.copyto(out, to_eight_bits(image, self._bits))
