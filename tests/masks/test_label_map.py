import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamseg.masks import label_map as label_maps


def merged(windows, size):
    """The map of some windows, in a place where something was before."""
    return label_maps.merge(windows, np.full(size, 9, np.uint16))


def test_the_larger_logit_wins_and_masks_do_not_overlap():
    first = np.array([[1.0, 1.0, -1.0], [3.0, 1.0, 0.0]], np.float32)
    second = np.array([[2.0, 2.0], [0.5, -1.0]], np.float32)
    labels = merged([(first, (1, 1, 4, 3)), (second, (2, 1, 4, 3))], (4, 5))
    assert labels.dtype == np.uint16
    assert labels.tolist() == [[0, 0, 0, 0, 0], [0, 1, 2, 2, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_merging_nothing_one_object_and_an_empty_window():
    assert merged([], (3, 4)).tolist() == np.zeros((3, 4)).tolist()
    one = merged([(np.array([[1.0, -1.0]], np.float32), (1, 0, 3, 1))], (1, 4))
    assert one.tolist() == [[0, 1, 0, 0]]
    empty = np.zeros((0, 3), np.float32)
    assert not merged([(empty, (0, 2, 3, 2)), (empty, (0, 2, 3, 2))], (3, 4)).any()


def test_the_earlier_object_keeps_a_tie():
    logits = np.ones((1, 1), np.float32)
    assert merged([(logits, (0, 0, 1, 1)), (logits, (0, 0, 1, 1))], (1, 1)).tolist() == [[1]]


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
    bordered = np.pad(labels, ((2, 1), (3, 4)))
    moved = [(area, box and (box[0] + 3, box[1] + 2, box[2] + 3, box[3] + 2)) for area, box in found]
    assert label_maps.areas_and_boxes(bordered, n) == moved
    assert label_maps.areas_and_boxes(bordered, n, within=(3, 2, 10, 8)) == moved


def test_where_there_are_masks_at_all():
    full, empty = np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32)
    assert label_maps.around([]) is None
    assert label_maps.around([(empty, (0, 2, 3, 2))]) is None
    windows = [(full, (4, 1, 7, 3)), (empty, (0, 0, 3, 0)), (full, (2, 5, 5, 7))]
    assert label_maps.around(windows) == (2, 1, 7, 7)
    assert label_maps.areas_and_boxes(np.zeros((4, 5), np.uint16), 1, within=(2, 1, 2, 1)) == [(0, None)]
    assert label_maps.areas_and_boxes(np.zeros((4, 5), np.uint16), 1) == [(0, None)]


def test_a_run_ends_at_the_right_edge_of_its_row():
    labels = np.array([[0, 1, 1], [1, 0, 2]], np.uint16)
    runs = label_maps.runs_of(labels)
    assert [column.tolist() for column in runs] == [[1, 1, 2], [0, 1, 1], [1, 0, 2], [3, 1, 3]]
