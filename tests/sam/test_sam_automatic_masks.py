"""All masks of a picture are those of segment-anything's SamAutomaticMaskGenerator; more is sorted out after that."""

from __future__ import annotations

from itertools import starmap
from typing import Any

import numpy as np
import pytest
import torch

from streamseg.sam.automatic_masks import (
    AutomaticMaskOptions,
    Crop,
    CropProposals,
    Proposal,
    Proposals,
    generate_crops,
    generate_masks,
    merge_crops,
    select_objects,
)
from streamseg.sam.automatic_masks import crops as crop_module
from streamseg.sam.automatic_masks.generate import filter_regions
from streamseg.sam.automatic_masks.options import SAM, TINY
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.loading import load_decoder

# isort: split
# These need torchvision put right.
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, automatic_mask_generator
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes, is_box_near_crop_edge

SIZE = (90, 120)
# Random weights give ragged masks that fill the picture: thresholds where some pass and some do not.
CASES = {
    "filters": {"pred_iou_thresh": 0.01, "stability_score_thresh": 0.75, "box_nms_thresh": 0.99},
    "regions": {
        **{"pred_iou_thresh": 0.1, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0},
        "min_mask_region_area": 60,
    },
}
TOOK = {
    "filters": ["pred_iou_thresh", "stability_score_thresh", "box_nms_thresh"],
    "regions": ["pred_iou_thresh"],
}


@pytest.fixture(scope="module")
def decoder(nano) -> MaskDecoder:
    return load_decoder(nano.name, checkpoint=nano.checkpoint, device="cpu")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor(nano, image) -> SamPredictor:
    """Encodes once: that takes seconds, and that both encoders agree is tested elsewhere."""
    predictor = SamPredictor(nano.reference)
    predictor.set_image(image)
    predictor.set_image = lambda again: None
    predictor.reset_image = lambda: None
    return predictor


@pytest.mark.parametrize("case", CASES)
def test_masks_are_those_of_the_automatic_mask_generator(nano, decoder, predictor, image, case):
    options: dict[str, Any] = {"points_per_side": 3, "stability_score_offset": 0.02, **CASES[case]}
    more_filters_off = {"min_area": 0.0, "max_area": 1.0, "one_part": 0.0}
    generator = SamAutomaticMaskGenerator(nano.reference, **options)
    generator.predictor = predictor
    wanted = generator.generate(image)
    found = generate_masks(
        decoder, predictor.get_image_embedding()[0].numpy(), SIZE, AutomaticMaskOptions(**options, **more_filters_off)
    )
    assert found.asked == 27
    assert len(found.proposals) == 27 - sum(found.removed.values()) == len(wanted) > 1
    assert [name for name, count in found.removed.items() if count] == TOOK[case]
    for mine, its in zip(found.proposals, wanted, strict=True):
        # A pixel or two lie so near the cutoff that rounding decides.
        assert np.count_nonzero(mine.mask(SIZE) != its["segmentation"]) <= 2
        assert mine.area_px == pytest.approx(its["area"], abs=2)
        assert mine.predicted_iou == pytest.approx(its["predicted_iou"], abs=1e-5)
        assert mine.stability_score == pytest.approx(its["stability_score"], abs=1e-3)
        assert [mine.point_xy] == [tuple(point) for point in its["point_coords"]]
        x, y, width, height = its["bbox"]
        assert mine.box_xyxy == (x, y, x + width + 1, y + height + 1)


def test_crops_are_those_of_the_automatic_mask_generator():
    for size in ((480, 640), (1080, 1920), (37, 90), (2, 3)):
        for layers in (1, 2, 3):
            boxes, numbers = generate_crop_boxes(size, layers, 512 / 1500)
            wanted = [Crop(tuple(box), layer) for box, layer in zip(boxes, numbers, strict=True)]
            its = [each for each in wanted[1:] if np.less(each.box_xyxy[:2], each.box_xyxy[2:]).all()]
            assert generate_crops(size[1], size[0], layers, 512 / 1500) == its
    options = AutomaticMaskOptions(points_per_side=12, crop_n_points_downscale_factor=3)
    grids = build_all_layer_point_grids(12, 2, 3)
    mine = [options.settings("vit_b").points_per_side_in(layer) for layer in range(3)]
    assert [side**2 for side in mine] == [len(grid) for grid in grids]


