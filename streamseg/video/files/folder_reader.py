"""Pictures of a folder of images, in natural order; a single image is a folder of one."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError
from streamseg.masks.image_files import PIXELS_MAX
from streamseg.video.files.image_loading import ImageLoading
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import IMAGE_SUFFIXES, SourceKind

_NUMBERS_AND_WORDS = re.compile(r"(?<![\d.])\d+\.\d+(?!\.?\d)|\d+|\D+")


class FolderReader(Reader):
    """Reads images as frames of a video: `index` is the position in the folder, `pts` the same in units of 1/fps.

    Of 16-bit images the upper 8 of the bits that are in use are taken, gray becomes RGB, alpha is dropped, EXIF
    orientation is applied. An image that cannot be decoded is left out, and its number with it.
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
        self._paths = list_images(path)
        self._images = ImageLoading(self._paths, max_pixels, self.note)
        rate = Fraction(fps).limit_denominator(1001)
        first = next((image for image in map(self._images.load, self._paths) if image is not None), None)
        if first is None:
            raise MediaError(
                f"expected images in {path}, but none of its {len(self._paths)} can be decoded: {self._images.reason}"
            )
        self._images.left_out = 0
        self._interval_s = float(1 / rate)
        self._info = SourceInfo(
            kind=SourceKind.FOLDER,
            width=first.shape[1],
            height=first.shape[0],
            fps=float(rate),
            frames=len(self._paths),
            time_base=(rate.denominator, rate.numerator),
            codec=self._paths[0].suffix.lower().lstrip("."),
            live=live,
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self) -> Iterator[Picture]:
        start_s = time.monotonic()
        for index in range(self._start_index, len(self._paths)):
            image = self._images.load(self._paths[index])
            self.damaged = self._images.left_out
            if image is None:
                continue
            if image.shape[:2] != (self.info.height, self.info.width):
                raise MediaError(
                    f"expected every image to be {self.info.width}x{self.info.height} like the first one, but "
                    f"{self._paths[index]} is {image.shape[1]}x{image.shape[0]}; resize it or take it out"
                )
            due_s = start_s + (index - self._start_index) * self._interval_s
            if self.info.live and self._stopping.wait(max(0.0, due_s - time.monotonic())):
                return
            yield Picture(
                index=index,
                pts=index,
                time_base=self.info.time_base,
                captured_ns=time.time_ns(),
                width=self.info.width,
                height=self.info.height,
                fill=partial(write_bgr, image),
            )


def write_bgr(image_bgr: np.ndarray, out: np.ndarray) -> None:
    """Write (H, W, 3) uint8 BGR into `out` as RGB."""
    cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB, dst=out)


def list_images(path: Path) -> list[Path]:
    """The image files of a folder in natural order (2 before 10, 0.25 before 0.5), hidden ones left out.

    Raises:
        MediaError: the path is missing, may not be read, or has no images.
    """
    try:
        if path.is_file():
            return [path]
        paths = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    except FileNotFoundError:
        raise MediaError(
            f"expected an image or a folder of images, but {path} does not exist; check the path"
        ) from None
    except NotADirectoryError:
        raise MediaError(f"expected an image or a folder of images, but {path} is neither; name a file") from None
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise MediaError(f"expected a readable folder, but {path} gave: {error.strerror}; check the path") from None
        raise MediaError(f"expected a readable folder, but listing {path} is not permitted; change its mode") from None
    if not paths:
        raise MediaError(
            f"expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in the folder {path}, found none; "
            "give a folder that has some, or a video file"
        )
    return sorted(paths, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, Decimal, str]]:
    """Sort key that compares the numbers in a name by their value; names that differ in case only keep a fixed order.

    Digits with one dot between them are a decimal number; with more dots, as in versions, they are several numbers.
    """
    parts = _NUMBERS_AND_WORDS.findall(path.name)
    key = [(0, Decimal(part), "") if part[0].isdecimal() else (1, Decimal(0), part.lower()) for part in parts]
    return [*key, (2, Decimal(0), path.name)]
