"""Label Studio: tasks with predictions, rectangles in a video or a brush mask for each object in each frame."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from streamseg.errors import UsageError
from streamseg.formats.annotation import brush
from streamseg.formats.annotation.keyframes import thinned, visible_runs
from streamseg.formats.clip import Clip, ReadClip, need_masks, with_images
from streamseg.formats.files import xml_file
from streamseg.formats.files.images import write_file, write_jpeg
from streamseg.formats.files.json_file import Spools, read_json, writing
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.format import Format, FormatConfig, Option, Quality
from streamseg.formats.shape import Shape, of_mask

ROW = np.dtype([("frame", "<i8"), ("box", "<f8", 4)])
"""A frame counted from 0, and a box x0, y0, x1, y1 in pixels."""
FILE = "tasks.json"
_ID = re.compile(r"object-(\d+)")


class LabelStudio(Format):
    """Label Studio tasks with predictions (tasks.json, config.xml): video rectangles, or brush masks a frame."""

    class Config(FormatConfig, frozen=True):
        """Options of Label Studio."""

        kind: Annotated[
            Literal["video", "brush"],
            Option("video: one task, rectangles with keyframes; brush: a task a frame, exact masks"),
        ] = "video"
        keyframes_px: Annotated[
            float,
            msgspec.Meta(ge=0),
            Option("how far a box between two keyframes may be off the line that is drawn between them", metavar="PX"),
        ] = 1.0
        url: Annotated[
            str, Option("where Label Studio finds the files: what stands before their names", metavar="URL")
        ] = "/data/local-files/?d="
        images: Annotated[bool, Option("write the pictures of the frames too, from the source")] = False
        jpeg_quality: Quality = 95

    holds = "boxes of tracks, or masks; labels"
    read_by = "Label Studio (import the tasks; config.xml is the labeling interface)"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``tasks.json`` and ``config.xml``, and ``images/`` if asked for."""
        for sentence in xml_file.not_held(clip.categories):
            self.note(sentence)
        is_video = self.config.kind == "video"
        write_file(folder / "config.xml", _interface(clip, is_video=is_video))
        path = folder / FILE
        with writing(path), path.open("wb") as file:
            file.write(b"[")
            tasks = self._video(clip, folder) if is_video else self._brushes(clip, folder)
            for number, task in enumerate(tasks):
                file.write(b",\n" * bool(number) + msgspec.json.encode(task))
            file.write(b"]\n")

    def _video(self, clip: Clip, folder: Path) -> Iterator[dict[str, Any]]:
        name = Path(clip.pictures.source).name if clip.pictures is not None else f"{clip.name}.mp4"
        with Spools(folder) as spools:
            for frame in clip:
                for shape in frame.shapes:
                    if shape.box_xyxy is not None:
                        spools.add(shape.id, "box", np.array((frame.position, shape.box_xyxy), ROW).tobytes())
            results = []
            for object_id in clip.objects:
                rows = np.frombuffer(b"".join(spools.read(object_id, "box")), ROW)
                if len(rows):
                    size, length = clip.size, clip.length
                    sequence = keyframes(rows, size, length, clip.fps, self.config.keyframes_px)
                    label = clip.label(object_id)
                    results.append(video_rectangle(f"object-{object_id}", label, sequence, size, length, clip.fps))
        yield {
            "data": {"video": self.config.url + name},
            "predictions": [{"model_version": "streamseg", "result": results}],
        }

    def _brushes(self, clip: Clip, folder: Path) -> Iterator[dict[str, Any]]:
        need_masks(clip, "brush masks")
        for frame, image_rgb in with_images(clip, images=self.config.images):
            name = f"{clip.name}-{frame.position:05d}.jpg"
            if image_rgb is not None:
                write_jpeg(folder / "images" / name, image_rgb, self.config.jpeg_quality)
            results = [
                brush_region(f"object-{shape.id}", clip.label(shape.id), shape.mask)
                for shape in frame.shapes
                if shape.is_there
            ]
            yield {
                "data": {"image": f"{self.config.url}{name}", "frame": frame.position},
                "predictions": [{"model_version": "streamseg", "result": results}],
            }

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The annotations, or else the predictions, of exported tasks."""
        file = path / FILE if path.is_dir() else path
        tasks = read_json(file)
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise UsageError(f"{file}: expected a list of tasks of Label Studio (export as JSON)")
        with taken_from(file, "tasks of Label Studio (export as JSON)"):
            return _clip_of(file, tasks)


def _interface(clip: Clip, *, is_video: bool) -> str:
    labels = "".join(f"    <Label value={xml_file.attribute(name)}/>\n" for name in clip.categories)
    if is_video:
        return (
            f'<View>\n  <Labels name="label" toName="video">\n{labels}  </Labels>\n'
            f'  <Video name="video" value="$video" framerate="{clip.fps:g}"/>\n'
            f'  <VideoRectangle name="box" toName="video"/>\n</View>\n'
        )
    return (
        f'<View>\n  <BrushLabels name="brush" toName="image">\n{labels}  </BrushLabels>\n'
        f'  <Image name="image" value="$image"/>\n</View>\n'
    )


def keyframes(
    rows: np.ndarray, size: tuple[int, int], length: int, fps: float, within_px: float = 1.0
) -> list[dict[str, Any]]:
    """The sequence of a video rectangle: as few keyframes as say where the boxes are.

    Args:
        rows: (N,) of `ROW`, by frames; where one is left out the object is hidden.
        size: (height, width) of the video.
        length: its frames.
        fps: its frames per second.
        within_px: how far a box between two keyframes may be off the line between them.
    """
    height, width = size
    sequence = []
    for first, last in visible_runs(rows["frame"]):
        boxes = rows["box"][first : last + 1]
        for at in thinned(boxes, within_px):
            frame, (x0, y0, x1, y1) = int(rows["frame"][first]) + at, boxes[at].tolist()
            sequence.append(
                {
                    "frame": frame + 1,
                    # From a keyframe that is off the object is hidden, until the next.
                    "enabled": first + at < last or frame + 1 == length,
                    "rotation": 0,
                    "x": x0 / width * 100,
                    "y": y0 / height * 100,
                    "width": (x1 - x0) / width * 100,
                    "height": (y1 - y0) / height * 100,
                    "time": (frame + 1) / fps,
                }
            )
    return sequence


def video_rectangle(
    name: str,
    label: str,
    sequence: list[dict[str, Any]],
    size: tuple[int, int],
    length: int,
    fps: float,
    tags: tuple[str, str] = ("box", "video"),
) -> dict[str, Any]:
    """A region: the track of an object in a video.

    Args:
        name: of the region.
        label: of the object; empty for none.
        sequence: of `keyframes`.
        size: (height, width) of the video.
        length: its frames.
        fps: its frames per second.
        tags: names in the labeling interface, of the rectangle and of the video.
    """
    value = {"framesCount": length, "duration": length / fps, "sequence": sequence, "labels": [label] if label else []}
    return _region(name, "videorectangle", size, value, tags)


def brush_region(name: str, label: str, mask: np.ndarray, tags: tuple[str, str] = ("brush", "image")) -> dict[str, Any]:
    """A region: the mask (H, W) bool of an object in a picture. The rest is as for `video_rectangle`."""
    value = {"format": "rle", "rle": brush.encode(mask), "brushlabels": [label] if label else []}
    found = _region(name, "brushlabels", (mask.shape[0], mask.shape[1]), value, tags)
    return {**found, "image_rotation": 0}


def _region(
    name: str, kind: str, size: tuple[int, int], value: dict[str, Any], tags: tuple[str, str]
) -> dict[str, Any]:
    return {
        "id": name,
        "type": kind,
        "from_name": tags[0],
        "to_name": tags[1],
        "original_width": size[1],
        "original_height": size[0],
        "value": value,
    }


def _clip_of(path: Path, tasks: list[dict[str, Any]]) -> Clip:
    shapes: dict[int, list[Shape]] = defaultdict(list)
    objects: dict[int, str] = {}
    numbers = _numbers(str(each["id"]) for task in tasks for each in _results(task))
    size: tuple[int, int] | None = None
    length = len(tasks) if any("image" in task.get("data", {}) for task in tasks) else 0
    fps = None
    for number, task in enumerate(tasks):
        frame = int(task.get("data", {}).get("frame", number))
        for each in _results(task):
            found = each["type"]
            if found not in ("videorectangle", "brushlabels"):
                continue
            here = (int(each["original_height"]), int(each["original_width"]))
            if size is not None and here != size:
                raise UsageError(f"expected frames of one size, got {size} and {here}")
            size, value = here, each["value"]
            object_id = numbers[str(each["id"])]
            label = str((value.get("labels") or value.get("brushlabels") or [""])[0])
            objects[object_id] = label
            if found == "brushlabels":
                mask = brush.decode(value["rle"], *here)
                shapes[frame].append(of_mask(object_id, mask, label=label))
                continue
            length = max(length, int(value.get("framesCount", 0)))
            if value.get("duration"):
                fps = length / float(value["duration"])
            for at, box in _boxes(value["sequence"], length, here):
                shapes[at].append(Shape(object_id, here, label=label, box_xyxy=box))
    if size is None:
        raise UsageError("expected rectangles in a video or brush masks, there are none")
    return ReadClip(path.stem, size, length, shapes, objects, fps=fps)


def _results(task: dict[str, Any]) -> list[dict[str, Any]]:
    """What people have said, or else what was predicted."""
    done = [each["result"] for each in task.get("annotations") or [] if not each.get("was_cancelled")]
    guessed = [each["result"] for each in task.get("predictions") or []]
    return [entry for entry in (done or guessed or [[]])[0] if "value" in entry]


def _numbers(names: Iterable[str]) -> dict[str, int]:
    """Name of a region -> the id in it, or a free one for a region that a person has drawn."""
    found = {name: _ID.fullmatch(name) for name in names}
    given = {name: int(match[1]) for name, match in found.items() if match is not None}
    free = itertools.count(max(given.values(), default=0) + 1)
    return {name: given[name] if name in given else next(free) for name in found}


def _boxes(sequence: list[dict[str, Any]], length: int, size: tuple[int, int]) -> Iterator[tuple[int, Any]]:
    """(frame, box) of every frame in which a rectangle is on, by the keyframes."""
    keys = sorted(sequence, key=lambda each: int(each["frame"]))
    edges = [_edges(each, size) for each in keys]
    for number, key in enumerate(keys):
        begin = int(key["frame"]) - 1
        yield begin, tuple(edges[number].tolist())
        if not key.get("enabled", True):
            continue
        is_last = number + 1 == len(keys)
        end = length if is_last else int(keys[number + 1]["frame"]) - 1
        goal = edges[number] if is_last else edges[number + 1]
        for at in range(begin + 1, end):
            yield at, tuple((edges[number] + (goal - edges[number]) * (at - begin) / (end - begin)).tolist())


def _edges(key: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    height, width = size
    x, y = key["x"] / 100 * width, key["y"] / 100 * height
    return np.array([x, y, x + key["width"] / 100 * width, y + key["height"] / 100 * height], np.float64)
