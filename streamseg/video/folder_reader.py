"""Pictures of a folder of images, in natural order; a single image is a folder of one."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError
from streamseg.masks.image_files import PIXELS_MAX, read_image
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import IMAGE_SUFFIXES, SourceKind

_log = logging.getLogger("streamseg.video")


class FolderReader(Reader):
    """Reads images as frames of a video: `index` is the position in the folder, `pts` the same in units of 1/fps.

    16-bit images are cut to their upper 8 bits, gray becomes RGB, alpha is dropped, EXIF orientation is
    applied. An image that cannot be decoded is left out, and its number with it.
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
        self._reason = ""
        self._paths = list_images(path)
        rate = Fraction(fps).limit_denominator(1001)
        first = next((image for image in map(self._load, self._paths) if image is not None), None)
        if first is None:
            raise MediaError(
                f"expected images in {path}, but none of its {len(self._paths)} can be decoded: {self._reason}"
            )
        self.damaged = 0
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

    def _load(self, path: Path) -> np.ndarray | None:
        """(H, W, 3) uint8 BGR; None, counted, if the file is no image, or one that is too large."""
        try:
            return read_image(path, cv2.IMREAD_COLOR, self._max_pixels)
        except OSError as error:
            raise MediaError(f"expected a readable image, but {path} gave: {error.strerror}; check its mode") from None
        except ValueError as error:
            self.damaged += 1
            self._reason = str(error)
            _log.warning("%s: %s; left out", path, error)
            return None

    def _read(self) -> Iterator[Picture]:
        start_s = time.monotonic()
        for index in range(self._start_index, len(self._paths)):
            image = self._load(self._paths[index])
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
                fill=partial(_write, image),
            )


def _write(image_bgr: np.ndarray, out: np.ndarray) -> None:
    cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB, dst=out)


def list_images(path: Path) -> list[Path]:
    """The image files of a folder in natural order (``2.png`` before ``10.png``), hidden ones left out.

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
    except PermissionError:
        raise MediaError(f"expected a readable folder, but listing {path} is not permitted; change its mode") from None
    if not paths:
        raise MediaError(
            f"expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in the folder {path}, found none; "
            "give a folder that has some, or a video file"
        )
    return sorted(paths, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that compares the digits in a name as numbers; names that differ in case only keep a fixed order."""
    parts = re.findall(r"\d+|\D+", path.name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]
    return [*key, (2, 0, path.name)]
