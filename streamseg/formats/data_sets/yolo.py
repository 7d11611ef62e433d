"""YOLO of Ultralytics: pictures, a text file of labels beside each, and data.yaml."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import yaml

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, ReadClip, files_of, need_masks, with_images
from streamseg.formats.files.images import write_file, write_jpeg
from streamseg.formats.format import Format, FormatConfig, Option, Quality, Tolerance
from streamseg.formats.shape import Shape, of_mask
from streamseg.masks.image_files import file_size
from streamseg.masks.polygons import fill, one_ring
from streamseg.yaml_files import parse_yaml

_INSIDE = 0.25
"""Where in a pixel a corner lies: readers cut fractions off or round them, and find the same pixel in both ways."""


class Yolo(Format):
    """YOLO segmentation or detection of Ultralytics: images/, labels/, data.yaml."""

    class Config(FormatConfig, frozen=True):
        """Options of YOLO."""

        task: Annotated[Literal["segment", "detect"], Option("polygons or boxes")] = "segment"
        val: Annotated[
            float,
            msgspec.Meta(ge=0, lt=1),
            Option("part of the frames, from the end, that is for validation", metavar="F"),
        ] = 0.2
        parts: Annotated[
            Literal["join", "largest"],
            Option("of objects in several parts, which are one polygon in YOLO: join them by a cut, or leave some out"),
        ] = "join"
        tolerance_px: Tolerance = 0.5
        images: Annotated[bool, Option("write the pictures of the frames too, from the source")] = True
        jpeg_quality: Quality = 95

    holds = "polygons or boxes, labels; no ids"
    read_by = "Ultralytics, supervision, Roboflow, CVAT, Label Studio"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``images/``, ``labels/`` and ``data.yaml``."""
        config = self.config
        if config.task == "segment":
            need_masks(clip, "YOLO's polygons")
        held_out = min(math.ceil(clip.length * config.val), clip.length - 1)
        for frame, image_rgb in with_images(clip, images=config.images):
            part = "train" if frame.position < clip.length - held_out else "val"
            name = f"{clip.name}-{frame.position:05d}"
            if image_rgb is not None:
                write_jpeg(folder / "images" / part / f"{name}.jpg", image_rgb, config.jpeg_quality)
            lines = [self._line(clip, shape) for shape in frame.shapes if shape.is_there]
            write_file(folder / "labels" / part / f"{name}.txt", "".join(lines))
        data = {
            "path": ".",
            "train": "images/train",
            "val": "images/val" if held_out else "images/train",
            "names": dict(enumerate(clip.categories)),
        }
        write_file(folder / "data.yaml", yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
        if not held_out:
            self.note("YOLO wants frames for validation and there are none left: data.yaml names those for training")
        if len(clip.objects) > 1:
            self.note("YOLO has no ids: which object is which is left out")

    def _line(self, clip: Clip, shape: Shape) -> str:
        height, width = clip.size
        if self.config.task == "detect":
            x0, y0, x1, y1 = shape.box_xyxy or (0.0, 0.0, 0.0, 0.0)
            numbers = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
        else:
            found = shape.outline(self.config.tolerance_px, "centers")
            if len(found) > 1 and self.config.parts == "largest":
                self.note(f"object {shape.id} has several parts in some frames: only the largest is in the labels")
                found = found[:1]
            numbers = ((one_ring(found) + _INSIDE) / (width, height)).ravel().tolist()
        return f"{clip.category(shape.id)} {' '.join(f'{number:.6f}' for number in numbers)}\n"

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The labels of a data set, of a folder of them, or of one file. Each line is an object of its own."""
        names = _names(path if path.is_dir() else path.parent)
        files = _label_files(path)
        shapes: dict[int, list[Shape]] = defaultdict(list)
        objects: dict[int, str] = {}
        for index, file in enumerate(files):
            size = size or _size_beside(file)
            if size is None:
                raise UsageError(f"expected to know how large the frames of {path} are; say --size, as in 1280x720")
            for number, line in enumerate(_text(file).splitlines(), 1):
                object_id = len(objects) + 1
                try:
                    shape = _shape(object_id, line.split(), size, names)
                except (ValueError, IndexError) as error:
                    raise UsageError(f"{file}, line {number}: expected a line of YOLO, got: {error}") from error
                shapes[index].append(shape)
                objects[object_id] = shape.label
        notes = ["YOLO has no ids: each line is an object of its own"] if len(files) > 1 else []
        return ReadClip(path.stem, size or (0, 0), len(files), shapes, objects, notes=notes)


def _shape(object_id: int, words: list[str], size: tuple[int, int], names: dict[int, str]) -> Shape:
    height, width = size
    label = names.get(int(words[0]), words[0])
    numbers = np.array([float(word) for word in words[1:]])
    if not np.isfinite(numbers).all():
        raise ValueError("numbers that are not finite")
    if len(numbers) in (4, 5):
        x, y, w, h = numbers[:4] * (width, height, width, height)
        box = (float(x - w / 2), float(y - h / 2), float(x + w / 2), float(y + h / 2))
        return Shape(object_id, size, label=label, box_xyxy=box)
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers")
    points = np.floor(numbers.reshape(-1, 2) * (width, height) + _INSIDE / 2)
    return of_mask(object_id, fill([points], height, width, "centers"), label=label)


def _label_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    labels = path / "labels"
    folders = [labels / part for part in ("train", "val", "test") if (labels / part).is_dir()] or [
        labels if labels.is_dir() else path
    ]
    found = [file for folder in folders for file in files_of(folder, ".txt") if file.name != "classes.txt"]
    if not found:
        raise UsageError(f"expected labels of YOLO in {path}, there is no .txt file; name the folder with data.yaml")
    return found


def _size_beside(file: Path) -> tuple[int, int] | None:
    """(height, width) of the picture that a file of labels is about, if it is there."""
    folder = Path(*("images" if part == "labels" else part for part in file.parent.parts))
    for suffix in (".jpg", ".jpeg", ".png"):
        picture = folder / f"{file.stem}{suffix}"
        if picture.is_file():
            try:
                width, height = file_size(picture)
            except (OSError, ValueError) as error:
                raise MediaError(f"{picture}: cannot be read as a picture: {error}") from error
            return height, width
    return None


def _names(folder: Path) -> dict[int, str]:
    """Number -> name of the classes; none if no data.yaml is found on the way up."""
    for each in (folder, folder.parent, folder.parent.parent):
        if (each / "data.yaml").is_file():
            try:
                data: Any = parse_yaml(_text(each / "data.yaml"))
                names = data["names"]
                pairs = names.items() if isinstance(names, dict) else enumerate(names)
                return {int(number): str(name) for number, name in pairs}
            except (ValueError, TypeError, KeyError) as error:
                raise UsageError(f"{each / 'data.yaml'}: expected 'names' of classes, got: {error!r}") from error
    return {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected text in UTF-8, got: {error}") from error
