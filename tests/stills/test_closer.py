"""Looking closely at what was pointed at in a picture."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from streamseg.masks.measures import mask_iou
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare
from streamseg.stills.automatic import AutomaticMaskGenerator
from streamseg.stills.objects import find_everything, find_pointed
from streamseg.stills.predictor import Predictor

CENTER, RADIUS = (470, 100), 17


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(device="cpu")


@pytest.fixture(scope="module")
def far_away() -> np.ndarray:
    """(480, 640, 3) uint8 RGB: a small disk on a ground of noise."""
    ground = np.random.default_rng(3).normal((70, 110, 70), 12, (480, 640, 3))
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    cv2.circle(picture, CENTER, RADIUS, (230, 60, 40), -1)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def found(predictor: Predictor, picture: np.ndarray, prompt: dict, *, closely: bool = True) -> np.ndarray:
    prompts = prepare([msgspec.convert(prompt, ObjectPrompt)])
    return find_pointed(predictor, picture, prompts, closely=closely).labels == 1


def truth(picture: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return (x + 0.5 - CENTER[0]) ** 2 + (y + 0.5 - CENTER[1]) ** 2 <= RADIUS**2


@pytest.mark.parametrize("prompt", [{"box": [452, 82, 488, 118]}, {"points": [list(CENTER)]}])
def test_a_small_thing_is_seen_closely(predictor, far_away, prompt) -> None:
    close = mask_iou(truth(far_away), found(predictor, far_away, prompt))
    assert close > 0.85
    assert close > mask_iou(truth(far_away), found(predictor, far_away, prompt, closely=False))


def test_what_was_found_unasked_is_seen_closely(predictor, far_away) -> None:
    on_it = np.array([CENTER]) / (far_away.shape[1], far_away.shape[0])
    thresholds = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    generator = AutomaticMaskGenerator(predictor, point_grids=[on_it], **thresholds, overlap=0.0)
    once = [each["segmentation"] for each in generator.generate(far_away)]
    objects = find_everything(generator, far_away)
    twice = [objects.labels == number for number in objects.ids]
    assert len(twice) == len(once) > 0
    before, after = (max(mask_iou(truth(far_away), mask) for mask in masks) for masks in (once, twice))
    assert after > max(before, 0.85)


def test_clicks_that_are_not_on_it_count(predictor, image) -> None:
    whole = found(predictor, image, {"box": [15, 25, 185, 195]})
    outside = found(predictor, image, {"box": [15, 25, 185, 195], "points": [[40, 110]], "negative": [[100, 110]]})
    assert whole[110, 40]
    assert outside[110, 40]
    assert outside.sum() <= whole.sum()


def test_a_box_round_nothing_gives_no_pixel_of_another_thing(predictor, far_away) -> None:
    assert not found(predictor, far_away, {"box": [40, 300, 90, 350]})[truth(far_away)].any()


def test_the_wholes_and_parts_that_a_click_may_mean_are_chosen_by_size(predictor, image) -> None:
    areas = [int(found(predictor, image, {"points": [[100, 110]], "choice": k}).sum()) for k in range(3)]
    assert areas[0] >= areas[2] > 0
