"""How following is counted on the made clips."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.evaluation.clips import Truth
from streamseg.evaluation.following import Watched, follow_clip

EMPTY = np.zeros((40, 60), bool)


def block(x: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[10:20, x : x + 10] = True
    return mask


def truth(*, mine: int | None = None, others: int | None = None) -> Truth:
    """Object 1 and object 2, where they are."""
    ids = np.zeros(EMPTY.shape, np.uint16)
    for identity, x in ((1, mine), (2, others)):
        if x is not None:
            ids[block(x)] = identity
    return Truth(ids, {1: float(mine is not None), 2: float(others is not None)})


def test_lost_is_right_while_the_object_is_gone_and_wrong_while_it_is_there() -> None:
    watched = Watched(1, ())
    watched.take(0, truth(mine=5), block(5), "TRACKED")
    watched.take(1, truth(), EMPTY, "LOST")
    watched.take(2, truth(), block(5), "TRACKED")
    watched.take(3, truth(mine=5), EMPTY, "LOST")
    watched.take(4, truth(mine=5), block(5), "REACQUIRED")
    found = watched.measured()
    assert (found.lost_right, found.lost_wrong, found.gone_missed) == (1, 1, 1)
    assert (found.lost_precision, found.lost_recall) == (0.5, 0.5)
    assert found.iou == 0.5
    assert watched.history == "LtlR"


@pytest.mark.parametrize(("frame", "counted"), [(9, 1), (10, 0)])
def test_a_return_is_found_within_ten_frames_by_a_mask_on_the_object(frame: int, counted: int) -> None:
    watched = Watched(1, ())
    watched.take(0, truth(mine=5), block(5), "TRACKED")
    watched.take(1, truth(), EMPTY, "LOST")
    for k in range(12):
        seen = k >= frame
        watched.take(2 + k, truth(mine=5), block(5) if seen else block(40), "TRACKED")
    assert (watched.measured().returns, watched.measured().returns_found) == (1, counted)


def test_going_over_to_another_object_is_a_swap_once() -> None:
    watched = Watched(1, ())
    for k, x in enumerate((5, 5, 30, 30, 5, 30)):
        watched.take(k, truth(mine=5, others=30), block(x), "TRACKED")
    found = watched.measured()
    assert (found.swaps, found.swapped_frames) == (2, 3)


def test_masks_after_a_cut_are_counted_unless_the_object_is_there() -> None:
    watched = Watched(1, [2])
    watched.take(0, truth(mine=5), block(5), "TRACKED")
    watched.take(1, truth(), block(5), "TRACKED")
    watched.take(2, truth(), block(5), "TRACKED")
    watched.take(3, truth(), EMPTY, "LOST")
    watched.take(4, truth(mine=5), block(5), "REACQUIRED")
    found = watched.measured()
    assert (found.after_cut, found.after_cut_masks) == (2, 1)


def test_counts_add_up() -> None:
    watched = Watched(1, ())
    watched.take(0, truth(mine=5), block(5), "TRACKED")
    watched.take(1, truth(mine=5), block(5), "TRACKED")
    both = watched.measured() + watched.measured()
    assert (both.visible_frames, both.iou) == (2, 1.0)


@pytest.mark.slow
def test_an_object_that_leaves_is_lost_and_found_again() -> None:
    found = follow_clip("exit", 3, embed={"device": "cpu"}, propagate={"device": "cpu"}).measures
    assert found.lost_recall is not None
    assert found.lost_recall > 0.8
    assert found.swaps == 0
