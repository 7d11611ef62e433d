"""`AutomaticMaskGenerator` gives what segment-anything's class gives; more is sorted out on request."""

from __future__ import annotations

import inspect
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco

import streamseg
from streamseg.errors import UsageError
from streamseg.masks import rle
from streamseg.sam.automatic_masks import crops as crop_module
from streamseg.sam.automatic_masks import picture
from streamseg.stills.automatic import AutomaticMaskGenerator
from streamseg.stills.predictor import Predictor

# isort: split
# These need torchvision put right.
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, automatic_mask_generator

SIZE = (90, 120)
# Random weights give ragged masks that fill the picture: thresholds where some pass and some do not.
CASES: dict[str, dict[str, Any]] = {
    "filters": {
        **{"points_per_side": 3, "pred_iou_thresh": 0.01, "stability_score_thresh": 0.75, "box_nms_thresh": 0.99},
        **{"stability_score_offset": 0.02, "points_per_batch": 4},
    },
    "crops": {
        **{"points_per_side": 4, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0, "box_nms_thresh": 0.95},
        **{"crop_n_layers": 1, "crop_n_points_downscale_factor": 2, "crop_nms_thresh": 0.8},
        **{"min_mask_region_area": 60, "output_mode": "uncompressed_rle"},
    },
    "grids": {
        **{"points_per_side": None, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 0.99},
        **{"point_grids": [np.array([[0.2, 0.3], [0.7, 0.8]]), np.array([[0.5, 0.5]])], "crop_n_layers": 1},
        **{"output_mode": "coco_rle", "crop_overlap_ratio": 0.2, "crop_nms_thresh": 0.99},
    },
}


class Remembering(SamPredictor):
    """Encodes each picture once, which takes seconds; that both encoders agree is tested elsewhere."""

    seen: dict[bytes, torch.Tensor]

    def set_torch_image(self, transformed_image: torch.Tensor, original_image_size: tuple[int, ...]) -> None:
        key = transformed_image.numpy().tobytes()
        if key not in self.seen:
            super().set_torch_image(transformed_image, original_image_size)
            self.seen[key] = self.features
        self.reset_image()
        self.original_size, self.input_size = original_image_size, tuple(transformed_image.shape[-2:])
        self.features, self.is_image_set = self.seen[key], True


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def its(nano) -> Remembering:
    predictor = Remembering(nano.reference)
    predictor.seen = {}
    return predictor


@pytest.fixture
def mine(nano, its, monkeypatch) -> Predictor:
    """Has the features of the other one."""
    predictor = Predictor(nano.name, nano.checkpoint, device="cpu")

    def encode(images: list[np.ndarray]) -> list[np.ndarray]:
        resized = predictor.transform.apply_image(images[0])
        return [its.seen[np.ascontiguousarray(resized.transpose(2, 0, 1)[None]).tobytes()][0].numpy()]

    monkeypatch.setattr(predictor.model.encoder, "encode", encode)
    return predictor


def as_mask(segmentation: Any) -> np.ndarray:
    if isinstance(segmentation, np.ndarray):
        return segmentation
    height, width = segmentation["size"]
    read = rle.decode_compressed if isinstance(segmentation["counts"], str) else rle.decode
    return read(segmentation["counts"], height, width)


@pytest.mark.parametrize(
    ("case", "edges"),
    [
        *(("filters", "real"), ("grids", "real"), ("filters", "odd"), ("crops", "odd"), ("grids", "odd")),
        pytest.param("crops", "real", marks=pytest.mark.slow),
    ],
)
def test_records_are_those_of_sam_automatic_mask_generator(nano, its, mine, image, case, edges, monkeypatch):
    if edges == "odd":
        # Ragged masks fill their crops, so nearly all end at an edge. Let chance say which do: what goes there must go
        # before duplicates are looked for.
        def cut(proposal: Any, crop: Any, image_size: Any, frame_size: Any) -> bool:
            return sum(proposal.box_xyxy) % 2 == 1

        monkeypatch.setattr(picture, "ends_at_edge", cut)
        monkeypatch.setattr(crop_module, "ends_at_edge", cut)
        monkeypatch.setattr(automatic_mask_generator, "is_box_near_crop_edge", lambda boxes, *_: boxes.sum(1) % 2 == 1)
    reference = SamAutomaticMaskGenerator(nano.reference, **CASES[case])
    reference.predictor = its
    wanted = reference.generate(image)
    generator = AutomaticMaskGenerator(mine, **CASES[case])
    found = generator.generate(image)
    assert len(found) == len(wanted) > 0
    assert any(generator.removed.values())
    for record, theirs in zip(found, wanted, strict=True):
        assert list(record) != []
        assert record.keys() == theirs.keys()
        assert {name: type(value) for name, value in record.items()} == {
            name: type(value) for name, value in theirs.items()
        }
        segmentation, other = record["segmentation"], theirs["segmentation"]
        if isinstance(segmentation, dict):
            assert segmentation["size"] == other["size"]
            assert type(segmentation["counts"]) is type(other["counts"])
        # A pixel or two lie so near the cutoff that rounding decides.
        assert np.count_nonzero(as_mask(segmentation) != as_mask(other)) <= 2
        assert record["area"] == pytest.approx(theirs["area"], abs=2)
        assert record["bbox"] == theirs["bbox"]
        assert record["crop_box"] == theirs["crop_box"]
        assert record["predicted_iou"] == pytest.approx(theirs["predicted_iou"], abs=1e-4)
        assert record["stability_score"] == pytest.approx(theirs["stability_score"], abs=1e-3)
        assert record["point_coords"] == [pytest.approx(point) for point in theirs["point_coords"]]


