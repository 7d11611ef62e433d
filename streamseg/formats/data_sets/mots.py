"""MOTS (KITTI MOTS, MOTSChallenge): a line of text with run lengths for each object in each frame, or 16-bit PNGs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, ReadClip, files_of, need_masks, with_images
from streamseg.formats.files.id_pictures import clip_of_pictures, read_ids
from streamseg.formats.files.id_writer import IdWriter
from streamseg.formats.files.images import write_file, write_jpeg
from streamseg.formats.files.json_file import writing
from streamseg.formats.format import Format, FormatConfig, Images, Option, Quality
from streamseg.formats.shape import Shape

_CLASS = 1000
"""What the number of a class is multiplied by, to be added to that of an object."""
_IGNORED = 10_000
_MOST_CLASSES = 64
LABELS = "labels.txt"
"""Number and name of each class, a line each; not a part of the format, which knows numbers alone."""


class Mots(Format):
    """MOTS text (NAME.txt) and KITTI's PNGs (instances/NAME/): class * 1000 + id."""

    class Config(FormatConfig, frozen=True):
        """Options of MOTS."""

        files: Annotated[Literal["both", "text", "png"], Option("which of the two ways to write masks")] = "both"
        first_frame: Annotated[
            Literal[0, 1], Option("number of the first frame: 0 in KITTI, 1 in MOTSChallenge", metavar="0|1")
        ] = 0
        images: Images = False
        jpeg_quality: Quality = 95

    holds = "masks, classes, tracks; ids up to 999"
    read_by = "mots_tools, TrackEval, CVAT"

    @property
    def largest_id(self) -> int | None:
        """Three digits are for the object."""
        return _CLASS - 1

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME.txt``, ``instances/NAME/``, ``labels.txt``, and ``images/NAME/`` if asked for."""
        need_masks(clip, "MOTS")
        names, config = clip.categories, self.config
        if len(names) > _MOST_CLASSES:
            raise UsageError(f"expected at most {_MOST_CLASSES} labels in MOTS, got {len(names)}; use fewer")
        write_file(folder / LABELS, "".join(f"{n} {name}\n" for n, name in enumerate(names, 1)))
        numbers = {each: (clip.category(each) + 1) * _CLASS + each for each in clip.objects}
        path = folder / f"{clip.name}.txt"
        height, width = clip.size
        with writing(path), path.open("w", encoding="ascii") as text, IdWriter(clip.size, np.uint16) as pictures:
            for frame, image_rgb in with_images(clip, images=config.images):
                number = frame.position + config.first_frame
                if image_rgb is not None:
                    write_jpeg(folder / "images" / clip.name / f"{number:06d}.jpg", image_rgb, config.jpeg_quality)
                there = [(numbers[shape.id], shape) for shape in frame.shapes if shape.is_there]
                for value, shape in there if config.files != "png" else ():
                    text.write(f"{number} {value} {value // _CLASS} {height} {width} {shape.text}\n")
                if config.files != "text":
                    picture = pictures.blank()
                    for value, shape in there:
                        shape.paint(picture, value)
                    pictures.write(folder / "instances" / clip.name / f"{number:06d}.png", picture)
        if config.files == "png":
            path.unlink()

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The masks of a MOTS text file, or of a folder of its PNGs. Regions to be ignored are left out."""
        folder = path if path.is_dir() else path.parent
        labels = _labels(folder)
        if path.is_dir() and not files_of(path, ".png"):
            texts = [each for each in files_of(path, ".txt") if each.name != LABELS]
            if len(texts) == 1:
                return _of_text(texts[0], labels)
            inside = sorted(each for each in (path / "instances").glob("*") if each.is_dir())
            if len(inside) != 1:
                raise UsageError(
                    f"expected a MOTS text file or a folder of its PNGs, {path} has {len(texts)} and {len(inside)}; "
                    f"name one"
                )
            path = inside[0]
        if not path.is_dir():
            return _of_text(path, labels)
        files = files_of(path, ".png")
        labels = labels or _labels(path.parent.parent)
        pictures = ((each, _ids_of(read_ids(each))) for each in files)
        classes = {int(v) % _CLASS: int(v) // _CLASS for each in files for v in np.unique(read_ids(each)) if v}
        return clip_of_pictures(path.name, pictures, {each: labels.get(n, "") for each, n in classes.items()})


def _ids_of(values: np.ndarray) -> np.ndarray:
    return np.where(values == _IGNORED, 0, values % _CLASS).astype(np.uint16)


def _labels(folder: Path) -> dict[int, str]:
    """Number -> name of the classes; none without the file."""
    try:
        lines = (folder / LABELS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = [line.split(" ", 1) for line in lines]
    return {int(pair[0]): pair[1] for pair in pairs if len(pair) == 2 and pair[0].isdecimal()}


def _of_text(path: Path, labels: dict[int, str]) -> Clip:
    shapes: dict[int, list[Shape]] = defaultdict(list)
    objects: dict[int, str] = {}
    size: tuple[int, int] | None = None
    try:
        with path.open(encoding="ascii") as file:
            for number, line in enumerate(file, 1):
                try:
                    frame, value, kind, height, width, text = line.split()
                    here = (int(height), int(width))
                    if int(value) == _IGNORED:
                        continue
                    object_id = int(value) % _CLASS
                    shape = Shape(object_id, here, label=labels.get(int(kind), ""), text=text)
                    _ = shape.mask
                except ValueError as error:
                    raise UsageError(
                        f"{path}, line {number}: expected frame, id, class, height, width and run lengths, got: {error}"
                    ) from error
                if size is not None and here != size:
                    raise UsageError(f"{path}, line {number}: expected frames of one size {size}, got {here}")
                size = here
                shapes[int(frame)].append(shape)
                objects[object_id] = shape.label
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected MOTS text, got: {error}") from error
    if size is None:
        raise UsageError(f"{path}: expected masks in a MOTS file, there are none")
    # KITTI counts frames from 0, MOTSChallenge from 1, and nothing says which it is but the first frame.
    first = 1 if 0 not in shapes else 0
    return ReadClip(path.stem, size, 0, {frame - first: each for frame, each in shapes.items()}, objects)
