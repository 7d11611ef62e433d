"""LabelMe: a JSON file beside the picture of each frame, with polygons or masks."""

from __future__ import annotations

import base64
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import msgspec
import numpy as np

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ReadClip, files_of, need_masks, with_images
from streamseg.formats.files.images import write_file, write_jpeg
from streamseg.formats.files.json_file import check_keys, read_json
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.format import Format, FormatConfig, Geometry, Option, Quality, Tolerance
from streamseg.formats.shape import Shape, of_mask
from streamseg.masks.image_files import decode_image
from streamseg.masks.polygons import fill, rings


class Labelme(Format):
    """LabelMe: NAME-00000.json beside NAME-00000.jpg, the id of the object as its group."""

    class Config(FormatConfig, frozen=True):
        """Options of LabelMe."""

        geometry: Geometry = "polygons"
        tolerance_px: Tolerance = 0.5
        images: Annotated[bool, Option("write the pictures of the frames too, from the source")] = True
        jpeg_quality: Quality = 95

    holds = "polygons or masks, labels, ids as groups"
    read_by = "LabelMe, X-AnyLabeling, labelme2coco, datumaro"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write a JSON file for each frame, and its picture."""
        need_masks(clip, "LabelMe")
        height, width = clip.size
        for frame, image_rgb in with_images(clip, images=self.config.images):
            name = f"{clip.name}-{frame.position:05d}"
            if image_rgb is not None:
                write_jpeg(folder / f"{name}.jpg", image_rgb, self.config.jpeg_quality)
            shapes = [entry for shape in frame.shapes if shape.is_there for entry in self._entries(clip, shape)]
            data: dict[str, Any] = {
                "version": "5.5.0",
                "flags": {},
                "shapes": shapes,
                "imagePath": f"{name}.jpg",
                "imageData": None,
                "imageHeight": height,
                "imageWidth": width,
            }
            write_file(folder / f"{name}.json", msgspec.json.format(msgspec.json.encode(data), indent=2))

    def _entries(self, clip: Clip, shape: Shape) -> list[dict[str, Any]]:
        same = {"label": clip.label(shape.id), "group_id": shape.id, "description": shape.state, "flags": {}}
        if self.config.geometry == "masks":
            x0, y0, x1, y1 = (int(edge) for edge in shape.box_xyxy or (0, 0, 1, 1))
            crop = shape.crop.astype(np.uint8) * 255
            png = base64.b64encode(cv2.imencode(".png", crop)[1].tobytes()).decode("ascii")
            return [{**same, "shape_type": "mask", "points": [[x0, y0], [x1 - 1, y1 - 1]], "mask": png}]
        found = rings(shape.outline(self.config.tolerance_px, "centers"))
        return [{**same, "shape_type": "polygon", "points": ring.tolist(), "mask": None} for ring in found]

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The polygons, masks and rectangles in a file or a folder of files; shapes of a group are one object."""
        files = files_of(path, ".json") if path.is_dir() else [path]
        if not files:
            raise UsageError(f"expected JSON files of LabelMe in {path}, there are none")
        shapes: dict[int, list[Shape]] = defaultdict(list)
        objects: dict[int, str] = {}
        sizes = set()
        for index, file in enumerate(files):
            data = read_json(file)
            check_keys(file, data, "shapes", "imageHeight", "imageWidth")
            with taken_from(file, "shapes of LabelMe"):
                size = (int(data["imageHeight"]), int(data["imageWidth"]))
                for object_id, label, mask in _masks(data["shapes"], size):
                    shapes[index].append(of_mask(object_id, mask, label=label))
                    objects[object_id] = label
            sizes.add(size)
        if len(sizes) > 1:
            raise UsageError(f"expected frames of one size in {path}, got {sorted(sizes)}; name one video's files")
        return ReadClip(path.stem, size or (0, 0), len(files), shapes, objects)


def _masks(entries: list[dict[str, Any]], size: tuple[int, int]) -> list[tuple[int, str, np.ndarray]]:
    found: dict[int, tuple[int, str, np.ndarray]] = {}
    free = max((int(each.get("group_id") or 0) for each in entries), default=0) + 1
    for each in entries:
        object_id = int(each.get("group_id") or 0)
        if not object_id:
            object_id, free = free, free + 1
        mask = _mask(each, size)
        before = found.get(object_id)
        found[object_id] = (object_id, str(each["label"]), mask if before is None else mask | before[2])
    return list(found.values())


def _mask(each: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    kind, points = each.get("shape_type", "polygon"), np.array(each["points"], np.float64).reshape(-1, 2)
    if kind == "polygon":
        return fill([points], *size, "centers")
    mask = np.zeros(size, bool)
    (x0, y0), (x1, y1) = np.rint(points[:2].min(0)).astype(int), np.rint(points[:2].max(0)).astype(int)
    if kind == "rectangle":
        mask[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1] = True
    elif kind == "mask":
        crop = decode_image(base64.b64decode(each["mask"], validate=True), cv2.IMREAD_GRAYSCALE) > 0
        if min(x0, y0) < 0 or mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]].shape != crop.shape:
            raise ValueError(f"a mask of {crop.shape[1]}x{crop.shape[0]} pixels at {x0}, {y0}, beyond the frame")
        mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    else:
        raise ValueError(f"a shape of type {kind!r}; polygons, masks and rectangles are read")
    return mask
