"""Photos with true masks.

- ``DIR/images/*`` and ``DIR/masks/*.png`` of the same stem, or
- ``DIR/index.json``: a list of ``{"set": …, "image": …, "mask": …}``, paths relative to DIR or to its parent.

A mask file with no values but 0, 128 and 255 is one object (255), with 128 where nobody can say; in any other, each
value but 0 is an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamseg.errors import MediaError
from streamseg.masks.image_files import read_values
from streamseg.masks.measures import mask_iou
from streamseg.regular_files import read_regular

_INDEX_MAX_BYTES = 1 << 28

OBJECT, UNDECIDED = 255, 128


@dataclass(frozen=True)
class Photo:
    """A photo and one file of masks on it."""

    kind: str
    """Name of the set it belongs to; empty if the data names none."""
    image: Path
    mask: Path


@dataclass(frozen=True, eq=False)
class TrueMask:
    """One object on a photo."""

    inside: np.ndarray
    """(H, W) bool."""
    counts: np.ndarray
    """(H, W) bool: where the truth is known."""

    def iou(self, found: np.ndarray) -> float:
        """Intersection over union with an (H, W) bool mask, over the pixels that count."""
        return mask_iou(self.inside & self.counts, found & self.counts)


def find_photos(folder: Path, part: tuple[int, int] = (0, 1)) -> list[Photo]:
    """The photos of a folder.

    Args:
        folder: in one of the layouts above.
        part: (k, n): of each set's photos, in order of their paths, those at positions k, k + n, k + 2n, …

    Raises:
        MediaError: there are none, or a mask is missing.
    """
    found = list(_indexed(folder) if (folder / "index.json").is_file() else _paired(folder))
    if not found:
        raise MediaError(f"{folder}: no photos with masks; expected images/ and masks/ in it, or index.json")
    start, step = part
    chosen = set()
    for kind in {photo.kind for photo in found}:
        images = sorted({photo.image for photo in found if photo.kind == kind})
        chosen |= {(kind, image) for image in images[start::step]}
    return [photo for photo in found if (photo.kind, photo.image) in chosen]


def read_rgb(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Raises:
        MediaError: it is not a picture.
    """
    try:
        return read_values(path, ("RGB",), "RGB")
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a picture: {error}") from error


def read_masks(path: Path, min_area: float) -> list[TrueMask]:
    """The objects of a mask file that cover at least a fraction `min_area` of the photo.

    Raises:
        MediaError: it is not a picture.
    """
    try:
        values = read_values(path, ("P", "L", "I;16", "I"), "L")
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a mask: {error}") from error
    known = np.unique(values)
    everywhere = np.ones(values.shape, bool)
    if set(known) <= {0, UNDECIDED, OBJECT}:
        masks = [TrueMask(values == OBJECT, values != UNDECIDED)]
    else:
        masks = [TrueMask(values == value, everywhere) for value in known if value]
    return [mask for mask in masks if np.count_nonzero(mask.inside) >= max(1, min_area * values.size)]


def _indexed(folder: Path) -> Iterator[Photo]:
    try:
        entries = json.loads(read_regular(folder / "index.json", _INDEX_MAX_BYTES))
        for entry in entries:
            image, mask = (_there(folder, entry[key]) for key in ("image", "mask"))
            yield Photo(str(entry.get("set", "")), image, mask)
    except OSError as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{folder}/index.json: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MediaError(f'{folder}/index.json: expected a list of {{"set", "image", "mask"}}: {error!r}') from error


def _there(folder: Path, relative: str) -> Path:
    for base in (folder, folder.parent):
        if (base / relative).is_file():
            return base / relative
    raise MediaError(f"{folder}/index.json names {relative}, which is neither in {folder} nor beside it")


def _paired(folder: Path) -> Iterator[Photo]:
    if not (folder / "images").is_dir():
        return
    for image in sorted(path for path in (folder / "images").iterdir() if path.is_file()):
        mask = folder / "masks" / f"{image.stem}.png"
        if not mask.is_file():
            raise MediaError(f"{image.name} has no mask: expected {mask}")
        yield Photo("", image, mask)
