"""Polygons of masks, read back in both ways that programs read polygons."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.errors import UsageError
from streamseg.masks.measures import mask_iou
from streamseg.masks.polygons import fill, one_ring, outline, rings


def strange_mask(seed: int, shape: tuple[int, int] = (47, 61)) -> np.ndarray:
    """Several parts, holes, an island in a hole, single pixels, and pixels that touch at corners only."""
    mask = np.zeros(shape, bool)
    mask[0:20, 0:25] = True
    mask[5:15, 5:18] = False
    mask[8:11, 8:12] = True
    mask[30:47, 40:61] = True
    mask[36:38, 45:47] = False
    return mask ^ (np.random.default_rng(seed).random(shape) > 0.97)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grid", ["edges", "centers"])
def test_without_tolerance_it_is_the_same_mask(seed: int, grid: str) -> None:
    mask = strange_mask(seed)
    parts = outline(mask, 0, grid)  # type: ignore[arg-type]
    found = fill(rings(parts), *mask.shape, grid)  # type: ignore[arg-type]
    # OpenCV draws the outline of a hole over a pixel that hangs on it by a corner.
    assert np.array_equal(found, mask) if grid == "edges" else mask_iou(found, mask) > 0.995


@pytest.mark.parametrize("seed", range(5))
def test_one_ring_has_all_parts_and_holes(seed: int) -> None:
    mask = strange_mask(seed)
    assert np.array_equal(fill([one_ring(outline(mask, 0))], *mask.shape), mask)


@pytest.mark.parametrize("radius", [10, 20, 40, 90])
def test_a_tolerance_costs_little(radius: int) -> None:
    y, x = np.mgrid[:200, :200]
    mask = (x - 100) ** 2 + (y - 95) ** 2 < radius**2
    exact, rough = outline(mask, 0)[0].outer, outline(mask, 1.0)[0].outer
    assert len(rough) < len(exact) * 0.7
    assert mask_iou(fill([rough], 200, 200), mask) >= 0.98


def test_nothing_has_no_parts() -> None:
    assert outline(np.zeros((5, 5), bool)) == []


def test_a_pixel_has_three_corners() -> None:
    mask = np.zeros((5, 7), bool)
    mask[2, 3] = True
    (part,) = outline(mask)
    assert len(part.outer) >= 3
    assert np.array_equal(fill([part.outer], 5, 7), mask)


def test_several_masks_are_refused() -> None:
    with pytest.raises(UsageError, match="one mask at a time"):
        outline(np.zeros((2, 5, 5), bool))
