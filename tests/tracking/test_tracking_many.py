"""Many objects at once: ids, budgets, and whose a mask is. No model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from streamseg.masks.boxes import box_iou
from streamseg.masks.label_map import merge
from streamseg.masks.roi import focus_region, to_frame
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import fit, prepare
from streamseg.tracking import (
    Answer,
    Ask,
    Followed,
    Questions,
    Seen,
    TrackerState,
    TrackingOptions,
    ask,
    follow,
    from_bytes,
    next_regions,
    to_bytes,
)
from streamseg.tracking.occlusion import hiding
from streamseg.tracking.state import Meeting
from streamseg.types import Box, Region

WIDTH, HEIGHT = 640, 480
OPTIONS = TrackingOptions(margins=(0.0,), motion=1.0)
BACKGROUND = np.array([0, 0, 1.0], np.float32)


class Things:
    """Boxes on a plain ground, later ones before earlier ones; the decoder finds the one it is asked about best."""

    def __init__(
        self, boxes: Sequence[Box], colors: Sequence[tuple[int, int, int]], side: int = 16, *, written: bool = True
    ) -> None:
        self._written = written
        self.boxes = list(boxes)
        self.colors = colors
        self.hidden: set[int] = set()
        self.state = TrackerState()
        self.index = 0
        self._side = side
        prompts = [msgspec.convert({"id": k + 1, "box": list(box)}, ObjectPrompt) for k, box in enumerate(boxes)]
        self._pointers = prepare(prompts)

    def ask(self) -> Questions:
        """What is asked of the next frame."""
        looked = next_regions(self.state, self._pointers, self.index, OPTIONS)
        seen = [self._see(look) for look in looked]
        due = self._pointers if self.index == 0 else []
        prompts = [fit(pointer, WIDTH, HEIGHT) for pointer in due]
        return ask(self.state, prompts, seen, self._image(), OPTIONS)

    def step(self) -> Followed:
        """Follow one frame."""
        questions = self.ask()
        answers = [self._answer(each) for each in questions.asks]
        followed = follow(self.state, questions, answers, self._image(), OPTIONS)
        self.state = from_bytes(to_bytes(followed.state)) if self._written else followed.state
        self.index += 1
        return followed

    def states(self) -> str:
        """Of all objects after the next frame, by first letters."""
        return "".join(track.state[0] for track in self.step().state.tracks)

    def _visible(self) -> list[int]:
        return [k for k in range(len(self.boxes)) if k not in self.hidden]

    def _meeting(self, box: Box) -> list[int]:
        low, high = np.array(self.boxes)[:, :2], np.array(self.boxes)[:, 2:]
        meets = ((low < box[2:]) & (high > box[:2])).all(1)
        return [int(k) for k in np.flatnonzero(meets) if k not in self.hidden]

    def _image(self) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for k in self._visible():
            x0, y0, x1, y1 = map(int, self.boxes[k])
            image[y0:y1, x0:x1] = self.colors[k]
        return image

    def _see(self, look: Region) -> Seen:
        whole = bool(look.scales)
        region = (0.0, 0.0, float(WIDTH), float(HEIGHT)) if whole else focus_region(look.box_xyxy, 1.4)
        size = (8 * self._side * 3 // 4, 8 * self._side) if whole else (8 * self._side, 8 * self._side)
        empty = Seen(region, size, np.zeros((3, self._side, self._side), np.float32), None)
        features = np.repeat(np.repeat(BACKGROUND[:, None, None], self._side, 1), self._side, 2)
        for k in self._meeting(region):
            features[:, self._inside(empty, self._side, self.boxes[k])] = np.array([[1.0], [0], [0]])
        return Seen(region, size, features, None if whole else look.object_id)

    def _answer(self, question: Ask) -> Answer:
        assert question.box_xyxy is not None
        wanted = to_frame(np.array(question.box_xyxy) + 0.5, question.seen.region, question.seen.image_size)
        x0, y0, x1, y1 = wanted.tolist()
        near = self._meeting((x0, y0, x1, y1))
        best = max(near, key=lambda k: (box_iou(self.boxes[k], (x0, y0, x1, y1)), k), default=None)
        side = 4 * self._side
        inside = np.zeros((side, side), bool) if best is None else self._inside(question.seen, side, self.boxes[best])
        return Answer(question, np.where(inside, np.float32(6), np.float32(-6))[None], np.array([0.9], np.float32))

    @staticmethod
    def _inside(seen: Seen, side: int, box: Box) -> np.ndarray:
        centers = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), 2)
        points = to_frame(centers, seen.square, side)
        x, y = points[..., 0], points[..., 1]
        return np.asarray((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]))


def test_three_hundred_objects_keep_their_ids_while_some_are_gone() -> None:
    places = [(30.0 * (k % 20) + 5, 30.0 * (k // 20) + 5) for k in range(300)]
    things = Things([(x, y, x + 20, y + 20) for x, y in places], [(200, 40, 40)] * 300, side=8)
    things.step()
    things.hidden = {0, 150, 298}
    followed = things.step()
    assert [track.id for track in followed.state.tracks] == list(range(1, 301))
    assert {track.id for track in followed.state.tracks if track.state == "LOST"} == {1, 151, 299}
    labels = merge(followed.masks, (HEIGHT, WIDTH))
    for k, (x, y) in enumerate(places):
        assert labels[int(y) + 10, int(x) + 10] == (0 if k in things.hidden else k + 1)
    things.hidden = set()
    states = [things.states() for _ in range(4)]
    assert states[-1] == "T" * 300


def test_one_mask_is_not_two_objects() -> None:
    things = Things([(100, 100, 160, 160), (400, 100, 460, 160)], [(200, 40, 40)] * 2)
    for _ in range(19):
        assert things.states() == "TT"
        things.boxes[0] = tuple(np.add(things.boxes[0], (7, 0, 7, 0)))
        things.boxes[1] = tuple(np.add(things.boxes[1], (-7, 0, -7, 0)))
    things.hidden = {0}
    for _ in range(3):
        followed = things.step()
        hidden, seen = followed.state.tracks
        assert (hidden.state, seen.state) == ("LOST", "TRACKED")
        assert "object 2" in hidden.reason
        assert followed.masks[0][0].size == 0
    things.hidden = set()
    things.boxes = [(330, 100, 390, 160), (150, 100, 210, 160)]
    assert "R" in "".join(things.states()[0] for _ in range(4))
    assert things.step().state.tracks[0].box == (330, 100, 390, 160)


class Merging(Things):
    """As long as the first two touch, the decoder draws one mask round both."""

    def _answer(self, question: Ask) -> Answer:
        answer = super()._answer(question)
        if box_iou(*self.boxes[:2]) == 0:
            return answer
        side = 4 * self._side
        both = [self._inside(question.seen, side, box) for box in self.boxes[:2]]
        return Answer(question, np.where(both[0] | both[1], np.float32(6), np.float32(-6))[None], answer.scores)


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

    def _answer(self, question: Ask) -> Answer:
        answer = super()._answer(question)
        shared = box_iou(*self.boxes[:2])
        if shared == 0:
            return answer
        side, number = 4 * self._side, question.object_id - 1
        behind, front = (self._inside(question.seen, side, box) for box in (self.boxes[1], self.boxes[0]))
        if shared < 0.12:
            inside = (front, behind & ~front)[number]
        elif shared < 0.3:
            inside = (front & ~behind, behind)[number]
        else:
            inside = front | behind
        return Answer(question, np.where(inside, np.float32(6), np.float32(-6))[None], answer.scores)


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
    ("seen", "other_seen", "behind"),
    [(1.0, 1.0, None), (0.9, 0.88, None), (0.95, 1.2, None), (0.85, 1.0, True), (1.0, 0.85, False)],
)
def test_which_one_went_behind_is_noted_once_it_shows(seen: float, other_seen: float, behind: bool | None) -> None:
    noted = hiding(Meeting(other=2, offset_xy=(60.0, 0.0), speed_xy=(-12.0, 0.0)), seen, other_seen)
    assert noted is not None
    assert noted.behind is behind
    again = hiding(noted, other_seen - 0.2, seen)
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


def test_pixels_that_two_masks_share_go_to_the_one_that_is_surer() -> None:
    things = Things([(100, 100, 160, 160), (140, 100, 200, 160)], [(200, 40, 40), (40, 60, 200)])
    sure = {1: 4.0, 2: 8.0}
    plain = things._answer

    def answer(question: Ask) -> Answer:
        given = plain(question)
        return Answer(question, np.sign(given.logits) * np.float32(sure[question.object_id]), given.scores)

    things._answer = answer  # type: ignore[method-assign]
    things.step()
    first, second = things.step().state.tracks
    assert first.box[2] == pytest.approx(140, abs=2)
    assert second.box == pytest.approx((140, 100, 200, 160), abs=2)


def test_other_objects_near_by_are_background_points() -> None:
    near, other, far = (100, 100, 160, 160), (130, 90, 190, 150), (400, 100, 460, 160)
    things = Things([near, other, far], [(200, 40, 40)] * 3)
    things.step()
    first, second, third = (
        [each for each in things.ask().asks if each.object_id == identity] for identity in (1, 2, 3)
    )
    assert third[0].points_xy is None
    for asked, stranger in ((first, other), (second, near)):
        (question,) = asked
        assert question.points_xy is not None
        assert question.point_labels is not None
        assert question.point_labels.tolist() == [0]
        point = to_frame(question.points_xy + 0.5, question.seen.region, question.seen.image_size)[0]
        middle = ((stranger[0] + stranger[2]) / 2, (stranger[1] + stranger[3]) / 2)
        np.testing.assert_allclose(point, middle, atol=3)


def test_a_state_that_was_written_down_goes_on_the_same_through_loss_and_return() -> None:
    boxes: list[Box] = [(100, 100, 160, 160), (300, 100, 380, 150), (400, 300, 460, 360)]
    runs = [Things(boxes, [(200, 40, 40)] * 3, written=written) for written in (False, True)]
    seen = ""
    for frame in range(24):
        for things in runs:
            things.hidden = {0} if 3 <= frame < 16 else set()
            things.boxes[1] = (300 + 3.3 * frame, 100, 380 + 3.3 * frame, 150)
        kept, written = (things.step() for things in runs)
        assert to_bytes(kept.state) == to_bytes(written.state)
        for (mine, here), (its, there) in zip(kept.masks, written.masks, strict=True):
            assert here == there
            np.testing.assert_array_equal(mine, its)
        seen += kept.state.tracks[0].state[0]
    assert {"T", "L", "R"} <= set(seen)


def test_a_lost_object_is_searched_in_the_whole_frame_now_and_then_while_others_are_followed() -> None:
    things = Things([(100, 100, 160, 160), (400, 300, 460, 360)], [(200, 40, 40)] * 2)
    things.step()
    things.hidden = {0}
    for _ in range(OPTIONS.search_everywhere_after + 1):
        things.step()
    looked = []
    for _ in range(2 * OPTIONS.search_every):
        looked.append([look.object_id for look in next_regions(things.state, [], 99, OPTIONS) if look.scales])
        things.step()
    assert sorted(looked) == [[]] * (2 * OPTIONS.search_every - 2) + [[1]] * 2
    things.hidden = {0, 1}
    for _ in range(OPTIONS.search_everywhere_after + 2):
        things.step()
    assert {look.object_id for look in next_regions(things.state, [], 99, OPTIONS) if look.scales} == {1, 2}
