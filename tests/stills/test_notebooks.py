"""What segment-anything's notebooks do runs with the bundled model, the import changed and the model named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.masks.boxes import box_iou
from streamseg.sam.models import MODELS
from streamseg.segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from streamseg.segment_anything.utils.transforms import ResizeLongestSide
from streamseg.stills.model import StillModel

BODY, WINDOW, MOON = (20, 30, 180, 190), (60, 70, 140, 150), (215, 25, 275, 85)


@pytest.fixture(scope="module")
def sam() -> StillModel:
    model = sam_model_registry["tiny"](checkpoint=None)
    model.to(device="cpu")
    return model


@pytest.fixture(scope="module")
def predictor(sam, image) -> SamPredictor:
    found = SamPredictor(sam)
    found.set_image(image)
    return found


def around(mask: np.ndarray) -> tuple[float, ...]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_a_click_and_then_two(predictor):
    point, label = np.array([[100, 110]]), np.array([1])
    masks, scores, logits = predictor.predict(point_coords=point, point_labels=label, multimask_output=True)
    assert (masks.shape, masks.dtype, scores.shape, logits.shape) == ((3, 200, 300), bool, (3,), (3, 256, 256))
    mask_input = logits[np.argmax(scores), :, :]
    masks, _, _ = predictor.predict(
        point_coords=np.array([[100, 110], [100, 45]]),
        point_labels=np.array([1, 1]),
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    assert masks.shape == (1, 200, 300)
    assert masks[0, 45, 100]
    without, _, _ = predictor.predict(
        point_coords=np.array([[100, 110], [100, 45]]),
        point_labels=np.array([1, 0]),
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    assert without.sum() < masks.sum()


def test_a_box_and_a_point_that_is_not_meant(predictor):
    box = np.array(BODY)
    masks, _, _ = predictor.predict(point_coords=None, point_labels=None, box=box[None, :], multimask_output=False)
    assert box_iou(around(masks[0]), BODY) > 0.8
    less, _, _ = predictor.predict(
        point_coords=np.array([[100, 110]]), point_labels=np.array([0]), box=box, multimask_output=False
    )
    assert less.shape == (1, 200, 300)
    assert less.sum() < masks.sum()


def test_boxes_at_once(predictor, image):
    boxes = torch.tensor([BODY, WINDOW, MOON], device=predictor.device)
    moved = predictor.transform.apply_boxes_torch(boxes, image.shape[:2])
    masks, scores, low = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=moved, multimask_output=False
    )
    assert (masks.shape, masks.dtype, scores.shape, low.shape) == (
        *((3, 1, 200, 300), torch.bool, (3, 1)),
        (3, 1, 256, 256),
    )
    for mask, (x0, y0, x1, y1) in zip(masks.cpu().numpy()[:, 0], (BODY, WINDOW, MOON), strict=True):
        inside = mask[y0:y1, x0:x1]
        # A few specks elsewhere are nothing that a predictor takes away; a disk is 0.785 of its box.
        assert inside.sum() > 0.95 * mask.sum()
        assert 0.7 < inside.mean() < 0.87


def test_pictures_and_boxes_at_once(sam, predictor, image):
    resize = ResizeLongestSide(sam.image_encoder.img_size)
    other = np.ascontiguousarray(image[:, ::-1])

    def prepared(picture: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(resize.apply_image(picture), device=sam.device).permute(2, 0, 1).contiguous()

    boxes = torch.tensor([BODY, WINDOW])
    output = sam(
        [
            {
                "image": prepared(image),
                "boxes": resize.apply_boxes_torch(boxes, image.shape[:2]),
                "original_size": image.shape[:2],
            },
            {
                "image": prepared(other[:100]),
                "point_coords": resize.apply_coords_torch(torch.tensor([[[150, 80]]]), (100, 300)),
                "point_labels": torch.tensor([[1]]),
                "original_size": (100, 300),
            },
        ],
        multimask_output=False,
    )
    assert [each["masks"].shape for each in output] == [(2, 1, 200, 300), (1, 1, 100, 300)]
    assert output[0].keys() == {"masks", "iou_predictions", "low_res_logits"}
    wanted = predictor.predict_torch(
        None, None, resize.apply_boxes_torch(boxes, image.shape[:2]), multimask_output=False
    )
    for found, theirs in zip(output[0].values(), wanted, strict=True):
        assert torch.allclose(found.float(), theirs.float(), atol=1e-3)


@pytest.mark.slow
def test_everything(sam, image):
    masks = SamAutomaticMaskGenerator(sam).generate(image)
    assert len(masks) > 0
    assert masks[0].keys() == {
        *("segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"),
    }
    best = sorted(masks, key=lambda each: each["area"], reverse=True)
    assert best[0]["segmentation"].shape == (200, 300)
    more = SamAutomaticMaskGenerator(
        model=sam,
        points_per_side=8,
        pred_iou_thresh=0.3,
        stability_score_thresh=0.2,
        crop_n_layers=1,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
    ).generate(image)
    assert len(more) > 0


@pytest.mark.slow
def test_the_registry(nano, vit_b):
    # The very small one is put among the models only by these tests, once the registry is there.
    assert set(sam_model_registry) - {nano.name} == {"default", *MODELS} - {nano.name}
    assert sam_model_registry["default"]().name == "tiny"
    assert sam_model_registry["default"](checkpoint=vit_b.checkpoint).name == "vit_h"
    model = sam_model_registry["vit_b"](checkpoint=str(vit_b.checkpoint))
    assert (model.name, model.eval(), model.to("cpu"), model.device) == ("vit_b", model, model, torch.device("cpu"))
    assert (model.mask_threshold, model.image_format, model.image_encoder.img_size) == (0.0, "RGB", 1024)
