"""Pascal VOC: an XML file with boxes for each frame, and pictures of classes and of objects."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip, ReadClip, files_of, with_images
from streamseg.formats.files import xml_file
from streamseg.formats.files.id_pictures import VOID, read_ids
from streamseg.formats.files.id_writer import IdWriter
from streamseg.formats.files.images import write_file, write_jpeg
from streamseg.formats.files.strangers import taken_from
from streamseg.formats.files.xml_file import number_in, parse_xml
from streamseg.formats.format import Format, FormatConfig, Option, Quality
from streamseg.formats.shape import Shape, of_mask
from streamseg.masks.png import voc_palette

_MOST = VOID - 1


class Voc(Format):
    """Pascal VOC: Annotations/ with boxes, SegmentationClass/ and SegmentationObject/ with masks."""

    class Config(FormatConfig, frozen=True):
        """Options of Pascal VOC."""

        images: Annotated[bool, Option("write the pictures of the frames too, from the source")] = True
        jpeg_quality: Quality = 95

    holds = "boxes, labels, masks; at most 254 labels, and objects in a frame"
    read_by = "torchvision, datumaro, CVAT, Roboflow"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write the folders of VOC, ``ImageSets/`` and ``labelmap.txt``."""
        for sentence in xml_file.not_held(clip.categories):
            self.note(sentence)
        if len(clip.categories) > _MOST:
            raise UsageError(f"expected at most {_MOST} labels in Pascal VOC, got {len(clip.categories)}; use fewer")
        colors = voc_palette()
        rows = [("background", 0), *((name, n) for n, name in enumerate(clip.categories, 1))]
        lines = [f"{name}:{','.join(map(str, colors[n].tolist()))}::" for name, n in rows]
        write_file(folder / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
        names = []
        with IdWriter(clip.size, np.uint8) as pictures:
            for frame, image_rgb in with_images(clip, images=self.config.images):
                name = f"{clip.name}-{frame.position:05d}"
                names.append(f"{name}\n")
                if image_rgb is not None:
                    write_jpeg(folder / "JPEGImages" / f"{name}.jpg", image_rgb, self.config.jpeg_quality)
                there = [shape for shape in frame.shapes if shape.is_there]
                if len(there) > _MOST:
                    raise UsageError(
                        f"expected at most {_MOST} objects in a frame of Pascal VOC, got {len(there)} in frame "
                        f"{frame.index}; choose another format"
                    )
                write_file(folder / "Annotations" / f"{name}.xml", _annotation(clip, name, there))
                if clip.has_masks:
                    _write_masks(clip, folder, f"{name}.png", there, pictures)
        for part in ("Main", "Segmentation") if clip.has_masks else ("Main",):
            write_file(folder / "ImageSets" / part / "trainval.txt", "".join(names))

    @classmethod
    def read(cls, path: Path, size: tuple[int, int] | None = None) -> Clip:
        """The boxes, and masks if they are there, of a data set or of its folder of XML files."""
        folder = path / "Annotations" if (path / "Annotations").is_dir() else path
        if not folder.is_dir():
            raise UsageError(f"expected a folder of Pascal VOC, but {path} is none; name the one with Annotations/")
        files = files_of(folder, ".xml")
        if not files:
            raise UsageError(f"expected XML files of Pascal VOC in {folder}, there are none")
        shapes: dict[int, list[Shape]] = defaultdict(list)
        objects: dict[int, str] = {}
        sizes = set()
        for index, file in enumerate(files):
            root = parse_xml(file, "annotation")
            with taken_from(file, "an annotation of Pascal VOC"):
                size = (int(number_in(root, "size/height")), int(number_in(root, "size/width")))
                sizes.add(size)
                picture = folder.parent / "SegmentationObject" / f"{file.stem}.png"
                ids = read_ids(picture) if picture.is_file() else None
                for number, each in enumerate(root.iter("object"), 1):
                    told = each.findtext("track_id") or ""
                    object_id = int(told) if told.isdecimal() else number
                    label = each.findtext("name") or ""
                    box = [number_in(each, f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
                    objects[object_id] = label
                    if ids is not None:
                        shapes[index].append(of_mask(object_id, ids == number, label=label))
                    else:
                        edges = (box[0] - 1, box[1] - 1, box[2], box[3])
                        shapes[index].append(Shape(object_id, size, label=label, box_xyxy=edges))
        if len(sizes) > 1:
            raise UsageError(f"expected frames of one size in {folder}, got {sorted(sizes)}; name one video's files")
        return ReadClip(path.name, size or (0, 0), len(files), shapes, objects)


def _write_masks(clip: Clip, folder: Path, name: str, shapes: list[Shape], pictures: IdWriter) -> None:
    objects, classes = pictures.blank(), pictures.blank()
    for number, shape in enumerate(shapes, 1):
        shape.paint(objects, number)
    table = np.zeros(256, np.uint8)
    table[1 : len(shapes) + 1] = [clip.category(shape.id) + 1 for shape in shapes]
    cv2.LUT(objects, table, dst=classes)
    pictures.write(folder / "SegmentationObject" / name, objects)
    pictures.write(folder / "SegmentationClass" / name, classes)


def _annotation(clip: Clip, name: str, shapes: list[Shape]) -> str:
    height, width = clip.size
    objects = "".join(_object(clip, shape) for shape in shapes)
    return (
        f"<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{xml_file.text(name)}.jpg</filename>\n"
        f"  <source><database>streamseg</database></source>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>{int(clip.has_masks)}</segmented>\n{objects}</annotation>\n"
    )


def _object(clip: Clip, shape: Shape) -> str:
    # As VOC has it: the top left pixel is (1, 1), and the last one is inside.
    x0, y0, x1, y1 = shape.box_xyxy or (0.0, 0.0, 0.0, 0.0)
    cut = int(x0 <= 0 or y0 <= 0 or x1 >= clip.size[1] or y1 >= clip.size[0])
    return (
        f"  <object><name>{xml_file.text(clip.label(shape.id))}</name>"
        f"<pose>Unspecified</pose><truncated>{cut}</truncated>"
        f"<difficult>0</difficult><track_id>{shape.id}</track_id><bndbox><xmin>{x0 + 1:g}</xmin><ymin>{y0 + 1:g}</ymin>"
        f"<xmax>{x1:g}</xmax><ymax>{y1:g}</ymax></bndbox></object>\n"
    )
