"""What a result gives other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import supervision as sv
from pycocotools import mask as coco_mask
from support.strange_masks import HEIGHT, IDS, LABELS, LOST, WIDTH, Strange, strange_ids

from streamseg.masks.polygons import fill
from streamseg.messages import Frame, Stamp
from streamseg.runtime.library.frame_result import FrameResult, frame_result

FRAME = LOST[0]
SEEN = (1, 7, 300)


@pytest.fixture
def result() -> FrameResult:
    stamp = Stamp("s", FRAME, FRAME, FRAME, (1, 25), 0, 0, 1)
    return frame_result(Strange(Strange.Config()).process(Frame(stamp, np.zeros((HEIGHT, WIDTH, 3), np.uint8))))


def test_arrays(result: FrameResult) -> None:
    arrays = result.to_numpy()
    assert arrays["ids"].tolist() == list(IDS)
    assert arrays["labels"].tolist() == list(LABELS)
    assert arrays["states"].tolist() == ["TRACKED", "TRACKED", "LOST", "TRACKED", "LOST"]
    for number, object_id in enumerate(IDS):
        assert np.array_equal(arrays["masks"][number], strange_ids(FRAME) == object_id)
        assert arrays["areas_px"][number] == arrays["masks"][number].sum()
    assert np.isnan(arrays["boxes_xyxy"][2]).all()
    assert arrays["boxes_xyxy"][1].tolist() == [5, 40, 55, 90]


def test_arrays_of_nothing() -> None:
    arrays = FrameResult(0, None, np.zeros((4, 6, 3), np.uint8), []).to_numpy()
    assert arrays["masks"].shape == (0, 4, 6)
    assert arrays["boxes_xyxy"].shape == (0, 4)


def test_polygons(result: FrameResult) -> None:
    polygons = result.polygons(tolerance_px=0)
    assert set(polygons) == set(SEEN)
    assert len(polygons[300]) == 2
    for object_id, parts in polygons.items():
        assert np.array_equal(fill(parts, HEIGHT, WIDTH), strange_ids(FRAME) == object_id)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco(result: FrameResult) -> None:
    found = result.to_coco()
    assert [each["track_id"] for each in found] == list(SEEN)
    for each in found:
        assert each["image_id"] == FRAME
        assert np.array_equal(coco_mask.decode(each["segmentation"]), strange_ids(FRAME) == each["track_id"])
        assert coco_mask.toBbox(each["segmentation"]).tolist() == each["bbox"]
    assert result.to_coco(image_id=77)[0]["image_id"] == 77


def test_supervision(result: FrameResult) -> None:
    detections = result.to_supervision()
    assert isinstance(detections, sv.Detections)
    assert detections.tracker_id.tolist() == list(SEEN)
    assert np.array_equal(detections.mask[1], strange_ids(FRAME) == 7)
    assert detections.data["class_name"].tolist() == ["ball", "", "ball"]
    assert sv.mask_to_xyxy(detections.mask).tolist() == (detections.xyxy - (0, 0, 1, 1)).tolist()
