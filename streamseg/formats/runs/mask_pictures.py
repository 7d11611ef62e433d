"""The masks of frames that were recorded as a picture of ids each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError
from streamseg.formats.files.id_pictures import read_ids
from streamseg.formats.shape import Counts, Cut, counts_of_labels
from streamseg.masks import rle
from streamseg.types import Box


class ReadAhead:
    """Pictures of ids that are asked for in order: while one is worked with, the next one is read in a thread.

    Args:
        paths: number of the frame -> its picture.
    """

    def __init__(self, paths: Mapping[int, Path]) -> None:
        self._paths = paths
        self._thread = ThreadPoolExecutor(1, "masks")
        self._is_open = True
        self._last: int | None = None
        self._ahead: tuple[int, Future[np.ndarray]] | None = None

    def read(self, frame: int) -> np.ndarray:
        """(H, W) uint8 or uint16: the picture of a frame.

        Raises:
            MediaError: it cannot be read.
        """
        ahead, self._ahead = self._ahead, None
        found = ahead[1].result() if ahead is not None and ahead[0] == frame else read_ids(self._paths[frame])
        # With some frames left out the next one is as far away as this one was.
        path = self._paths.get(following := frame + (1 if self._last is None else max(1, frame - self._last)))
        self._last = frame
        if path is not None and self._is_open:
            self._ahead = (following, self._thread.submit(read_ids, path))
        return found

    def close(self) -> None:
        """End the thread. Frames that somebody has kept can still be read."""
        self._is_open, self._ahead = False, None
        self._thread.shutdown(cancel_futures=True)


class MaskPicture:
    """A picture of ids, read once somebody asks for a mask.

    Args:
        path: of the file.
        read: gives what is in it.
        size: (height, width) that it has to have.
        boxes: id -> box round each object, as it stands in the tracks; whether it is so is looked at.
    """

    def __init__(
        self, path: Path, read: Callable[[], np.ndarray], size: tuple[int, int], boxes: Mapping[int, Box]
    ) -> None:
        self._path = path
        self._load = read
        self._size = size
        self._boxes = boxes
        self._picture: np.ndarray | None = None
        self._cuts: dict[int, np.ndarray] | None = None
        self._counts: dict[int, list[int]] | None = None

    @property
    def ids(self) -> list[int]:
        """Of all objects in it, ascending."""
        return sorted(self._all())

    def counts_of(self, object_id: int) -> Counts:
        """Gives COCO's run lengths of an object."""
        return lambda: self._counts_of(object_id)

    def cut_of(self, object_id: int) -> Cut:
        """Gives the mask of an object inside of its box; None if boxes and masks do not go together."""
        return lambda: self._known_cuts().get(object_id)

    def picture_of(self, object_ids: set[int]) -> Callable[[], np.ndarray | None]:
        """Gives the picture, if it has no other objects than these."""

        def picture() -> np.ndarray | None:
            cuts = self._known_cuts()
            return self._read() if object_ids.issuperset(cuts or self._all()) else None

        return picture

    def _counts_of(self, object_id: int) -> list[int]:
        cut = self._known_cuts().get(object_id)
        if cut is not None:
            x0, y0, _, _ = self._boxes[object_id]
            return rle.encode_crop(cut, int(x0), int(y0), self._size)
        return self._all().get(object_id) or [self._size[0] * self._size[1]]

    def _known_cuts(self) -> dict[int, np.ndarray]:
        """Id -> mask inside of the box, of all objects; none if a pixel is of no object, or not in its box."""
        if self._cuts is None:
            picture, found = self._read(), {}
            for object_id, (x0, y0, x1, y1) in self._boxes.items():
                cut = picture[max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)] == object_id
                if cut.shape == (y1 - y0, x1 - x0) and cut.any():
                    found[object_id] = cut
            # Every pixel is of one object: if there are as many in the boxes as in the picture, they are all of them.
            inside = sum(cv2.countNonZero(cut.view(np.uint8)) for cut in found.values())
            self._cuts = found if inside == cv2.countNonZero(picture) else {}
        return self._cuts

    def _all(self) -> dict[int, list[int]]:
        if self._counts is None:
            self._counts = counts_of_labels(self._read())
        return self._counts

    def _read(self) -> np.ndarray:
        if self._picture is None:
            ids = self._load()
            if ids.shape != self._size:
                raise MediaError(
                    f"expected masks of {self._size[1]}x{self._size[0]} pixels, {self._path} has "
                    f"{ids.shape[1]}x{ids.shape[0]}; the source has changed its size, export its parts one by one"
                )
            self._picture = ids
        return self._picture
