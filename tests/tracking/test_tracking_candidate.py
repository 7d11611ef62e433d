"""Masks of the decoder, cleaned and measured."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.masks.measures import mask_iou
from streamseg.tracking.candidate import Candidate, candidate_iou, coverage, full_mask, measure, without_specks
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.query import Answer, EncodedView, Query


def square(side: int, box: tuple[int, int, int, int], value: float = 6.0) -> np.ndarray:
    """(side, side) logits: `value` in the box, its negative elsewhere."""
    logits = np.full((side, side), -value, np.float32)
    logits[box[1] : box[3], box[0] : box[2]] = value
    return logits


def test_specks_go_unless_they_are_large_or_lie_on_the_last_mask() -> None:
    logits = square(32, (4, 4, 14, 14))
    logits[20:22, 20:22] = 5
    logits[25:27, 4:6] = 5
    last = np.zeros((32, 32), bool)
    last[24:28, 3:8] = True
    cleaned = without_specks(logits, last, 0.05)
    assert (cleaned[4:14, 4:14] > 0).all()
    assert (cleaned[20:22, 20:22] < 0).all()
    assert (cleaned[25:27, 4:6] > 0).all()
    np.testing.assert_array_equal(without_specks(logits, None, 0.01), logits)


def seen_in(region: tuple[float, float, float, float], box: tuple[int, int, int, int]) -> Candidate:
    """A mask of 64 x 64 logits in a square region of the frame."""
    side = region[2] - region[0]
    view = EncodedView(region, (256, 256), np.ones((4, 16, 16), np.float32), 1)
    x0, y0, x1, y1 = (round((edge - origin) * 64 / side) for edge, origin in zip(box, region[:2] * 2, strict=True))
    answer = Answer(Query(1, view), square(64, (x0, y0, x1, y1))[None], np.ones(1, np.float32))
    candidate = measure(answer, 0, None, np.zeros((120, 160, 3), np.uint8), TrackingOptions())
    assert candidate is not None
    return candidate


@pytest.mark.parametrize("box", [(50, 40, 90, 80), (80, 40, 120, 100), (110, 60, 140, 90)])
def test_masks_of_different_views_have_the_iou_that_they_have_in_the_frame(box: tuple[int, int, int, int]) -> None:
    first, second = seen_in((32.0, 16.0, 96.0, 80.0), (40, 24, 88, 72)), seen_in((24.0, -8.0, 152.0, 120.0), box)
    in_frame = [full_mask(candidate, (120, 160)) for candidate in (first, second)]
    assert candidate_iou(first, second) == mask_iou(*in_frame)
    assert coverage(first, second) == (in_frame[0] & in_frame[1]).sum() / in_frame[0].sum()
    assert candidate_iou(first, first) == 1
