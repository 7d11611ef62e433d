"""COCO and YouTube-VIS, read back by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from support.exported import assert_alike, assert_identical
from support.media import decode_plainly
from support.strange_masks import LOST

from streamseg.errors import UsageError
from streamseg.formats.clip import Clip
from streamseg.formats.convert import write_clip
from streamseg.formats.data_sets.coco import Coco
from streamseg.formats.data_sets.youtube_vis import YoutubeVis
from streamseg.formats.runs.run import Run

FRAMES = 9

# pycocotools 2.0.11 has not yet heard of numpy's new keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def by_pycocotools(path: Path) -> dict[tuple[int, int], np.ndarray]:
    coco = COCO(str(path))
    index = {each["id"]: each["frame"] for each in coco.dataset["images"]}
    return {
        (index[each["image_id"]], each["track_id"]): coco.annToMask(each).astype(bool) for each in coco.anns.values()
    }


def masks_of(clip: Clip) -> dict[tuple[int, int], np.ndarray]:
    return {(f.index, s.id): s.mask for f in clip for s in f.shapes if s.is_there}


def test_run_lengths_are_the_same_masks(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_clip(run, "coco", tmp_path) == []
    assert_identical(by_pycocotools(tmp_path / "instances.json"), FRAMES)
    assert_identical(masks_of(Coco.read(tmp_path)), FRAMES)
    capsys.readouterr()


def test_polygons_are_nearly_the_same_masks(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(run, "coco", tmp_path, {"geometry": "polygons"})
    assert_alike(by_pycocotools(tmp_path / "instances.json"), FRAMES)
    assert_alike(masks_of(Coco.read(tmp_path)), FRAMES)
    exact = tmp_path / "exact"
    write_clip(run, "coco", exact, {"geometry": "polygons", "tolerance_px": "0"})
    assert_alike(by_pycocotools(exact / "instances.json"), FRAMES, iou=0.999)
    assert_identical(masks_of(Coco.read(exact / "instances.json")), FRAMES)
    capsys.readouterr()


def test_categories_and_boxes(run: Run, tmp_path: Path) -> None:
    write_clip(run, "coco", tmp_path, {"crowd": "true"})
    data = json.loads((tmp_path / "instances.json").read_text())
    names = {each["id"]: each["name"] for each in data["categories"]}
    assert list(names.values()) == ["ball", "cup & saucer", "ghost", "object"]
    first = [each for each in data["annotations"] if each["image_id"] == 1]
    assert {each["track_id"]: names[each["category_id"]] for each in first} == {
        1: "ball",
        7: "object",
        70: "cup & saucer",
        300: "ball",
    }
    for each in data["annotations"]:
        assert each["iscrowd"] == 1
        assert coco_mask.toBbox(each["segmentation"]).tolist() == each["bbox"]
        assert int(coco_mask.area(each["segmentation"])) == each["area"]


def test_images_are_written_beside(run: Run, tmp_path: Path, video: Path) -> None:
    write_clip(run, "coco", tmp_path, {"images": "true", "jpeg_quality": "100"}, every=4)
    data = json.loads((tmp_path / "instances.json").read_text())
    assert [each["frame"] for each in data["images"]] == [0, 4, 8]
    images = decode_plainly(video)
    for each in data["images"]:
        found = cv2.imread(str(tmp_path / "images" / each["file_name"]))[..., ::-1]
        assert np.abs(found.astype(int) - images[each["frame"]]).mean() < 4


def test_a_video_of_one_frame(one_frame: Run, tmp_path: Path) -> None:
    write_clip(one_frame, "coco", tmp_path)
    assert_identical(masks_of(Coco.read(tmp_path)), 1)
    write_clip(one_frame, "youtube-vis", tmp_path, overwrite=True)
    assert_identical(masks_of(YoutubeVis.read(tmp_path)), 1)


def test_a_track_is_null_where_it_is_lost(run: Run, tmp_path: Path) -> None:
    write_clip(run, "youtube-vis", tmp_path)
    data: dict[str, Any] = json.loads((tmp_path / "instances.json").read_text())
    assert data["videos"][0]["length"] == len(data["videos"][0]["file_names"]) == FRAMES
    tracks = {each["track_id"]: each for each in data["annotations"]}
    assert list(tracks) == [1, 7, 70, 300, 1000]
    for kind in ("segmentations", "bboxes", "areas"):
        assert [n for n, value in enumerate(tracks[70][kind]) if value is None] == list(LOST)
        assert tracks[1000][kind] == [None] * FRAMES
    found = {
        (n, track): coco_mask.decode(mask).astype(bool)
        for track, each in tracks.items()
        for n, mask in enumerate(each["segmentations"])
        if mask is not None
    }
    assert_identical(found, FRAMES)
    clip = YoutubeVis.read(tmp_path / "instances.json")
    assert_identical(masks_of(clip), FRAMES)
    assert clip.objects[70] == "cup & saucer"
    assert clip.length == FRAMES


def test_boxes_alone_are_no_masks(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 5, "file_name": "b.jpg", "height": 20, "width": 30}],
                "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4]}],
                "categories": [{"id": 3, "name": "cat"}],
            }
        )
    )
    clip = Coco.read(path)
    (frame,) = clip
    assert frame.shapes[0].box_xyxy == (1, 2, 4, 6)
    assert clip.objects == {1: "cat"}
    with pytest.raises(UsageError, match="only boxes"):
        write_clip(clip, "youtube-vis", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "expected JSON"),
        ("[]", "expected a mapping with"),
        ('{"images": []}', "'annotations' is not there"),
        ('{"images": [], "annotations": []}', "there are none"),
        ('{"images": [{"id": 1}], "annotations": []}', "KeyError"),
        (
            '{"images": [{"id": 1, "height": 2, "width": 2}], "annotations": [{"image_id": 1, "segmentation": '
            '{"size": [3, 3], "counts": [9]}}]}',
            "the frames differ",
        ),
    ],
)
def test_what_is_no_coco_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        Coco.read(path)