def test_names_and_order_of_options_are_those_of_sam_automatic_mask_generator():
    mine, its = (inspect.signature(each).parameters for each in (AutomaticMaskGenerator, SamAutomaticMaskGenerator))
    assert list(mine)[: len(its)] == list(its)
    for name in its:
        assert mine[name].default in (its[name].default, "tiny", None), name
    assert streamseg.AutomaticMaskGenerator is AutomaticMaskGenerator


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """(120, 160, 3) uint8 RGB: two disks on a plain ground."""
    picture = np.full((120, 160, 3), (40, 90, 60), np.uint8)
    cv2.circle(picture, (45, 45), 28, (240, 200, 60), -1)
    cv2.circle(picture, (120, 80), 24, (60, 60, 200), -1)
    return cv2.GaussianBlur(picture, (3, 3), 0)


@pytest.fixture(scope="module")
def bundled() -> Predictor:
    return Predictor(device="cpu")


def test_the_bundled_model_has_thresholds_of_its_own(bundled, scene):
    generator = AutomaticMaskGenerator(bundled)
    assert [len(grid) for grid in generator.point_grids] == [16 * 16, 8 * 8]
    generator = AutomaticMaskGenerator(bundled, points_per_side=8, crop_n_layers=0)
    found = generator.generate(scene)
    assert {"segmentation", "area", "bbox"} < set(found[0])
    assert any(each["segmentation"][45, 45] and 2000 < each["area"] < 3000 for each in found)


def test_noise_goes_on_request(bundled, scene):
    usual = {"points_per_side": 6, "crop_n_layers": 0, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    everything = AutomaticMaskGenerator(bundled, **usual).generate(scene)
    generator = AutomaticMaskGenerator(bundled, **usual, min_area=0.02, max_area=0.3, overlap=0.3, max_objects=5)
    few = generator.generate(scene)
    assert len(few) <= 5 < len(everything)
    assert all(0.02 <= each["area"] / scene[..., 0].size <= 0.3 for each in few)
    assert {"min_area", "max_area", "overlap"} <= set(generator.removed)
    assert sum(generator.removed.values()) == 3 * 36 - len(few)
    for one in few:
        for other in few:
            if one is not other:
                shared = (one["segmentation"] & other["segmentation"]).sum()
                assert shared <= 0.3 * min(one["area"], other["area"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_run_lengths_are_read_by_pycocotools(bundled, scene):
    options = {"points_per_side": 8, "crop_n_layers": 0}
    masks, packed = (
        AutomaticMaskGenerator(bundled, **options, output_mode=mode).generate(scene)
        for mode in ("binary_mask", "coco_rle")
    )
    assert masks
    for mask, record in zip(masks, packed, strict=True):
        np.testing.assert_array_equal(coco.decode(record["segmentation"]).astype(bool), mask["segmentation"])


def test_thresholds_of_another_model_are_told(bundled, scene):
    generator = AutomaticMaskGenerator(bundled, points_per_side=2, crop_n_layers=0, pred_iou_thresh=0.999)
    with pytest.warns(UserWarning, match=r"none of 12 masks.*pred_iou_thresh=0\.999.*tiny 0\.25 is usual"):
        assert generator.generate(scene) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"output_mode": "polygon"}, "no output_mode 'polygon'"),
        ({"points_per_side": 8, "point_grids": [np.zeros((1, 2))]}, "got both"),
        ({"points_per_side": 0}, "at least 1 for points_per_side"),
        ({"points_per_batch": 0}, "points_per_batch of 1 or more"),
        ({"pred_iou_thresh": 1.5}, "at most 1 for pred_iou_thresh"),
        ({"crop_n_layers": 1, "point_grids": [np.zeros((1, 2))]}, "expected 2 point_grids.*got 1"),
        ({"point_grids": [np.full((1, 2), 7.0)]}, "from 0 to 1"),
        ({"min_mask_region_area": -1}, "at least 0"),
        ({"max_objects": 0}, "at least 1 for max_objects"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(bundled, options, said):
    with pytest.raises(UsageError, match=said):
        AutomaticMaskGenerator(bundled, **options)


def test_what_is_no_picture_is_refused(bundled):
    with pytest.raises(UsageError, match=r"expected a picture \(H, W, 3\) of uint8"):
        AutomaticMaskGenerator(bundled).generate(np.zeros((9, 9), np.uint8))
