"""COCO instances: a JSON file for all frames, each object in each frame an annotation."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ClipFrame, ReadClip, need_masks, with_images
from streamseg.formats.files.images import write_jpeg
from streamseg.formats.files.json_file import JsonFile, check_keys, read_json
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.format import Format, FormatConfig, Geometry, Images, Option, Quality, Tolerance
from streamseg.formats.shape import Shape, of_mask
from streamseg.masks import rle
from streamseg.masks.polygons import fill, rings


class Coco(Format):
    """COCO instances (instances.json), each annotation with its track."""

    class Config(FormatConfig, frozen=True):
        """Options of COCO."""

        geometry: Geometry = "masks"
        tolerance_px: Tolerance = 0.5
        crowd: Annotated[
            bool, Option("mark run lengths as iscrowd, as COCO's own files do; most readers want them without")
        ] = False
        images: Images = False
        jpeg_quality: Quality = 95

    holds = "masks, boxes, labels, scores, tracks"
    read_by = "pycocotools, Detectron2, MMDetection, FiftyOne, CVAT, Label Studio"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``instances.json``, and ``images/`` if asked for."""
        need_masks(clip, "COCO instances")
        numbers = itertools.count(1)
        height, width = clip.size
        head = {
            "info": {"description": clip.name, "version": "1.0"},
            "licenses": [],
            "videos": [{"id": 1, "name": clip.name, "width": width, "height": height, "length": clip.length}],
            "categories": categories(clip),
        }
        with JsonFile(folder / "instances.json", head, "images", "annotations") as file:
            for frame, image_rgb in with_images(clip, images=self.config.images):
                name = f"{frame.position:05d}.jpg"
                if image_rgb is not None:
                    write_jpeg(folder / "images" / name, image_rgb, self.config.jpeg_quality)
                file.add(
                    "images",
                    {
                        "id": frame.position + 1,
                        "file_name": name,
                        "width": width,
                        "height": height,
                        "video_id": 1,
                        "frame_id": frame.position,
                        "frame": frame.index,
                        "pts_s": frame.pts_s,
                    },
                )
                for shape in frame.shapes:
                    if shape.is_there:
                        file.add("annotations", self._annotation(clip, frame, shape, next(numbers)))

    def _annotation(self, clip: Clip, frame: ClipFrame, shape: Shape, number: int) -> dict[str, Any]:
        x0, y0, x1, y1 = shape.box_xyxy or (0.0, 0.0, 0.0, 0.0)
        is_rle = self.config.geometry == "masks"
        found: dict[str, Any] = {
            "id": number,
            "image_id": frame.position + 1,
            "category_id": clip.category(shape.id) + 1,
            "segmentation": segmentation(shape) if is_rle else polygons(shape, self.config.tolerance_px),
            "area": shape.area_px,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "iscrowd": int(is_rle and self.config.crowd),
            "track_id": shape.id,
            "video_id": 1,
            "state": shape.state,
        }
        return found if shape.score is None else {**found, "score": shape.score}

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The annotations of a COCO file; those without a track are objects of their own."""
        data = read_json(path / "instances.json" if path.is_dir() else path)
        check_keys(path, data, "images", "annotations")
        with taken_from(path, "COCO instances"):
            return _clip_of(path, data)


def categories(clip: Clip) -> list[dict[str, Any]]:
    """The labels as COCO has them, numbers from 1."""
    return [{"id": n, "name": name, "supercategory": ""} for n, name in enumerate(clip.categories, 1)]


def segmentation(shape: Shape) -> dict[str, Any]:
    """The mask of a shape as COCO has it."""
    return {"size": list(shape.size), "counts": shape.text}


def polygons(shape: Shape, tolerance_px: float) -> list[list[float]]:
    """The parts of a mask as COCO has them: x, y, x, y, …"""
    return [ring.ravel().round(2).tolist() for ring in rings(shape.outline(tolerance_px))]


def shape_of_segmentation(object_id: int, data: Any, size: tuple[int, int], **more: Any) -> Shape:
    """The shape of run lengths or polygons as COCO has them.

    Raises:
        UsageError: they are of another size, or none.
    """
    if isinstance(data, list):
        return of_mask(object_id, fill([np.array(each, np.float64).reshape(-1, 2) for each in data], *size), **more)
    if tuple(data["size"]) != size:
        raise UsageError(f"expected masks of {size[1]}x{size[0]} pixels, got size {data['size']}; the frames differ")
    counts = data["counts"]
    counts = rle.decompress(counts) if isinstance(counts, (str, bytes)) else counts
    # Read in full now: an error is said with the file.
    return of_mask(object_id, rle.decode(counts, *size), **more)


def _clip_of(path: Path, data: dict[str, Any]) -> Clip:
    images = {each["id"]: each for each in data["images"]}
    if not images:
        raise UsageError("expected frames, there are none in 'images'")
    sizes = {(each["height"], each["width"]) for each in images.values()}
    if len(sizes) > 1:
        raise UsageError(f"expected frames of one size, got {sorted(sizes)}; export one video at a time")
    videos = {each.get("video_id") for each in images.values()}
    if len(videos) > 1:
        raise UsageError(f"expected one video, got {len(videos)}; export one at a time")
    size = sizes.pop()
    names = {each["id"]: str(each["name"]) for each in data.get("categories", [])}
    ordered = sorted(images.values(), key=lambda each: (each.get("frame_id", 0), str(each.get("file_name", ""))))
    index = {each["id"]: each.get("frame", each.get("frame_id", n)) for n, each in enumerate(ordered)}
    shapes: dict[int, list[Shape]] = defaultdict(list)
    objects: dict[int, str] = {}
    taken = {each["track_id"] for each in data["annotations"] if "track_id" in each}
    free = (number for number in itertools.count(1) if number not in taken)
    for each in data["annotations"]:
        object_id = int(each["track_id"]) if "track_id" in each else next(free)
        label = names.get(each.get("category_id"), "")
        shape = _shape(object_id, each, size, label)
        if shape is not None:
            shapes[index[each["image_id"]]].append(shape)
            objects[object_id] = label
    return ReadClip(path.stem, size, len(images), shapes, objects)


def _shape(object_id: int, each: dict[str, Any], size: tuple[int, int], label: str) -> Shape | None:
    more: dict[str, Any] = {"label": label, "score": each.get("score"), "state": each.get("state", "TRACKED")}
    if each.get("segmentation"):
        return shape_of_segmentation(object_id, each["segmentation"], size, **more)
    if each.get("bbox"):
        x, y, w, h = map(float, each["bbox"])
        return Shape(object_id, size, box_xyxy=(x, y, x + w, y + h), **more)
    return None
