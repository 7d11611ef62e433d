import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamseg.masks import label_map as label_maps


def test_the_larger_logit_wins_and_masks_do_not_overlap():
    first = np.array([[1.0, 1.0, -1.0], [3.0, 1.0, 0.0]], np.float32)
    second = np.array([[2.0, 2.0], [0.5, -1.0]], np.float32)
    labels = label_maps.merge([(first, (1, 1, 4, 3)), (second, (2, 1, 4, 3))], (4, 5))
    assert labels.dtype == np.uint16
    assert labels.tolist() == [[0, 0, 0, 0, 0], [0, 1, 2, 2, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_merging_nothing_one_object_and_an_empty_window():
    assert label_maps.merge([], (3, 4)).tolist() == np.zeros((3, 4)).tolist()
    one = label_maps.merge([(np.array([[1.0, -1.0]], np.float32), (1, 0, 3, 1))], (1, 4))
    assert one.tolist() == [[0, 1, 0, 0]]
    empty = np.zeros((0, 3), np.float32)
    assert not label_maps.merge([(empty, (0, 2, 3, 2)), (empty, (0, 2, 3, 2))], (3, 4)).any()


def test_the_earlier_object_keeps_a_tie():
    logits = np.ones((1, 1), np.float32)
    assert label_maps.merge([(logits, (0, 0, 1, 1)), (logits, (0, 0, 1, 1))], (1, 1)).tolist() == [[1]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_areas_and_boxes_agree_with_the_plain_way(seed, n):
    labels = np.random.default_rng(seed).integers(0, 5, (6, 7)).astype(np.uint16)
    labels[np.random.default_rng(seed + 1).random(labels.shape) < 0.7] = 0
    found = label_maps.areas_and_boxes(labels, n)
    assert len(found) == n
    for k, (area_px, box) in enumerate(found, start=1):
        ys, xs = np.nonzero(labels == k)
        assert area_px == len(xs)
        assert box == (None if len(xs) == 0 else (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))


def test_a_run_ends_at_the_right_edge_of_its_row():
    labels = np.array([[0, 1, 1], [1, 0, 2]], np.uint16)
    runs = label_maps.runs_of(labels)
    assert [column.tolist() for column in runs] == [[1, 1, 2], [0, 1, 1], [1, 0, 2], [3, 1, 3]]
