"""YouTube-VIS (COCO-VID): a JSON file in which an annotation is a track, with a mask for each frame or null."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ReadClip, need_masks, with_images
from streamseg.formats.data_sets.coco import categories, segmentation, shape_of_segmentation
from streamseg.formats.files.images import write_jpeg
from streamseg.formats.files.json_file import JsonFile, Spools, check_keys, read_json
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.format import Format, FormatConfig, Images, Quality
from streamseg.formats.shape import Shape

_KINDS = ("segmentations", "bboxes", "areas")


class YoutubeVis(Format):
    """YouTube-VIS (instances.json): one annotation a track, null where the object is not to be seen."""

    class Config(FormatConfig, frozen=True):
        """Options of YouTube-VIS."""

        images: Images = False
        jpeg_quality: Quality = 95

    holds = "masks, boxes, labels, tracks"
    read_by = "the YouTube-VIS API, MMTracking, Detectron2 projects for video"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``instances.json``, and ``JPEGImages/NAME/`` if asked for."""
        need_masks(clip, "YouTube-VIS")
        height, width = clip.size
        names = [f"{clip.name}/{position:05d}.jpg" for position in range(clip.length)]
        video = {"id": 1, "width": width, "height": height, "length": clip.length, "file_names": names}
        head = {"info": {"description": clip.name}, "licenses": [], "videos": [video], "categories": categories(clip)}
        ids = list(clip.objects)
        with Spools(folder) as spools, JsonFile(folder / "instances.json", head, "annotations") as file:
            for frame, image_rgb in with_images(clip, images=self.config.images):
                if image_rgb is not None:
                    write_jpeg(folder / "JPEGImages" / names[frame.position], image_rgb, self.config.jpeg_quality)
                there = {shape.id: shape for shape in frame.shapes if shape.is_there}
                for object_id in ids:
                    for kind, value in zip(_KINDS, _values(there.get(object_id)), strict=True):
                        spools.add(object_id, kind, (b"," if frame.position else b"") + msgspec.json.encode(value))
            for number, object_id in enumerate(ids, 1):
                begin = {
                    "id": number,
                    "video_id": 1,
                    "category_id": clip.category(object_id) + 1,
                    "iscrowd": 0,
                    "track_id": object_id,
                    "width": width,
                    "height": height,
                    "length": clip.length,
                }
                pieces = [msgspec.json.encode(begin)[:-1]]
                for kind in _KINDS:
                    pieces += [f',"{kind}":['.encode(), *spools.read(object_id, kind), b"]"]
                file.add_encoded("annotations", *pieces, b"}")

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The tracks of a YouTube-VIS file with one video."""
        data = read_json(path / "instances.json" if path.is_dir() else path)
        check_keys(path, data, "videos", "annotations")
        with taken_from(path, "YouTube-VIS"):
            return _clip_of(path, data)


def _values(shape: Shape | None) -> tuple[Any, Any, Any]:
    if shape is None or shape.box_xyxy is None:
        return (None, None, None)
    x0, y0, x1, y1 = shape.box_xyxy
    return (segmentation(shape), [x0, y0, x1 - x0, y1 - y0], shape.area_px)


def _clip_of(path: Path, data: dict[str, Any]) -> Clip:
    if len(data["videos"]) != 1:
        raise UsageError(f"expected one video, got {len(data['videos'])}; export one at a time")
    video = data["videos"][0]
    size = (int(video["height"]), int(video["width"]))
    names = {each["id"]: str(each["name"]) for each in data.get("categories", [])}
    shapes: dict[int, list[Shape]] = defaultdict(list)
    objects: dict[int, str] = {}
    for each in data["annotations"]:
        object_id = int(each.get("track_id", each["id"]))
        objects[object_id] = names.get(each.get("category_id"), "")
        for index, mask in enumerate(each["segmentations"]):
            if mask:
                shapes[index].append(shape_of_segmentation(object_id, mask, size, label=objects[object_id]))
    return ReadClip(path.stem, size, int(video.get("length") or len(video["file_names"])), shapes, objects)
