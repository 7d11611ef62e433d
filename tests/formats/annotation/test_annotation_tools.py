"""CVAT, Label Studio, Pascal VOC and LabelMe, read as these programs publish their formats, and again by ourselves."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.exported import assert_alike, assert_identical, truth
from support.strange_masks import HEIGHT, LOST, WIDTH

from streamseg.errors import UsageError
from streamseg.formats import format as formats
from streamseg.formats.annotation import brush
from streamseg.formats.annotation.cvat import Cvat
from streamseg.formats.annotation.keyframes import thinned
from streamseg.formats.annotation.label_studio import LabelStudio
from streamseg.formats.annotation.labelme import Labelme
from streamseg.formats.clip import Clip, ReadClip
from streamseg.formats.convert import write_clip
from streamseg.formats.data_sets.voc import Voc
from streamseg.formats.format import Format
from streamseg.formats.runs.run import Run
from streamseg.formats.shape import of_mask
from streamseg.masks.polygons import fill

FRAMES = 9
LABELS = {1: "ball", 7: "object", 70: "cup & saucer", 300: "ball"}


def masks_of(clip: Clip) -> dict[tuple[int, int], np.ndarray]:
    return {(f.index, s.id): s.mask for f in clip for s in f.shapes if s.is_there}


def boxes_of(clip: Clip) -> dict[tuple[int, int], np.ndarray]:
    return {(f.index, s.id): np.array(s.box_xyxy) for f in clip for s in f.shapes if s.is_there}


def assert_boxes_alike(found: dict[tuple[int, int], np.ndarray], run: Run, tolerance_px: float) -> None:
    expected = boxes_of(run)
    assert set(found) == set(expected)
    for key, box in expected.items():
        assert np.abs(found[key] - box).max() <= tolerance_px + 0.011, key


# CVAT


def cvat_tracks(folder: Path) -> list[tuple[int, str, list[ElementTree.Element]]]:
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/mode") == "interpolation"
    labels = {each.text for each in root.findall("meta/task/labels/label/name")}
    assert labels == {"ball", "cup & saucer", "ghost", "object"}
    return [(int(track.attrib["id"]), track.attrib["label"], list(track)) for track in root.findall("track")]


def test_cvat_masks_are_run_lengths_row_by_row_of_the_box(run: Run, tmp_path: Path) -> None:
    write_clip(run, "cvat", tmp_path)
    found = {}
    for object_id, label, entries in cvat_tracks(tmp_path):
        assert label == LABELS[object_id]
        # As CVAT writes a mask of one frame: there, and outside in the next.
        assert [each.attrib["outside"] for each in entries] in (["0", "1"], ["0"])
        each = entries[0].attrib
        left, top, width, height = (int(each[name]) for name in ("left", "top", "width", "height"))
        pixels, value = [], 0
        for run_length in each["rle"].split(", "):
            pixels += [value] * int(run_length)
            value = 1 - value
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[top : top + height, left : left + width] = np.array(pixels, bool).reshape(height, width)
        found[int(each["frame"]), object_id] = mask
    assert_identical(found, FRAMES)
    clip = Cvat.read(tmp_path)
    assert_identical(masks_of(clip), FRAMES)
    assert clip.length == FRAMES
    assert clip.objects == LABELS


@pytest.mark.parametrize("tolerance_px", [0.0, 1.0, 8.0])
def test_cvat_boxes_are_between_keyframes(run: Run, tmp_path: Path, tolerance_px: float) -> None:
    write_clip(run, "cvat", tmp_path, {"shape": "box", "keyframes_px": tolerance_px})
    found: dict[tuple[int, int], np.ndarray] = {}
    keys = 0
    for object_id, _, entries in cvat_tracks(tmp_path):
        shown = [(int(e.attrib["frame"]), e) for e in entries if e.attrib["keyframe"] == "1"]
        keys += len(shown)
        # What CVAT makes of the keyframes alone.
        for (frame, entry), (after, later) in zip(shown, [*shown[1:], (FRAMES, shown[-1][1])], strict=True):
            if entry.attrib["outside"] == "1":
                continue
            begin, end = (np.array([float(e.attrib[n]) for n in ("xtl", "ytl", "xbr", "ybr")]) for e in (entry, later))
            part = 0.0 if later.attrib["outside"] == "1" else 1.0
            for at in range(frame, after):
                found[at, object_id] = begin + (end - begin) * part * (at - frame) / (after - frame)
        hidden = [int(e.attrib["frame"]) for e in entries if e.attrib["outside"] == "1"]
        assert hidden == ([min(LOST)] if object_id == 70 else [])
    assert_boxes_alike(found, run, tolerance_px)
    assert keys < (40 if tolerance_px < 8 else 16)
    assert_boxes_alike(boxes_of(Cvat.read(tmp_path)), run, 0.0)


def test_cvat_polygons(run: Run, tmp_path: Path) -> None:
    write_clip(run, "cvat", tmp_path, {"shape": "polygon"})
    found = {}
    for object_id, _, entries in cvat_tracks(tmp_path):
        for each in entries:
            if each.attrib["outside"] == "0":
                points = [pair.split(",") for pair in each.attrib["points"].split(";")]
                found[int(each.attrib["frame"]), object_id] = fill([np.array(points, float)], HEIGHT, WIDTH)
    assert_alike(found, FRAMES)
    hidden = {i: [e.attrib["frame"] for e in es if e.attrib["outside"] == "1"] for i, _, es in cvat_tracks(tmp_path)}
    assert hidden == {1: [], 7: [], 70: ["3"], 300: []}
    assert_alike(masks_of(Cvat.read(tmp_path)), FRAMES)


def test_thinned_boxes_are_within_the_tolerance() -> None:
    generator = np.random.default_rng(5)
    boxes = np.cumsum(generator.normal(0, 3, (300, 4)), axis=0)
    for tolerance_px in (0.5, 5.0, 50.0):
        kept = thinned(boxes, tolerance_px)
        between = np.stack([np.interp(np.arange(300), kept, boxes[kept, side]) for side in range(4)], 1)
        assert np.abs(between - boxes).max() <= tolerance_px + 1e-6
    assert len(kept) < 30
    assert thinned(boxes[:1], 1.0) == [0]
    line = np.arange(40)[:, None] * np.ones(4)
    assert thinned(line, 0.0) == [0, 39]


# Label Studio


def decode_brush(data: list[int], height: int, width: int) -> np.ndarray:
    """The bits read one after the other, as Label Studio's frontend does it."""
    bits = iter("".join(f"{byte:08b}" for byte in data))

    def read(count: int) -> int:
        return int("".join(next(bits) for _ in range(count)), 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        same = read(1)
        count = read(sizes[read(2)]) + 1
        values += [read(word)] * count if same else [read(word) for _ in range(count)]
    return np.array(values).reshape(height, width, 4)[..., 3] > 0


def test_label_studio_brushes(run: Run, tmp_path: Path) -> None:
    write_clip(run, "label-studio", tmp_path, {"kind": "brush", "images": True})
    tasks: list[dict[str, Any]] = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[2]["data"]["image"] == "/data/local-files/?d=clip-00002.jpg"
    assert len(list((tmp_path / "images").iterdir())) == FRAMES == len(tasks)
    found = {}
    for frame, task in enumerate(tasks):
        for each in task["predictions"][0]["result"]:
            assert (each["original_width"], each["original_height"]) == (WIDTH, HEIGHT)
            object_id = int(each["id"].removeprefix("object-"))
            assert each["value"]["brushlabels"] == [LABELS[object_id]]
            found[frame, object_id] = decode_brush(each["value"]["rle"], HEIGHT, WIDTH)
    assert_identical(found, FRAMES)
    assert_identical(masks_of(LabelStudio.read(tmp_path)), FRAMES)


@pytest.mark.parametrize("shape", [(1, 1), (300, 400), (3, 50_001)])
def test_brushes_of_long_runs(shape: tuple[int, int]) -> None:
    for mask in (np.zeros(shape, bool), np.ones(shape, bool), np.random.default_rng(1).random(shape) > 0.999):
        assert np.array_equal(brush.decode(brush.encode(mask), *shape), mask)
    with pytest.raises(UsageError, match="expected the brush mask"):
        brush.decode(brush.encode(mask), shape[0] + 1, shape[1])
    with pytest.raises(UsageError, match="expected the brush mask"):
        brush.decode(brush.encode(mask)[:8], *shape)


@pytest.mark.parametrize("tolerance_px", [0.0, 1.0, 8.0])
def test_label_studio_rectangles(run: Run, tmp_path: Path, tolerance_px: float) -> None:
    write_clip(run, "label-studio", tmp_path, {"keyframes_px": tolerance_px})
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"]["video"] == "/data/local-files/?d=strange clip.mkv"
    found: dict[tuple[int, int], np.ndarray] = {}
    for each in task["predictions"][0]["result"]:
        assert each["value"]["framesCount"] == FRAMES
        object_id = int(each["id"].removeprefix("object-"))
        keys = each["value"]["sequence"]
        sides = [np.array([k["x"], k["y"], k["x"] + k["width"], k["y"] + k["height"]]) for k in keys]
        sides = [side / 100 * (WIDTH, HEIGHT, WIDTH, HEIGHT) for side in sides]
        for number, key in enumerate(keys):
            found[key["frame"] - 1, object_id] = sides[number]
            if key["enabled"] and number + 1 < len(keys):
                last = keys[number + 1]["frame"]
                for at in range(key["frame"] + 1, last):
                    part = (at - key["frame"]) / (last - key["frame"])
                    found[at - 1, object_id] = sides[number] + (sides[number + 1] - sides[number]) * part
    assert_boxes_alike(found, run, tolerance_px)
    clip = LabelStudio.read(tmp_path)
    assert_boxes_alike(boxes_of(clip), run, tolerance_px)
    assert clip.objects == LABELS
    assert 'value="cup &amp; saucer"' in (tmp_path / "config.xml").read_text()


def test_what_people_have_drawn_counts_more_than_predictions(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:9, 3:8] = True
    guess, drawn = (
        {
            "id": name,
            "type": "brushlabels",
            "original_width": 30,
            "original_height": 20,
            "value": {"format": "rle", "rle": brush.encode(each), "brushlabels": ["cat"]},
        }
        for name, each in (("object-4", ~mask), ("Dx_aB1", mask))
    )
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [drawn]}], "predictions": [{"result": [guess]}]}
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task]))
    clip = LabelStudio.read(path)
    assert list(clip.objects.values()) == ["cat"]
    (frame,) = clip
    assert np.array_equal(frame.shapes[0].mask, mask)


