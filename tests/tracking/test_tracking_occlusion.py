"""Objects that meet: depth order, and which is which afterwards. No model."""

from __future__ import annotations

import numpy as np
import pytest
from support.things import Merging, Things

from streamseg.masks.boxes import box_iou
from streamseg.tracking.occlusion import with_depth_order
from streamseg.tracking.query import Answer, Query
from streamseg.tracking.state import Meeting


@pytest.mark.parametrize(
    ("top", "first_speed", "second_speed"), [(112, 7, -7), (112, 5, -5), (112, 6, 0.5), (130, 8, -3)]
)
def test_twins_that_were_one_mask_go_on_as_they_moved(top: float, first_speed: float, second_speed: float) -> None:
    things = Merging([(100, 100, 160, 160), (400, top, 460, top + 60)], [(200, 40, 40)] * 2)
    states = ""
    while things.boxes[0][0] < things.boxes[1][2] + 40:
        states += things.states()
        things.boxes[0] = tuple(np.add(things.boxes[0], (first_speed, 0, first_speed, 0)))
        things.boxes[1] = tuple(np.add(things.boxes[1], (second_speed, 0, second_speed, 0)))
    first, second = things.step().state.tracks
    assert "L" in states
    assert box_iou(first.box, things.boxes[0]) > 0.8
    assert box_iou(second.box, things.boxes[1]) > 0.8
    assert first.met is None
    assert second.met is None


class RunningTogether(Things):
    """The second goes behind the first's back: at first its mask shrinks, then it takes from the other's, at last both
    have one mask round both."""

    def _answer(self, query: Query) -> Answer:
        answer = super()._answer(query)
        shared = box_iou(*self.boxes[:2])
        if shared == 0:
            return answer
        side, number = 4 * self._side, query.object_id - 1
        behind, front = (self._inside(query.view, side, box) for box in (self.boxes[1], self.boxes[0]))
        if shared < 0.12:
            inside = (front, behind & ~front)[number]
        elif shared < 0.3:
            inside = (front & ~behind, behind)[number]
        else:
            inside = front | behind
        return Answer(query, np.where(inside, np.float32(6), np.float32(-6))[None], answer.scores)


def test_the_one_that_went_behind_is_the_one_that_is_lost() -> None:
    # That later ones are in front does not matter here: they are of one color.
    things = RunningTogether([(100, 100, 160, 160), (400, 108, 460, 168)], [(200, 40, 40)] * 2)
    states = []
    while things.boxes[0][0] < things.boxes[1][2] + 40:
        states.append(things.states())
        things.boxes[0] = tuple(np.add(things.boxes[0], (5, 0, 5, 0)))
        things.boxes[1] = tuple(np.add(things.boxes[1], (-5, 0, -5, 0)))
    assert "L" in "".join(second for _, second in states)
    assert "L" not in "".join(first for first, _ in states)
    first, second = things.step().state.tracks
    assert box_iou(first.box, things.boxes[0]) > 0.8
    assert box_iou(second.box, things.boxes[1]) > 0.8


@pytest.mark.parametrize(
    ("visible", "other_visible", "behind"),
    [(1.0, 1.0, None), (0.9, 0.88, None), (0.95, 1.2, None), (0.85, 1.0, True), (1.0, 0.85, False)],
)
def test_which_one_went_behind_is_noted_once_it_shows(
    visible: float, other_visible: float, behind: bool | None
) -> None:
    noted = with_depth_order(Meeting(other=2, offset_xy=(60.0, 0.0), speed_xy=(-12.0, 0.0)), visible, other_visible)
    assert noted is not None
    assert noted.behind is behind
    again = with_depth_order(noted, other_visible - 0.2, visible)
    assert again is not None
    assert behind is None or again.behind is behind


def test_of_two_that_meet_and_look_different_each_keeps_its_looks() -> None:
    things = Merging([(100, 100, 160, 160), (400, 112, 460, 172)], [(200, 40, 40), (40, 60, 200)])
    speed = 7
    for index in range(50):
        things.states()
        # They turn back as they touch, so how they moved is misleading.
        speed = -7 if index > 22 else 7
        things.boxes[0] = tuple(np.add(things.boxes[0], (speed, 0, speed, 0)))
        things.boxes[1] = tuple(np.subtract(things.boxes[1], (speed, 0, speed, 0)))
    first, second = things.step().state.tracks
    assert box_iou(first.box, things.boxes[0]) > 0.8
    assert box_iou(second.box, things.boxes[1]) > 0.8
