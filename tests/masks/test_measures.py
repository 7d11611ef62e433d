import numpy as np
import pytest

from streamseg.masks.measures import deepest_point, depth_map, mask_iou


def box_mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((9, 20), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_iou_of_masks():
    assert mask_iou(box_mask(0, 0, 4, 4), box_mask(2, 0, 6, 4)) == pytest.approx(8 / 24)
    assert mask_iou(box_mask(0, 0, 4, 4), box_mask(0, 0, 4, 4)) == 1
    assert mask_iou(box_mask(0, 0, 4, 4), box_mask(4, 0, 8, 4)) == 0
    assert mask_iou(box_mask(0, 0, 4, 4), box_mask(0, 0, 0, 0)) == 0
    assert mask_iou(box_mask(0, 0, 0, 0), box_mask(0, 0, 0, 0)) == 1


@pytest.mark.parametrize("chamfer_px", [3, 5])
@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_the_deepest_point_is_far_from_every_edge(chamfer_px, kind):
    x, y = deepest_point(box_mask(2, 1, 18, 8).astype(kind), chamfer_px)
    assert y == 4.5
    assert 5 < x < 15


def test_the_edge_of_the_picture_is_an_edge_of_the_mask():
    assert deepest_point(np.ones((5, 5), bool)) == (2.5, 2.5)
    depth = depth_map(np.ones((5, 5), bool))
    assert depth.shape == (5, 5)
    assert depth[0].max() < depth[1, 2] < depth[2, 2]


def test_a_larger_neighborhood_comes_closer_to_the_true_distance():
    mask = np.ones((41, 41), bool)
    mask[20, 20] = False
    y, x = np.mgrid[:41, :41]
    true = np.minimum(np.hypot(x - 20, y - 20), np.minimum(np.minimum(x, y), 40 - np.maximum(x, y)) + 1)
    worst = [np.abs(depth_map(mask, chamfer_px) - true).max() for chamfer_px in (3, 5)]
    assert worst[1] < worst[0] < 1