class Recording(SamPredictor):
    """Keeps the features of every picture."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.seen: list[np.ndarray] = []

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        super().set_image(image, image_format)
        self.seen.append(self.get_image_embedding()[0].numpy())


def test_what_ends_at_the_edge_of_a_crop_is_dropped_as_by_the_automatic_mask_generator():
    size, rng = (300, 400), np.random.default_rng(2)
    removed = 0
    for crop in generate_crops(400, 300, 2, 0.3):
        left, top, right, bottom = crop.box_xyxy
        corners = rng.integers(0, [right - left - 30, bottom - top - 30], (40, 2))
        boxes = np.concatenate([corners, corners + rng.integers(2, 30, (40, 2))], axis=1)
        view = CropProposals(crop, (bottom - top, right - left), Proposals(list(starmap(_rectangle, boxes)), 40, {}))
        found = merge_crops([view], size, size, AutomaticMaskOptions(crop_nms_thresh=1.0))
        # SAM's boxes end with the last pixel.
        theirs = torch.from_numpy(boxes - [0, 0, 1, 1])
        near = is_box_near_crop_edge(theirs, list(crop.box_xyxy), [0, 0, 400, 300]).numpy()
        wanted = boxes[~near] + [left, top, left, top]
        assert [proposal.box_xyxy for proposal in found.proposals] == [tuple(box) for box in wanted.tolist()]
        removed += found.removed["crop_edge"]
        assert found.removed["crop_edge"] == near.sum()
    assert removed > 40


def test_without_crops_only_the_masks_of_the_whole_are_compared():
    whole, part = Crop((0, 0, 100, 100), 0), Crop((0, 0, 60, 60), 1)
    alike = [_rectangle(25, 25, 35, 35), _rectangle(25, 25, 35, 34)]
    found = CropProposals(whole, (100, 100), Proposals(alike, 2, {}))
    nothing = CropProposals(part, (60, 60), Proposals([], 0, {}))
    assert len(merge_crops([found], (100, 100), (100, 100), AutomaticMaskOptions()).proposals) == 2
    assert len(merge_crops([found, nothing], (100, 100), (100, 100), AutomaticMaskOptions()).proposals) == 1


def _rectangle(x0: int, y0: int, x1: int, y1: int) -> Proposal:
    bits = np.packbits(np.ones((y1 - y0, x1 - x0), bool))
    return Proposal((x0 + 0.5, y0 + 0.5), 0, 0.9, 1.0, (x0, y0, x1, y1), int((y1 - y0) * (x1 - x0)), bits)


def test_masks_of_crops_are_those_of_the_automatic_mask_generator(nano, decoder, image, monkeypatch):
    # Ragged masks fill their crops: let those stay that end at an edge.
    monkeypatch.setattr(crop_module, "_NEAR_EDGE_PX", -1.0)
    monkeypatch.setattr(automatic_mask_generator, "is_box_near_crop_edge", lambda boxes, *_: boxes[:, 0] < -1)
    options: dict[str, Any] = {
        **{"points_per_side": 4, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0, "box_nms_thresh": 0.99},
        **{"crop_n_layers": 1, "crop_n_points_downscale_factor": 2, "crop_nms_thresh": 0.8},
    }
    generator = SamAutomaticMaskGenerator(nano.reference, **options)
    generator.predictor = recording = Recording(nano.reference)
    wanted = generator.generate(image)
    ours = AutomaticMaskOptions(**options, min_area=0.0, max_area=1.0, one_part=0.0)
    height, width = SIZE
    crops = [Crop((0, 0, width, height), 0), *generate_crops(width, height, 1, ours.crop_overlap_ratio)]
    views = []
    for crop, features in zip(crops, recording.seen, strict=True):
        x0, y0, x1, y1 = crop.box_xyxy
        per_side = ours.settings(nano.name).points_per_side_in(crop.layer)
        found = generate_masks(decoder, features, (y1 - y0, x1 - x0), ours, points_per_side=per_side)
        views.append(CropProposals(crop, (y1 - y0, x1 - x0), found))
    found = merge_crops(views, SIZE, SIZE, ours)
    assert found.asked == 3 * (16 + 4 * 4)
    assert len(found.proposals) == found.asked - sum(found.removed.values()) == len(wanted)
    assert {proposal.view for proposal in found.proposals} == {0, 1, 2, 3, 4}
    for mine, its in zip(found.proposals, wanted, strict=True):
        assert np.count_nonzero(mine.mask(SIZE) != its["segmentation"]) <= 2
        assert [mine.point_xy] == [pytest.approx(tuple(point)) for point in its["point_coords"]]
        x, y, wide, high = its["crop_box"]
        assert crops[mine.view].box_xyxy == (x, y, x + wide, y + high)


def test_thresholds_are_the_models_own_unless_they_are_given():
    assert AutomaticMaskOptions().settings("tiny") == TINY
    assert AutomaticMaskOptions().settings("vit_b") == SAM
    given = AutomaticMaskOptions(points_per_side=4, pred_iou_thresh=0.0).settings("vit_h")
    assert (given.points_per_side, given.pred_iou_thresh) == (4, 0.0)
    assert given.stability_score_thresh == SAM.stability_score_thresh


def proposal(
    x0: int, y0: int, x1: int, y1: int, score: float, hole: tuple[int, int, int, int] | None = None
) -> Proposal:
    """A rectangle in a picture of 100 x 100, clicked at its top left corner, with a part cut out of it."""
    window = np.ones((y1 - y0, x1 - x0), bool)
    if hole is not None:
        window[hole[1] : hole[3], hole[0] : hole[2]] = False
    area_px = int(window.sum())
    return Proposal((x0 + 0.5, y0 + 0.5), 0, score, 1.0, (x0, y0, x1, y1), area_px, np.packbits(window))


def sorted_out(
    proposals: list[Proposal], known: list[np.ndarray] | None = None, **options: Any
) -> tuple[list[float], dict[str, int]]:
    """The scores of those that stay, and how many each filter took, those that took none left out."""
    removed: dict[str, int] = {}
    wanted = AutomaticMaskOptions(**options)
    fit = filter_regions(proposals, 100 * 100, wanted.settings("tiny"), wanted, removed)
    kept = select_objects(Proposals(fit, 300, removed), (100, 100), known or [], wanted)
    assert kept.asked == 300
    return [each.predicted_iou for each in kept.proposals], {name: n for name, n in kept.removed.items() if n}


def test_specks_and_backgrounds_go():
    speck, thing, background = proposal(0, 0, 4, 4, 0.9), proposal(20, 20, 50, 50, 0.8), proposal(0, 0, 100, 100, 0.7)
    assert sorted_out([speck, thing, background]) == ([0.8], {"min_area": 1, "max_area": 1})
    everything = {"min_area": 0.0, "max_area": 1.0, "overlap": 1.0}
    assert sorted_out([speck, thing, background], **everything) == ([0.7, 0.8, 0.9], {})


def test_parts_go_with_their_whole_and_neighbors_stay():
    whole, part = proposal(20, 20, 60, 60, 0.8), proposal(30, 30, 40, 40, 0.7)
    neighbor = proposal(55, 20, 90, 60, 0.6)
    assert sorted_out([whole, part, neighbor]) == ([0.8, 0.6], {"overlap": 1})
    assert sorted_out([whole, part, neighbor], overlap=0.05)[1] == {"overlap": 2}


def test_what_is_followed_already_is_not_found_again():
    known = np.zeros((100, 100), bool)
    known[18:62, 18:62] = True
    assert sorted_out([proposal(20, 20, 60, 60, 0.8), proposal(70, 70, 90, 90, 0.6)], [known]) == ([0.6], {"known": 1})


def test_a_mask_in_pieces_is_cut_down_to_the_clicked_one():
    halves = proposal(20, 20, 60, 40, 0.9, hole=(18, 0, 22, 20))
    unclicked = proposal(70, 20, 90, 40, 0.7, hole=(0, 0, 1, 1))
    removed: dict[str, int] = {}
    (half,) = filter_regions([halves, unclicked], 100 * 100, TINY, AutomaticMaskOptions(), removed)
    assert (half.box_xyxy, half.area_px) == ((20, 20, 38, 40), 18 * 20)
    assert half.mask((100, 100)).sum() == 18 * 20
    assert removed == {"one_part": 1, "min_area": 0, "max_area": 0}
    assert sorted_out([halves, unclicked], one_part=0.6) == ([], {"one_part": 2})
    assert sorted_out([halves, unclicked], one_part=0.0) == ([0.9, 0.7], {})


def test_the_best_are_kept_and_numbered_by_size():
    small, large, middle = proposal(0, 0, 10, 10, 0.9), proposal(20, 0, 50, 30, 0.8), proposal(60, 0, 80, 20, 0.7)
    assert sorted_out([small, large, middle]) == ([0.8, 0.7, 0.9], {})
    assert sorted_out([small, large, middle], order="score") == ([0.9, 0.8, 0.7], {})
    assert sorted_out([small, large, middle], max_objects=2) == ([0.8, 0.9], {"max_objects": 1})
