"""Video sequences with true masks, in the layouts people have them.

- official DAVIS: ``JPEGImages/480p/<seq>/*.jpg`` and ``Annotations/480p/<seq>/*.png`` (or another resolution's folder);
- one folder a sequence: ``<seq>/video.*`` or ``<seq>/frames/``, and ``<seq>/masks/*.png``.

A mask file is a palette or gray image of object ids. A file whose only values are 0 and 255 is one object, id 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamseg.errors import MediaError
from streamseg.masks.image_files import read_values

VIDEO_ENDINGS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})
VOID = 255
"""Value of pixels that count for nothing, in files with object ids."""


@dataclass(frozen=True)
class Sequence:
    """A video and the masks of its frames, one file a frame."""

    name: str
    source: Path
    """A video file or a folder of images."""
    mask_files: tuple[Path, ...]


def find_sequences(dataset: Path, names: list[str] | None = None) -> list[Sequence]:
    """The sequences of a dataset, by name.

    Args:
        dataset: its folder.
        names: only these.

    Raises:
        MediaError: there are none, or one of `names` is missing.
    """
    found = {sequence.name: sequence for sequence in (_official(dataset) or _one_folder_each(dataset))}
    if not found:
        raise MediaError(
            f"{dataset}: no sequences found; expected JPEGImages/480p/<seq> and Annotations/480p/<seq>, "
            f"or <seq>/video.mp4 (or <seq>/frames/) with <seq>/masks/"
        )
    missing = [name for name in names or [] if name not in found]
    if missing:
        raise MediaError(f"{dataset}: no sequence {missing[0]!r}; there are {', '.join(sorted(found))}")
    return [found[name] for name in sorted(names or found)]


def read_ids(path: Path) -> np.ndarray:
    """(H, W) uint16 object ids of a mask file; void pixels are 0.

    Raises:
        MediaError: it is not a picture.
    """
    try:
        ids = read_values(path, ("P", "L", "I;16"), "L")
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a mask: {error}") from error
    if set(np.unique(ids)) <= {0, VOID}:
        return np.asarray(ids == VOID, np.uint16)
    return np.where(ids == VOID, 0, ids).astype(np.uint16)


def _official(dataset: Path) -> list[Sequence]:
    pictures, masks = dataset / "JPEGImages", dataset / "Annotations"
    if not (pictures.is_dir() and masks.is_dir()):
        return []
    sizes = sorted(folder.name for folder in pictures.iterdir() if (masks / folder.name).is_dir())
    size = "480p" if "480p" in sizes else sizes[0] if sizes else "."
    folders = sorted(folder for folder in (masks / size).iterdir() if (pictures / size / folder.name).is_dir())
    return [_sequence(folder.name, pictures / size / folder.name, folder) for folder in folders]


def _one_folder_each(dataset: Path) -> list[Sequence]:
    if not dataset.is_dir():
        return []
    found = []
    for folder in sorted(path for path in dataset.iterdir() if (path / "masks").is_dir()):
        videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_ENDINGS)
        frames = folder / "frames"
        if videos or frames.is_dir():
            found.append(_sequence(folder.name, videos[0] if videos else frames, folder / "masks"))
    return found


def _sequence(name: str, source: Path, masks: Path) -> Sequence:
    return Sequence(name, source, tuple(sorted(masks.glob("*.png"))))
