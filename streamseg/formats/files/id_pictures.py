"""Pictures whose values are the ids of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, ReadClip
from streamseg.formats.shape import Shape, counts_of_labels
from streamseg.masks import rle
from streamseg.masks.image_files import read_values

VOID = 255
"""Value of pixels that count for nothing, in DAVIS."""


def read_ids(path: Path) -> np.ndarray:
    """(H, W) uint8 or uint16: the values in a picture.

    Raises:
        MediaError: it cannot be read.
    """
    try:
        return read_values(path, ("P", "L", "I;16"), "L")
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a mask: {error}") from error


def clip_of_pictures(
    name: str, pictures: Iterable[tuple[Path, np.ndarray]], labels: Mapping[int, str] | None = None
) -> Clip:
    """The clip of a picture of ids for each frame.

    Args:
        name: of the clip.
        pictures: file and (H, W) ids of each frame; 0 is background.
        labels: of the objects, as far as they are known.

    Raises:
        UsageError: there is none, or they differ in size.
    """
    size: tuple[int, int] | None = None
    shapes: dict[int, list[Shape]] = {}
    objects: dict[int, str] = {}
    index = -1
    for index, (path, ids) in enumerate(pictures):
        height, width = ids.shape
        if size is not None and (height, width) != size:
            raise UsageError(f"expected masks of {size[1]}x{size[0]} pixels, {path} has {width}x{height}")
        size = (height, width)
        found = counts_of_labels(ids)
        # Compressed, since all of them are kept.
        shapes[index] = [Shape(each, size, text=rle.compress(counts)) for each, counts in found.items()]
        objects |= {each: (labels or {}).get(each, "") for each in found}
    if size is None:
        raise UsageError(f"expected pictures of masks for {name}, there are none")
    return ReadClip(name, size, index + 1, shapes, objects)
