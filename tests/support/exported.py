"""What should be in an export: the masks of `support.strange_masks`, and how to compare with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from support.strange_masks import IDS, strange_ids

from streamseg.masks.measures import mask_iou

Found = Mapping[tuple[int, int], np.ndarray]
"""(frame, id) -> (H, W) bool."""


def truth(frames: int, ids: tuple[int, ...] = IDS) -> dict[tuple[int, int], np.ndarray]:
    """Every mask that is not empty."""
    renumbered = dict(zip(IDS, ids, strict=True))
    masks = {(n, renumbered[i]): strange_ids(n) == i for n in range(frames) for i in IDS}
    return {key: mask for key, mask in masks.items() if mask.any()}


def assert_identical(found: Found, frames: int, ids: tuple[int, ...] = IDS) -> None:
    """The same masks, to the pixel, and no others."""
    expected = truth(frames, ids)
    assert set(found) == set(expected)
    for key, mask in expected.items():
        assert np.array_equal(found[key], mask), key


def assert_alike(found: Found, frames: int, ids: tuple[int, ...] = IDS, iou: float = 0.98) -> None:
    """The same objects in the same frames, their masks nearly the same."""
    expected = truth(frames, ids)
    assert set(found) == set(expected)
    for key, mask in expected.items():
        assert mask_iou(found[key], mask) >= iou, key
