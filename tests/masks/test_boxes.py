import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import PromptError
from streamseg.masks import boxes


def test_the_box_of_one_pixel_has_exclusive_edges():
    mask = np.zeros((8, 9), bool)
    mask[5, 3] = True
    assert boxes.box_of_mask(mask) == (3.0, 5.0, 4.0, 6.0)


def test_an_empty_mask_has_no_box():
    assert boxes.box_of_mask(np.zeros((8, 9), bool)) is None


@given(st.integers(0, 2**32 - 1))
def test_the_box_of_a_mask_agrees_with_its_coordinates(seed):
    mask = np.random.default_rng(seed).random((11, 7)) < 0.05
    ys, xs = np.nonzero(mask)
    expected = None if len(xs) == 0 else (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert boxes.box_of_mask(mask) == expected


def test_the_box_of_a_mask_that_is_a_slice_of_another_array():
    labels = np.zeros((6, 12), np.uint16)
    labels[2:4, 4:8] = 3
    assert boxes.box_of_mask((labels == 3)[:, ::2]) == (2.0, 2.0, 4.0, 4.0)


def test_iou():
    assert boxes.box_iou((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(8 / 24)
    assert boxes.box_iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert boxes.box_iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert boxes.box_iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0


def test_expand_moves_every_edge_by_a_fraction_of_its_side():
    assert boxes.expand((0, 0, 10, 20), 0.1) == (-1, -2, 11, 22)
    assert boxes.expand(boxes.expand((3, 4, 13, 24), 0.5), -0.25) == (3, 4, 13, 24)


def test_clip():
    assert boxes.clip((-5, -5, 5, 50), 20, 10) == (0, 0, 5, 10)
    assert boxes.clip((20, 0, 30, 10), 20, 10) is None


@given(st.tuples(*(st.integers(-1000, 1000) for _ in range(4))))
def test_center_and_size_lead_back_to_the_box(box):
    assert boxes.from_center_size(*boxes.center_size(box)) == box


def test_a_valid_box_is_kept_and_one_that_reaches_out_is_clipped():
    assert boxes.validate_box([1, 2, 3.5, 4], 10, 10) == (1.0, 2.0, 3.5, 4.0)
    assert boxes.validate_box((-1, 5, 30, 9), 10, 8) == (0.0, 5.0, 10.0, 8.0)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((1, 2, 3), "four numbers"),
        ((1, 2, 3, "x"), "four numbers"),
        (7, "four numbers"),
        ((1, 2, math.nan, 4), "finite"),
        ((1, 2, math.inf, 4), "finite"),
        ((5, 2, 3, 4), "inverted"),
        ((5, 2, 5, 4), "empty"),
        ((640, 0, 700, 40), "640x360 frame"),
        ((-9, 0, 0, 40), "640x360 frame"),
    ],
)
def test_a_bad_box_is_refused_with_the_reason(box, says):
    with pytest.raises(PromptError, match=says):
        boxes.validate_box(box, 640, 360)


def test_valid_clicks_become_arrays():
    points, labels = boxes.validate_points([(0, 0), (640, 12.5)], [1, 0], 640, 360)
    assert points.dtype == np.float32 and points.tolist() == [[0, 0], [640, 12.5]]
    assert labels.dtype == np.int32 and labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("points", "labels", "says"),
    [
        ([], [], "at least one"),
        ([(1, 2)], [1, 0], "1 clicks and 2 labels"),
        ([(1, 2, 3)], [1], "two numbers"),
        ([(1, math.nan)], [1], "finite"),
        ([(641, 2)], [1], "640x360 frame"),
        ([(1, 2)], [2], "label is 1"),
    ],
)
def test_bad_clicks_are_refused_with_the_reason(points, labels, says):
    with pytest.raises(PromptError, match=says):
        boxes.validate_points(points, labels, 640, 360)
