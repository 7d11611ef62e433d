"""YOLO, read back by supervision, and as Ultralytics draws its polygons."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import supervision as sv
import yaml
from support.exported import assert_alike, truth
from support.strange_masks import HEIGHT, WIDTH

from streamseg.errors import UsageError
from streamseg.formats.convert import write_clip
from streamseg.formats.data_sets.yolo import Yolo
from streamseg.formats.runs.run import Run

FRAMES = 9


def rows(run: Run, frame: int) -> list[int]:
    """Ids in the order of the lines."""
    return [shape.id for shape in list(run)[frame].shapes if shape.is_there]


def by_supervision(run: Run, folder: Path, *, masks: bool) -> dict[tuple[int, int], sv.Detections]:
    found = {}
    for part in ("train", "val"):
        data = sv.DetectionDataset.from_yolo(
            str(folder / "images" / part), str(folder / "labels" / part), str(folder / "data.yaml"), force_masks=masks
        )
        for path, _, detections in data:
            frame = int(Path(path).stem[-5:])
            for number, object_id in enumerate(rows(run, frame)):
                found[frame, object_id] = detections[number]
            assert len(detections) == len(rows(run, frame))
    return found


def test_polygons_by_supervision(run: Run, tmp_path: Path) -> None:
    write_clip(run, "yolo", tmp_path)
    found = by_supervision(run, tmp_path, masks=True)
    assert_alike({key: each.mask[0] for key, each in found.items()}, FRAMES)
    assert {found[0, i].class_id[0] for i in (1, 300)} == {0}
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert data["names"] == {0: "ball", 1: "cup & saucer", 2: "ghost", 3: "object"}
    assert len(list((tmp_path / "images/val").iterdir())) == 2


def test_polygons_as_ultralytics_draws_them(run: Run, tmp_path: Path) -> None:
    write_clip(run, "yolo", tmp_path, {"tolerance_px": 0, "images": False})
    found = {}
    for path in tmp_path.glob("labels/*/*.txt"):
        frame = int(path.stem[-5:])
        for object_id, line in zip(rows(run, frame), path.read_text().splitlines(), strict=True):
            points = np.array(line.split()[1:], np.float32).reshape(-1, 2) * (WIDTH, HEIGHT)
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)  # it cuts the fractions off
            found[frame, object_id] = mask.astype(bool)
    assert_alike(found, FRAMES, iou=0.99)


def test_boxes_by_supervision(run: Run, tmp_path: Path) -> None:
    write_clip(run, "yolo", tmp_path, {"task": "detect"})
    found = by_supervision(run, tmp_path, masks=False)
    for key, mask in truth(FRAMES).items():
        y, x = np.nonzero(mask)
        assert np.allclose(found[key].xyxy[0], (x.min(), y.min(), x.max() + 1, y.max() + 1), atol=0.01)


def test_what_is_left_out_is_said(run: Run, one_frame: Run, tmp_path: Path) -> None:
    notes = write_clip(run, "yolo", tmp_path / "a", {"parts": "largest", "images": False})
    assert any("object 300 has several parts" in note for note in notes)
    assert any("no ids" in note for note in notes)
    notes = write_clip(one_frame, "yolo", tmp_path / "b")
    assert any("for validation" in note for note in notes)
    assert yaml.safe_load((tmp_path / "b/data.yaml").read_text())["val"] == "images/train"


def test_it_is_read_again(run: Run, tmp_path: Path) -> None:
    write_clip(run, "yolo", tmp_path, {"tolerance_px": 0})
    clip = Yolo.read(tmp_path)
    found = {
        (frame.index, object_id): shape.mask
        for frame in clip
        for object_id, shape in zip(rows(run, frame.index), frame.shapes, strict=True)
    }
    assert_alike(found, FRAMES, iou=0.99)
    assert clip.objects[1] == "ball"
    assert clip.size == (HEIGHT, WIDTH)
    labels = tmp_path / "labels/train/clip-00000.txt"
    labels.write_text("0 0.5 nan 0.5 0.5\n")
    with pytest.raises(UsageError, match="line 1"):
        Yolo.read(tmp_path)
    lonely = tmp_path / "lonely.txt"
    lonely.write_text("0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(UsageError, match="say --size"):
        Yolo.read(lonely)
    assert next(iter(Yolo.read(lonely, (10, 20)))).shapes[0].box_xyxy == (5, 2.5, 15, 7.5)
