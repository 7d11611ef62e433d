"""JSON as SAM 2's data set SA-V has it: a list of frames, each a list with a mask for every object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ReadClip, need_masks
from streamseg.formats.data_sets.coco import segmentation, shape_of_segmentation
from streamseg.formats.files.json_file import JsonFile, check_keys, read_json
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.format import Format
from streamseg.formats.shape import Shape


class SaV(Format):
    """SA-V of SAM 2 (NAME_manual.json): masklets, run lengths of every object in every frame."""

    holds = "masks, tracks, labels beside"
    read_by = "SAM 2's sav_dataset and training"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``NAME_manual.json``."""
        need_masks(clip, "SA-V")
        height, width = clip.size
        ids = list(clip.objects)
        first: dict[int, int] = {}
        area: dict[int, int] = dict.fromkeys(ids, 0)
        pixels = height * width
        with JsonFile(folder / f"{clip.name}_manual.json", _head(clip), "masklet") as file:
            for frame in clip:
                there = {shape.id: shape for shape in frame.shapes}
                for shape in there.values():
                    if shape.is_there:
                        first.setdefault(shape.id, frame.position)
                        area[shape.id] += shape.area_px
                empty = [Shape(each, clip.size, text="") for each in ids]
                file.add("masklet", [segmentation(there.get(each.id, each)) for each in empty])
            file.head |= {
                "masklet_first_appeared_frame": [float(first.get(each, -1)) for each in ids],
                "masklet_size_rel": [area[each] / max(1, clip.length * pixels) for each in ids],
            }

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The masklets of a file."""
        if path.is_dir():
            files = sorted(path.glob("*_manual.json")) or sorted(path.glob("*_auto.json"))
            if len(files) != 1:
                raise UsageError(f"expected one file of SA-V in {path}, got {len(files)}; name it")
            path = files[0]
        data = read_json(path)
        check_keys(path, data, "masklet", "video_height", "video_width")
        with taken_from(path, "masklets of SA-V"):
            return _clip_of(path, data)


def _head(clip: Clip) -> dict[str, Any]:
    height, width = clip.size
    return {
        "video_id": clip.name,
        "video_duration": clip.length / clip.fps,
        "video_frame_count": float(clip.length),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "masklet_annotated_frame_count": clip.length,
        "masklet_num": len(clip.objects),
        "masklet_id": list(clip.objects),
        "masklet_type": ["auto"] * len(clip.objects),
        "masklet_labels": [clip.label(each) for each in clip.objects],
    }


def _clip_of(path: Path, data: dict[str, Any]) -> Clip:
    size = (int(data["video_height"]), int(data["video_width"]))
    count = len(data["masklet"][0]) if data["masklet"] else 0
    # SA-V itself counts objects from 0.
    ids = [int(each) for each in data.get("masklet_id", range(count))]
    ids = [each + 1 for each in ids] if 0 in ids else ids
    labels = [str(each) for each in data.get("masklet_labels", [""] * len(ids))]
    shapes: dict[int, list[Shape]] = {}
    for index, masks in enumerate(data["masklet"]):
        found = zip(ids, labels, masks, strict=True)
        shapes[index] = [shape_of_segmentation(each, mask, size, label=label) for each, label, mask in found]
    return ReadClip(path.stem, size, len(data["masklet"]), shapes, dict(zip(ids, labels, strict=True)))
