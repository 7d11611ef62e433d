"""Which mask is believed to be a lost object."""

from __future__ import annotations

import numpy as np
import pytest
from support.looks import BLUE, OPTIONS, RED, answer, lost, paint

from streamseg.tracking.association import Assignment, associate
from streamseg.tracking.gating import reachable_box
from streamseg.tracking.state import Track


def assigned(track: Track, box: tuple[int, int, int, int], red: float = 1.0, *, cut: bool = False) -> Assignment:
    """What is made of a mask, so much of which is red and the rest blue."""
    image = np.full((128, 128, 3), BLUE, np.uint8)
    x0, y0, x1, y1 = box
    paint(image, (x0, y0, x1, y0 + round(red * (y1 - y0))), RED)
    ((_, assignment),) = associate([track], {1: [answer(1, box)]}, image, OPTIONS, cut=cut)
    return assignment


def test_a_lost_object_is_not_found_further_off_than_it_can_have_come() -> None:
    there = (90, 40, 110, 60)
    refused = assigned(lost(unseen=1), there)
    assert refused.state == "LOST"
    assert "too far" in refused.reason
    assert assigned(lost(unseen=10), there).state == "REACQUIRED"
    assert assigned(lost(unseen=1), (60, 40, 80, 60)).state == "REACQUIRED"
    assert assigned(lost(unseen=1, displaced=True), there).state == "REACQUIRED"
    assert assigned(lost(unseen=1), there, cut=True).state == "REACQUIRED"


def test_what_can_be_reached_is_where_the_center_of_an_object_may_be_found() -> None:
    assert reachable_box(lost(displaced=True), None, OPTIONS) is None
    widths = []
    for frames in (1, 2, 4):
        within = reachable_box(lost(unseen=frames), None, OPTIONS)
        assert within is not None
        x0, y0, x1, y1 = within
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((50, 50))
        widths.append(x1 - x0)
        last = int(x1) - 10
        assert assigned(lost(unseen=frames), (last - 1, 40, last + 19, 60)).state == "REACQUIRED"
        assert assigned(lost(unseen=frames), (last + 1, 40, last + 21, 60)).state == "LOST"
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(("red", "color", "known"), [(0.7, "0.84", False), (0.9, "0.95", True)])
def test_after_a_scene_cut_the_colors_have_to_agree_better(red: float, color: str, known: bool) -> None:
    box = (40, 40, 60, 60)
    assert assigned(lost(), box, red).reason == f"score 0.90, similarity 1.00, colors {color}"
    for after in (assigned(lost(displaced=True), box, red), assigned(lost(), box, red, cut=True)):
        assert after.state == ("REACQUIRED" if known else "LOST")
        assert known or f"colors {color} below 0.9" in after.reason
