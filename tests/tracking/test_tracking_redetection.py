"""Where a lost object is looked for, by its colors and features. No model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.looks import BLUE, GREEN, LIKE, OPTIONS, RED, UNLIKE, features_like, looks_of, paint

from streamseg.masks.boxes import box_iou
from streamseg.tracking.appearance import COLOR_BINS, Appearance, FrameColors
from streamseg.tracking.redetection import likely_places, search_frame, search_view, similarity_map
from streamseg.types import Box

HEIGHT, WIDTH = 192, 256
PATCH = (150, 60, 186, 84)
SIZE = (36.0, 24.0)
RNG = np.random.default_rng(5)


def striped(image: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """The object: as much red as green."""
    x0, y0, x1, y1 = box
    for left in range(x0, x1, 8):
        paint(image, (left, y0, min(left + 4, x1), y1), RED)
        paint(image, (min(left + 4, x1), y0, min(left + 8, x1), y1), GREEN)


def noise() -> np.ndarray:
    return RNG.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def the_object() -> Appearance:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, PATCH)
    return looks_of(image, PATCH)


def found_in_frame(image: np.ndarray, within: Box | None = None, others: Any = ()) -> Box | None:
    return search_frame(the_object(), SIZE, FrameColors.of(image), within, others, OPTIONS)


def test_the_colors_are_found_in_noise() -> None:
    image = noise()
    assert found_in_frame(image) is None
    striped(image, PATCH)
    found = found_in_frame(image)
    assert found is not None
    assert box_iou(found, PATCH) > 0.7


def test_the_search_looks_past_the_masks_of_other_objects() -> None:
    image, elsewhere = noise(), (40, 120, 76, 144)
    striped(image, PATCH)
    logits = np.full((57, 73), -6.0, np.float32)
    logits[60 - 45 : 84 - 45, 150 - 135 : 186 - 135] = 6
    every = np.ones(COLOR_BINS, bool)
    others = [(logits, (135, 45, 208, 102), every)]
    assert found_in_frame(image, None, others) is None
    assert found_in_frame(image, None, [(-logits, (135, 45, 208, 102), every)]) is not None
    none_of_its = the_object().color_vector == 0
    grown_over = found_in_frame(image, None, [(logits, (135, 45, 208, 102), none_of_its)])
    assert grown_over is not None
    assert box_iou(grown_over, PATCH) > 0.7
    striped(image, elsewhere)
    found = found_in_frame(image, None, others)
    assert found is not None
    assert box_iou(found, elsewhere) > 0.7


def test_the_search_goes_no_further_than_the_object_can_be() -> None:
    image = noise()
    striped(image, PATCH)
    assert found_in_frame(image, (-50.0, -50.0, 120.0, 150.0)) is None
    assert found_in_frame(image, (210.0, 100.0, 400.0, 400.0)) is None
    found = found_in_frame(image, (140.0, 40.0, 400.0, 400.0))
    assert found is not None
    assert box_iou(found, PATCH) > 0.7


def test_colors_that_are_everywhere_say_nothing() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, (0, 0, WIDTH, HEIGHT))
    assert found_in_frame(image) is None


def test_colors_that_are_everywhere_say_nothing_at_the_edge_of_where_the_object_can_be() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, (0, 0, WIDTH, HEIGHT))
    assert found_in_frame(image, (90.0, 60.0, 190.0, 140.0)) is None


def test_colors_that_are_everywhere_say_nothing_between_other_objects() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, (0, 0, WIDTH, HEIGHT))
    every = np.ones(COLOR_BINS, bool)
    beside = [(np.full((120, 60), 6.0, np.float32), (x, 40, x + 60, 160), every) for x in (40, 140)]
    assert found_in_frame(image, None, beside) is None


def test_in_a_view_both_features_and_colors_have_to_be_like_the_object() -> None:
    both, features_only, colors_only = (2, 2, 6, 5), (10, 2, 14, 5), (2, 10, 6, 13)
    image = np.full((128, 160, 3), BLUE, np.uint8)
    for x0, y0, x1, y1 in (both, colors_only):
        paint(image, (16 + 8 * x0, 8 * y0, 16 + 8 * x1, 8 * y1), RED)
    square = (16.0, 0.0, 144.0, 128.0)
    appearance, colors = looks_of(image, (32, 16, 64, 40)), FrameColors.of(image)

    def found(*places: tuple[int, int, int, int], region: Box = square) -> list[Box]:
        features = features_like(*places)
        return search_view(features, square, region, appearance, (32.0, 24.0), colors, OPTIONS)

    first, *others = found(both, features_only)
    assert first == (32, 16, 64, 40)
    assert all(box[2] <= 72 and box[3] <= 56 for box in others), "parts of it"
    assert found(features_only) == []
    assert set(found(both, colors_only)[:2]) == {(32, 16, 64, 40), (32, 80, 64, 104)}
    assert all(box[3] <= 72 for box in found(both, colors_only, region=(16.0, 0.0, 144.0, 72.0))), "not in padding"


def test_the_likely_place_is_where_the_features_are() -> None:
    features = np.repeat(np.repeat(UNLIKE[:, None, None], 20, 1), 30, 2)
    features[:, 6:12, 17:25] = 3 * LIKE[:, None, None]
    features[:, :4, :9] = -LIKE[:, None, None]
    like = similarity_map(features, Appearance.of(LIKE, np.zeros(216)))
    assert (like.min(), like.max()) == (0, 1)
    ((box, contrast),) = likely_places(like, (8, 6))
    assert box == (17, 6, 25, 12)
    assert contrast == pytest.approx(1, abs=1e-3)
    ((_, nowhere),) = likely_places(like[:, :15], (8, 6))
    assert nowhere == pytest.approx(0, abs=1e-3)
    assert likely_places(like, (90, 6)) == []


@pytest.mark.parametrize("size", [(11.0, 9.0), (8.0, 6.0), (6.0, 4.0)])
def test_a_place_is_found_at_other_sizes_than_the_usual(size: tuple[float, float]) -> None:
    like = np.zeros((20, 30), np.float32)
    like[6:12, 17:25] = 1
    ((box, contrast),) = likely_places(like, size)
    assert box == (17, 6, 25, 12)
    assert contrast == pytest.approx(1, abs=1e-3)


def test_an_object_that_fits_in_only_when_smaller_is_searched_smaller() -> None:
    like = np.zeros((20, 12), np.float32)
    like[8:12, 2:12] = 1
    ((box, _),) = likely_places(like, (14, 6))
    assert box == (2, 8, 12, 12)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_of_several_likely_places_the_best_come_first_and_none_lies_in_another(count: int) -> None:
    like = np.zeros((20, 30), np.float32)
    patches = [(2, 2, 8, 8), (20, 10, 26, 16), (12, 2, 18, 8)]
    for (x0, y0, x1, y1), value in zip(patches, (0.8, 1.0, 0.6), strict=True):
        like[y0:y1, x0:x1] = value
    places = likely_places(like, (6, 6), count=count)
    assert len(places) == count
    assert [box for box, _ in places[:3]] == [patches[1], patches[0], patches[2]][:count]
    assert [contrast for _, contrast in places[:3]] == pytest.approx([1, 0.8, 0.6][:count], abs=0.15)
