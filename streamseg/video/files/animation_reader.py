"""Pictures of a file that has several: an animated PNG or WebP, a TIFF with pages."""

from __future__ import annotations

import contextlib
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
from streamseg.video.files.stills import (
    FORMATS,
    check_depth,
    is_transparent,
    note_on_depth,
    note_on_transparency,
    pictures_in,
)
from streamseg.video.pixels import bits_in_use, to_eight_bits
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import SourceKind

_MILLISECOND = (1, 1000)
_LOOKED_AT = 16
"""So many pages of a TIFF are looked at beforehand, from all over the file."""
_USUAL_MS = 100
"""Of a picture that is to be shown for no time at all, as browsers do it."""


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
        self._image: Any = Image.open(path, formats=FORMATS)
        self._is_tiff = self._image.format == "TIFF"
        # An animated PNG may have a picture for those who do not know of animations, which is no part of it.
        self._skip = int(bool(getattr(self._image, "default_image", False)))
        rate = Fraction(fps).limit_denominator(1001)
        self._bits = 16
        self._reason = ""
        self._is_transparent = False
        first = self._load(0)
        if first is None:
            self.close()
            raise MediaError(f"expected pictures in {path}, but its first one cannot be decoded: {self._reason}")
        if self._is_tiff:
            self._look_at_pages()
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
            self._check_size()
            if self._is_tiff:
                return self._page(index)
            self._look_at_alpha()
            return np.array(self._image.convert("RGB"))
        except (*PILLOW_ERRORS, cv2.error) as error:
            self._reason = str(error) or type(error).__name__
            self.damaged += 1
            if self.damaged == 1:
                self.note(f"{self._path}: picture {index} cannot be decoded: {self._reason}; left out")
            return None

    def _check_size(self) -> None:
        if (pixels := self._image.width * self._image.height) > self._max_pixels:
            raise ValueError(f"it says that it has {pixels} pixels, at most {self._max_pixels} are decoded")

    def _page(self, index: int) -> np.ndarray:
        found, pages = cv2.imreadmulti(str(self._path), index, 1, flags=cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if not found or not pages:
            # OpenCV makes no colors of gray values of 32 bits: then it is their kind that is wrong.
            found, pages = cv2.imreadmulti(str(self._path), index, 1, flags=cv2.IMREAD_UNCHANGED)
            if found and pages:
                check_depth(pages[0])
            raise ValueError("it is damaged, or of a kind that is not known")
        check_depth(pages[0])
        return cv2.cvtColor(pages[0], cv2.COLOR_BGR2RGB)

    def _look_at_alpha(self) -> None:
        """Say once whether the picture that Pillow stands at, or one before it, is transparent."""
        if self._is_transparent or not self._image.has_transparency_data:
            return
        self._is_transparent = np.asarray(self._image.convert("RGBA"))[..., 3].min() < 255
        if self._is_transparent:
            self.note(note_on_transparency(str(self._path)))

    def _look_at_pages(self) -> None:
        """Say how many bits the pages of a TIFF use, by a few of them, and whether those are transparent."""
        largest = 0
        for index in range(0, self._count, max(1, self._count // _LOOKED_AT)):
            with contextlib.suppress(*PILLOW_ERRORS, cv2.error):
                self._image.seek(index)
                self._check_size()
                found, pages = cv2.imreadmulti(str(self._path), index, 1, flags=cv2.IMREAD_UNCHANGED)
                largest = max(largest, self._look_at_page(index, pages[0]) if found and pages else 0)
        self._bits = bits_in_use(largest) if largest else 16
        self.note(note_on_depth(f"pictures in {self._path}", self._bits))

    def _look_at_page(self, index: int, page: np.ndarray) -> int:
        """The largest value of one of 16 bits, else 0."""
        if not self._is_transparent and is_transparent(page):
            self._is_transparent = True
            self.note(note_on_transparency(f"{self._path}, picture {index},"))
        return int((page if page.ndim == 2 else page[..., :3]).max()) if page.dtype == np.uint16 else 0

    def _read(self) -> Iterator[Picture]:
        start_s, pts = time.monotonic(), 0
        for index in range(self._count - self._skip):
            image = self._load(index) if index >= self._start_index or not self._is_tiff else None
            shown = 1 if self._is_tiff else round(self._image.info.get("duration", 0)) or _USUAL_MS
            if index >= self._start_index:
                if image is None or not self._fits(index, image):
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

        if self.damaged > 1:
            self.note(f"{self._path}: {self.damaged} of {self._count - self._skip} pictures could not be decoded")

    def _fits(self, index: int, image: np.ndarray) -> bool:
        if image.shape[:2] != (self.info.height, self.info.width):
            size = f"{image.shape[1]}x{image.shape[0]}"
            self.note(
                f"{self._path}: picture {index} is {size}, the first {self.info.width}x{self.info.height}; left out"
            )
            return False
        if image.dtype == np.uint16 and image.max() >> self._bits:
            self.note(
                f"{self._path}: picture {index} uses more than the {self._bits} bits that others use: its brightest "
                f"pixels are cut"
            )
        return True

    def _write(self, image: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, to_eight_bits(image, self._bits))
