"""Detectors in ONNX files: each layout read to the pixel, frames as they were trained on, bad files in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamseg_nodes.onnx_detector.class_names import COCO_80, COCO_IDS
from streamseg_nodes.onnx_detector.layouts import LAYOUTS
from streamseg_nodes.onnx_detector.letterbox import in_frame, place
from streamseg_nodes.onnx_detector.model import DetectionModel
from support.command import streamseg, tracks
from support.media import write_video
from support.onnx_detectors import FRAME_SIZE, INPUT_SIZE, Thing, save, write

from streamseg import segment_video
from streamseg.errors import ModelError, UsageError

THINGS = (
    Thing((100, 120, 300, 200), 2, 0.9),
    Thing((400.5, 20.25, 630, 470), 0, 0.6),
    Thing((10, 300, 60, 470), 16, 0.2),
)
FRAME = np.zeros((*FRAME_SIZE, 3), np.uint8)


def loaded(path: Path, **options: Any) -> DetectionModel:
    usual: dict[str, Any] = {
        "size_px": None,
        "layout": "auto",
        "names": None,
        "classes": None,
        "score": 0.35,
        "nms_iou": 0.5,
        "threads": 1,
    }
    return DetectionModel(path, **{**usual, **options})


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_each_layout_is_recognized_and_read_to_the_pixel(tmp_path: Path, layout: str) -> None:
    # YOLOX's and RF-DETR's files say nothing of their classes; ultralytics' do.
    named = layout not in ("yolox", "rtdetr", "rfdetr", "boxes", "counted", "detr")
    classes = 91 if layout == "rfdetr" else 80
    model = loaded(write(tmp_path / "d.onnx", layout, THINGS, names=named, classes=classes))
    assert model.layout.name == layout
    names = {number: f"kind{number}" for number in range(80)} if named else dict(enumerate(COCO_80))
    names = COCO_IDS if layout == "rfdetr" else names
    found = model(FRAME)
    assert [each.label for each in found] == [names.get(thing.number, str(thing.number)) for thing in THINGS[:2]]
    for each, thing in zip(found, THINGS[:2], strict=True):
        assert each.box_xyxy == pytest.approx(thing.box_xyxy, abs=0.02)
        assert each.score == pytest.approx(thing.score, abs=1e-4)


def test_a_segmentation_model_of_ultralytics_has_more_columns_than_classes(tmp_path: Path) -> None:
    boxes = np.zeros((1, 4 + 2 + 32, 2100))
    boxes[0, :6, 0] = (160, 160, 40, 20, 0.1, 0.8)
    boxes[0, 6:, 0] = 5.0
    save(tmp_path / "s.onnx", {"output0": boxes, "output1": np.zeros((1, 32, 80, 80))}, {"names": "{0: 'a', 1: 'b'}"})
    model = loaded(tmp_path / "s.onnx")
    assert model.layout.name == "ultralytics"
    assert [(each.label, round(each.score, 3)) for each in model(FRAME)] == [("b", 0.8)]


def test_of_two_boxes_of_a_class_that_overlap_the_better_one_stays(tmp_path: Path) -> None:
    twice = (
        Thing((100, 100, 200, 200), 1, 0.7),
        Thing((105, 100, 205, 200), 1, 0.9),
        Thing((105, 100, 205, 200), 2, 0.8),
        Thing((300, 100, 400, 200), 1, 0.5),
    )
    path = write(tmp_path / "d.onnx", "ultralytics", twice)
    assert [(each.label, round(each.score, 2)) for each in loaded(path)(FRAME)] == [
        ("kind1", 0.9),
        ("kind2", 0.8),
        ("kind1", 0.5),
    ]
    assert len(loaded(path, nms_iou=0.95)(FRAME)) == 4


def test_classes_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    path = write(tmp_path / "d.onnx", "ultralytics", THINGS)
    chosen = loaded(path, classes="Kind0, 16", score=0.1)(FRAME)
    assert [each.label for each in chosen] == ["kind0", "kind16"]
    with pytest.raises(UsageError, match="the detector has no class 'knd0'; did you mean 'kind0'"):
        loaded(path, classes="knd0")


@pytest.mark.parametrize("layout", ["ultralytics", "yolox", "rtdetr", "rfdetr"])
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (33, 301)])
def test_boxes_come_back_from_where_the_frame_was_put(layout: str, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 7, np.uint8)
    image[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = (255, 0, 0)
    placed = place(image, INPUT_SIZE, LAYOUTS[layout], np.dtype(np.float32))
    red = placed.tensor[0, 2 if LAYOUTS[layout].raw_bgr else 0]
    rows, columns = np.nonzero(red > (red.min() + red.max()) / 2)
    # What is gray is a border; the red square is brighter in red than that.
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], float)
    expected = (size[1] // 4, size[0] // 4, size[1] // 2, size[0] // 2)
    off_px = 1.5 / min(placed.scale_xy) + 1
    assert in_frame(box, placed)[0] == pytest.approx(expected, abs=off_px)


def test_colors_are_as_the_detector_was_trained_on(tmp_path: Path) -> None:
    image = np.empty((*INPUT_SIZE, 3), np.uint8)
    image[:] = (255, 51, 0)
    middle = (0, slice(None), 100, 100)
    float32 = np.dtype(np.float32)
    assert place(image, INPUT_SIZE, LAYOUTS["ultralytics"], float32).tensor[middle] == pytest.approx((1, 0.2, 0))
    assert place(image, INPUT_SIZE, LAYOUTS["yolox"], float32).tensor[middle] == pytest.approx((0, 51, 255))
    standardized = place(image, INPUT_SIZE, LAYOUTS["rfdetr"], float32).tensor[middle]
    assert standardized == pytest.approx((0.515 / 0.229, (0.2 - 0.456) / 0.224, -0.406 / 0.225), abs=1e-4)
    assert place(image, INPUT_SIZE, LAYOUTS["ultralytics"], np.dtype(np.uint8)).tensor[middle].tolist() == [255, 51, 0]
    assert place(image, INPUT_SIZE, LAYOUTS["ultralytics"], np.dtype(np.float16)).tensor.dtype == np.float16


def test_the_size_of_the_input_is_that_of_the_file_or_what_is_said(tmp_path: Path) -> None:
    grid = np.zeros((1, 84, 2100))
    save(tmp_path / "open.onnx", {"output0": grid}, {"imgsz": "[320, 320]"}, side="side")
    assert loaded(tmp_path / "open.onnx").size == (320, 320)
    with pytest.raises(ModelError, match=r"got output0 \(1, 84, 2100\); say which it is \(--detect-layout"):
        loaded(tmp_path / "open.onnx", size_px=640)
    save(tmp_path / "fixed.onnx", {"output0": grid})
    assert loaded(tmp_path / "fixed.onnx", size_px=640).size == INPUT_SIZE


def test_what_is_no_detector_is_refused_in_a_sentence(tmp_path: Path) -> None:
    save(tmp_path / "odd.onnx", {"logits": np.zeros((1, 1000)), "state": np.zeros((1, 3, 7))})
    with pytest.raises(
        ModelError, match=r"layout that is known at .*odd.onnx, got logits \(1, 1000\), state \(1, 3, 7\)"
    ):
        loaded(tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="expected outputs of layout 'rtdetr'"):
        loaded(tmp_path / "odd.onnx", layout="rtdetr")
    with pytest.raises(ModelError, match="there is no layout 'yolo5' of detectors; did you mean 'yolov5'"):
        loaded(tmp_path / "odd.onnx", layout="yolo5")
    (tmp_path / "text.onnx").write_text("no model\n")
    with pytest.raises(ModelError, match="expected an ONNX file at"):
        loaded(tmp_path / "text.onnx")
    path = write(tmp_path / "d.onnx", "ultralytics", THINGS, classes=80, names=False)
    with pytest.raises(ModelError, match="expected 90 classes in the outputs"):
        loaded(path, layout="ultralytics", names={number: str(number) for number in range(90)})


def film(folder: Path) -> Path:
    """A disk where `THINGS` has a thing."""
    images = np.full((4, *FRAME_SIZE, 3), 90, np.uint8)
    y, x = np.mgrid[: FRAME_SIZE[0], : FRAME_SIZE[1]]
    images[:, (x - 200) ** 2 + (y - 160) ** 2 < 40**2] = (220, 60, 40)
    return write_video(folder / "film.mp4", images)


def test_the_command_takes_a_file(tmp_path: Path) -> None:
    disk = Thing((160, 120, 240, 200), 3, 0.9)
    detector = write(tmp_path / "d.onnx", "ultralytics", [disk, THINGS[2]])
    words = ("--detect", detector, "--detect-classes", "kind3", "--detect-every", 2, "-o", tmp_path / "out")
    done = streamseg("run", film(tmp_path), *words)
    assert done.returncode == 0, done.stderr
    lines = tracks(tmp_path / "out")
    assert [(line["frame"], line["id"]) for line in lines] == [(frame, 1) for frame in range(4)]
    assert lines[-1]["box_xyxy"] == pytest.approx(disk.box_xyxy, abs=4)


def test_the_loop_takes_a_file(tmp_path: Path) -> None:
    detector = write(tmp_path / "d.onnx", "rtdetr", [Thing((160, 120, 240, 200), 0, 0.9)], names=False)
    results = list(segment_video(film(tmp_path), detect=str(detector), detect_classes="person"))
    assert [[(found.id, found.label) for found in result.objects] for result in results] == [[(1, "person")]] * 4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--detect", "gone.onnx"], "expected a detector as an ONNX file at gone.onnx, got: No such file"),
        (["--detect", "d.onnx", "--detect-classes", "cat"], "the detector has no class 'cat'"),
        (["--box", "1,2,30,40", "--detect-classes", "cat"], "expected --detect FILE.onnx with --detect-classes"),
        (["--detect", "motion", "--detect-score", "0.5"], "expected --detect FILE.onnx with --detect-score"),
        (
            ["--box", "1,2,30,40", "--detect-every", "5"],
            "--detect FILE.onnx, --detect motion or --discover N with --detect-every",
        ),
        (["--detect", "d.onnx", "--detect-names", "gone.txt"], "in each line at gone.txt, got: No such file"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(tmp_path: Path, words: list[str], complaint: str) -> None:
    write(tmp_path / "d.onnx", "ultralytics", THINGS)
    film(tmp_path)
    done = streamseg("run", "film.mp4", *words, "-o", "out", cwd=tmp_path)
    assert done.returncode in (2, 4)
    assert complaint in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
