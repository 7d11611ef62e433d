"""CVAT for video 1.1: tracks of boxes, polygons or masks in one XML file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO
from xml.etree.ElementTree import Element

import msgspec
import numpy as np

from streamseg.errors import UsageError
from streamseg.formats.annotation.keyframes import thinned, visible_runs
from streamseg.formats.clip import Clip, ReadClip, need_masks
from streamseg.formats.files import xml_file
from streamseg.formats.files.json_file import Spools, writing
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.files.xml_file import number_in, parse_xml
from streamseg.formats.format import Format, FormatConfig, Option, Tolerance
from streamseg.formats.shape import Shape, of_mask
from streamseg.masks.polygons import fill, one_ring

_ROW = np.dtype([("frame", "<i8"), ("box", "<f8", 4)])
FILE = "annotations.xml"


class Cvat(Format):
    """CVAT for video 1.1 (annotations.xml): tracks, outside where the object is lost."""

    class Config(FormatConfig, frozen=True):
        """Options of CVAT."""

        shape: Annotated[
            Literal["box", "polygon", "mask"],
            Option("box: tracks with few keyframes; polygon: a keyframe a frame; mask: exact, a track a frame"),
        ] = "mask"
        keyframes_px: Annotated[
            float,
            msgspec.Meta(ge=0),
            Option("how far a box between two keyframes may be off the line that CVAT draws", metavar="PX"),
        ] = 1.0
        tolerance_px: Tolerance = 0.5

    holds = "masks, polygons or boxes, labels, tracks"
    read_by = "CVAT, datumaro"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``annotations.xml``, to be uploaded to a task with the same video."""
        for sentence in xml_file.not_held(clip.categories):
            self.note(sentence)
        path = folder / FILE
        with writing(path), Spools(folder) as spools, path.open("w", encoding="utf-8") as file:
            _write_head(file, clip)
            if self.config.shape == "box":
                self._write_boxes(file, clip, spools)
            else:
                need_masks(clip, f"CVAT's {self.config.shape}s")
                self._write_masks(file, clip, spools)
            file.write("</annotations>\n")

    def _write_boxes(self, file: TextIO, clip: Clip, spools: Spools) -> None:
        for frame in clip:
            for shape in frame.shapes:
                if shape.box_xyxy is not None:
                    spools.add(shape.id, "box", np.array((frame.position, shape.box_xyxy), _ROW).tobytes())
        for object_id in clip.objects:
            rows = np.frombuffer(b"".join(spools.read(object_id, "box")), _ROW)
            if not len(rows):
                continue
            file.write(_track(clip, object_id))
            for first, last in visible_runs(rows["frame"]):
                boxes = rows["box"][first : last + 1]
                keys = set(thinned(boxes, self.config.keyframes_px))
                for at, box in enumerate(boxes):
                    file.write(_box(int(rows["frame"][first]) + at, box, key=at in keys, outside=False))
                after = int(rows["frame"][last]) + 1
                if after < clip.length:
                    file.write(_box(after, boxes[-1], key=True, outside=True))
            file.write("  </track>\n")

    def _write_masks(self, file: TextIO, clip: Clip, spools: Spools) -> None:
        before: dict[int, str] = {}
        for frame in clip:
            there = {shape.id: shape for shape in frame.shapes if shape.is_there}
            if self.config.shape == "mask":
                for shape in there.values():
                    file.write(_track(clip, shape.id) + _mask(shape, frame.position, clip.length) + "  </track>\n")
                continue
            for object_id in set(before) - set(there):
                spools.add(object_id, "polygon", _polygon(before[object_id], frame.position, outside=True))
            before = {each: self._points(shape) for each, shape in there.items()}
            for object_id, points in before.items():
                spools.add(object_id, "polygon", _polygon(points, frame.position, outside=False))
        for object_id in clip.objects if self.config.shape == "polygon" else ():
            pieces = [piece.decode() for piece in spools.read(object_id, "polygon")]
            if any(pieces):
                file.writelines([_track(clip, object_id), *pieces, "  </track>\n"])

    def _points(self, shape: Shape) -> str:
        ring = one_ring(shape.outline(self.config.tolerance_px))
        return ";".join(f"{x:.2f},{y:.2f}" for x, y in ring)

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The tracks of a file of CVAT for video. Boxes between keyframes are on the line between them."""
        path = path / FILE if path.is_dir() else path
        root = parse_xml(path, "annotations")
        with taken_from(path, "CVAT for video 1.1"):
            return _clip_of(path, root, size)


def row_runs(mask: np.ndarray) -> list[int]:
    """Run lengths row by row, of 0, 1, 0, …, of an (h, w) bool mask."""
    pixels = np.ascontiguousarray(mask).ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = [0, *([0] if pixels[0] else []), *changes.tolist(), pixels.size]
    return np.diff(edges).tolist()


def _write_head(file: TextIO, clip: Clip) -> None:
    labels = "".join(
        f"<label><name>{xml_file.text(name)}</name><attributes></attributes></label>" for name in clip.categories
    )
    height, width = clip.size
    file.write(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task>'
        f"<name>{xml_file.text(clip.name)}</name><size>{clip.length}</size><mode>interpolation</mode><overlap>0</overlap>"
        f"<start_frame>0</start_frame><stop_frame>{clip.length - 1}</stop_frame><labels>{labels}</labels>"
        f"<original_size><width>{width}</width><height>{height}</height></original_size></task></meta>\n"
    )


def _track(clip: Clip, object_id: int) -> str:
    # CVAT numbers tracks anew; the group stays.
    label = xml_file.attribute(clip.label(object_id))
    return f'  <track id="{object_id}" label={label} source="auto" group_id="{object_id}">\n'


def _box(frame: int, box: np.ndarray, *, key: bool, outside: bool) -> str:
    x0, y0, x1, y1 = box
    return (
        f'    <box frame="{frame}" keyframe="{key:d}" outside="{outside:d}" occluded="0" xtl="{x0:.2f}" ytl="{y0:.2f}" '
        f'xbr="{x1:.2f}" ybr="{y1:.2f}" z_order="0"></box>\n'
    )


def _polygon(points: str, frame: int, *, outside: bool) -> bytes:
    return (
        f'    <polygon frame="{frame}" keyframe="1" outside="{outside:d}" occluded="0" points="{points}" z_order="0">'
        f"</polygon>\n"
    ).encode()


def _mask(shape: Shape, frame: int, length: int) -> str:
    x0, y0, x1, y1 = (int(edge) for edge in shape.box_xyxy or (0, 0, 0, 0))
    runs = ", ".join(map(str, row_runs(shape.crop)))
    rest = f'rle="{runs}" left="{x0}" top="{y0}" width="{x1 - x0}" height="{y1 - y0}" z_order="0"></mask>\n'
    shown = f'    <mask frame="{frame}" keyframe="1" outside="0" occluded="0" {rest}'
    return (
        shown
        if frame + 1 == length
        else shown + f'    <mask frame="{frame + 1}" keyframe="1" outside="1" ' + (f'occluded="0" {rest}')
    )


def _clip_of(path: Path, root: Element, size: tuple[int, int] | None) -> Clip:
    found = root.find(".//original_size")
    if found is not None:
        size = (int(number_in(found, "height")), int(number_in(found, "width")))
    if size is None:
        raise UsageError("expected to know how large the frames are; say --size, as in 1280x720")
    length = int(root.findtext(".//size") or 0)
    shapes: dict[int, list[Shape]] = defaultdict(list)
    objects: dict[int, str] = {}
    taken = [int(track.get("group_id", 0)) for track in root.iter("track")]
    free = max([0, *taken, *(int(track.get("id", 0)) for track in root.iter("track"))]) + 1
    for track, group in zip(root.iter("track"), taken, strict=True):
        object_id = group or int(track.get("id", 0)) or free
        label = str(track.get("label", ""))
        objects[object_id] = label
        for frame, shape in _shapes(track, object_id, label, size):
            shapes[frame].append(shape)
    return ReadClip(path.parent.name or path.stem, size, length, shapes, objects)


def _shapes(track: Element, object_id: int, label: str, size: tuple[int, int]) -> Iterator[tuple[int, Shape]]:
    entries = sorted(track, key=lambda each: int(each.attrib["frame"]))
    for number, each in enumerate(entries):
        if each.attrib.get("outside") == "1":
            continue
        frame = int(each.attrib["frame"])
        yield frame, _shape(each, object_id, label, size)
        after = entries[number + 1] if number + 1 < len(entries) else None
        if after is not None and each.tag == after.tag == "box":
            last = int(after.attrib["frame"])
            begin, end = _edges(each), _edges(after)
            for between in range(frame + 1, last):
                part = 0.0 if after.attrib.get("outside") == "1" else (between - frame) / (last - frame)
                x0, y0, x1, y1 = (begin + (end - begin) * part).tolist()
                yield between, Shape(object_id, size, label=label, box_xyxy=(x0, y0, x1, y1))


def _edges(each: Element) -> np.ndarray:
    return np.array([float(each.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr")])


def _shape(each: Element, object_id: int, label: str, size: tuple[int, int]) -> Shape:
    more: dict[str, Any] = {"label": label}
    if each.tag == "box":
        x0, y0, x1, y1 = _edges(each).tolist()
        return Shape(object_id, size, box_xyxy=(x0, y0, x1, y1), **more)
    if each.tag == "polygon":
        pairs = [pair.split(",") for pair in each.attrib["points"].split(";")]
        return of_mask(object_id, fill([np.array(pairs, np.float64)], *size), **more)
    if each.tag != "mask":
        raise UsageError(f"expected boxes, polygons and masks, got a {each.tag}; leave it out")
    left, top, width, height = (int(float(each.attrib[name])) for name in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in each.attrib["rle"].split(",")], np.int64)
    if min(left, top, width, height, int(runs.min())) < 0 or int(runs.sum()) != width * height:
        raise UsageError(f"expected run lengths of {width}x{height} pixels at frame {each.attrib['frame']}, got others")
    mask = np.zeros(size, bool)
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = crop[: size[0] - top, : size[1] - left]
    return of_mask(object_id, mask, **more)
