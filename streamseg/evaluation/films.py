"""Short films with true masks, to follow objects in: real sequences, forward, backward and in halves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import cv2
import numpy as np

from streamseg.errors import MediaError
from streamseg.evaluation.sequences import Sequence, read_ids
from streamseg.video.open import open_source

HEIGHT = 360
"""Of films, in pixels."""


class Film(ABC):
    """A film whose truth is known.

    Args:
        name: of the film.
        group: what is hard about it.
        origin: what it was made of; films of one origin go well or badly together.
        frames: how many.
    """

    def __init__(self, name: str, group: str, origin: str, frames: int) -> None:
        self.name = name
        self.group = group
        self.origin = origin
        self.frames = frames

    @abstractmethod
    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame."""

    @abstractmethod
    def masks(self, index: int) -> dict[int, np.ndarray]:
        """By id, the (H, W) bool mask of each object that is to be followed, empty where it is not to be seen."""


class SequenceFilm(Film):
    """Frames of a real sequence in some order."""

    def __init__(self, name: str, origin: str, pictures: list[np.ndarray], ids: list[np.ndarray]) -> None:
        super().__init__(name, "film", origin, len(pictures))
        self._pictures, self._ids = pictures, ids
        self._objects = [int(value) for value in np.unique(ids[0]) if value]

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self._pictures[index]

    def masks(self, index: int) -> dict[int, np.ndarray]:
        """Those of the objects that are to be seen in the first frame."""
        return {value: np.asarray(self._ids[index] == value) for value in self._objects}


def films_of(sequence: Sequence, *, parts: str = "fbh") -> Iterator[SequenceFilm]:
    """A sequence forward, backward, and its second half; without those in whose first frame nothing is to be seen.

    Args:
        sequence: video and masks.
        parts: which of them: "f", "b", "h".

    Raises:
        MediaError: it cannot be read, or not every frame has a mask.
    """
    pictures = list(_pictures(sequence))
    if len(pictures) != len(sequence.mask_files):
        raise MediaError(
            f"{sequence.name}: {len(pictures)} frames but {len(sequence.mask_files)} mask files; expected one for each"
        )
    height, width = pictures[0].shape[:2]
    ids = [
        cv2.resize(read_ids(path), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        for path in sequence.mask_files
    ]
    count = len(pictures)
    orders = {"f": range(count), "b": range(count - 1, -1, -1), "h": range(count // 2, count)}
    for part in parts:
        chosen = list(orders[part])
        if len(chosen) >= 3 and ids[chosen[0]].any():
            name = f"{sequence.name}-{part}"
            yield SequenceFilm(name, sequence.name, [pictures[i] for i in chosen], [ids[i] for i in chosen])


def _pictures(sequence: Sequence) -> Iterator[np.ndarray]:
    with open_source(str(sequence.source), threads=1) as reader:
        height, width = reader.info.height, reader.info.width
        scale = min(1.0, HEIGHT / height)
        size = (round(width * scale), round(height * scale))
        for picture in reader:
            full = np.empty((picture.height, picture.width, 3), np.uint8)
            picture.write_rgb(full)
            yield np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA))