# Pascal VOC


def test_voc(run: Run, tmp_path: Path) -> None:
    write_clip(run, "voc", tmp_path)
    names = (tmp_path / "ImageSets/Main/trainval.txt").read_text().split()
    assert names == (tmp_path / "ImageSets/Segmentation/trainval.txt").read_text().split()
    colors = {
        line.split(":")[0]: line.split(":")[1] for line in (tmp_path / "labelmap.txt").read_text().splitlines()[1:]
    }
    assert colors["ball"] == "128,0,0"
    classes = list(colors)
    found = {}
    for frame, name in enumerate(names):
        root = ElementTree.parse(tmp_path / f"Annotations/{name}.xml").getroot()
        assert (tmp_path / "JPEGImages" / root.findtext("filename", "")).is_file()
        assert (root.findtext("size/width"), root.findtext("size/height")) == (str(WIDTH), str(HEIGHT))
        objects = np.array(Image.open(tmp_path / f"SegmentationObject/{name}.png"))
        kinds = np.array(Image.open(tmp_path / f"SegmentationClass/{name}.png"))
        for number, each in enumerate(root.findall("object"), 1):
            object_id = int(each.findtext("track_id", ""))
            label = each.findtext("name")
            assert label == LABELS[object_id]
            mask = objects == number
            found[frame, object_id] = mask
            assert {classes[value] for value in np.unique(kinds[mask])} == {label}
            y, x = np.nonzero(mask)
            box = [int(each.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            assert box == [x.min() + 1, y.min() + 1, x.max() + 1, y.max() + 1]
    assert_identical(found, FRAMES)
    assert_identical(masks_of(Voc.read(tmp_path)), FRAMES)
    for path in (tmp_path / "SegmentationObject").iterdir():
        path.unlink()
    assert_boxes_alike(boxes_of(Voc.read(tmp_path)), run, 0.0)


# LabelMe


def as_labelme_draws(each: dict[str, Any]) -> np.ndarray:
    if each["shape_type"] == "mask":
        (x0, y0), (x1, y1) = each["points"]
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = np.array(Image.open(io.BytesIO(base64.b64decode(each["mask"])))) > 0
        return mask
    picture = Image.new("1", (WIDTH, HEIGHT))
    ImageDraw.Draw(picture).polygon([tuple(point) for point in each["points"]], outline=1, fill=1)
    return np.array(picture)


@pytest.mark.parametrize("geometry", ["polygons", "masks"])
def test_labelme(run: Run, tmp_path: Path, geometry: str) -> None:
    write_clip(run, "labelme", tmp_path, {"geometry": geometry})
    found: dict[tuple[int, int], np.ndarray] = {}
    for path in sorted(tmp_path.glob("*.json")):
        data = json.loads(path.read_text())
        with Image.open(tmp_path / data["imagePath"]) as picture:
            assert picture.size == (data["imageWidth"], data["imageHeight"]) == (WIDTH, HEIGHT)
        for each in data["shapes"]:
            assert each["label"] == LABELS[each["group_id"]]
            key = (int(path.stem[-5:]), each["group_id"])
            found[key] = found.get(key, False) | as_labelme_draws(each)
    if geometry == "masks":
        assert_identical(found, FRAMES)
        assert_identical(masks_of(Labelme.read(tmp_path)), FRAMES)
    else:
        assert_alike(found, FRAMES)
        assert_alike(masks_of(Labelme.read(tmp_path)), FRAMES)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Cvat, "<annotations", "expected XML"),
        (Cvat, "<annotation/>", "expected <annotations>"),
        (Cvat, '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "defines entities"),
        (Cvat, "<annotations/>", "say --size"),
        (
            Cvat,
            "<annotations><original_size><width>9</width><height>9</height></original_size><track><mask frame='0' "
            "left='0' top='0' width='3' height='3' rle='4'/></track></annotations>",
            "run lengths of 3x3",
        ),
        (LabelStudio, "{}", "a list of tasks"),
        (LabelStudio, "[{}]", "there are none"),
        (LabelStudio, '[{"predictions": [{"result": [{"id": 1, "type": "brushlabels", "value": {}}]}]}]', "KeyError"),
        (Labelme, "{}", "'shapes' is not there"),
        (
            Labelme,
            '{"imageHeight": 5, "imageWidth": 5, "shapes": [{"label": "a", "points": [], "shape_type": "circle"}]}',
            "expected shapes of LabelMe",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, kind: type[Format], text: str, said: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        kind.read(path)


@pytest.mark.parametrize(
    ("name", "file"), [("cvat", "annotations.xml"), ("voc", "Annotations"), ("label-studio", "config.xml")]
)
def test_labels_that_xml_cannot_hold(tmp_path: Path, name: str, file: str) -> None:
    shape = of_mask(1, np.ones((6, 8), bool), label="b\x01d & \x0b\ud7ff")
    format_ = formats.make(name, {"images": False} if name == "voc" else {})
    format_.write(ReadClip("clip", (6, 8), 1, {0: [shape]}, {1: shape.label}), tmp_path)
    assert "has characters that XML cannot hold" in " ".join(format_.notes)
    path = tmp_path / file
    root = ElementTree.parse(next(path.iterdir()) if path.is_dir() else path).getroot()
    held = [*(each.text for each in root.iter()), *(value for each in root.iter() for value in each.attrib.values())]
    assert "b\ufffdd & \ufffd\ud7ff" in held


def test_a_video_of_one_frame(one_frame: Run, tmp_path: Path) -> None:
    for name, kind, options in (
        ("cvat", Cvat, {}),
        ("label-studio", LabelStudio, {"kind": "brush"}),
        ("voc", Voc, {}),
        ("labelme", Labelme, {"geometry": "masks"}),
    ):
        write_clip(one_frame, name, tmp_path / name, options)
        assert_identical(masks_of(kind.read(tmp_path / name)), 1)
    write_clip(one_frame, "cvat", tmp_path / "boxes", {"shape": "box"})
    assert set(boxes_of(Cvat.read(tmp_path / "boxes"))) == set(truth(1))
