"""Whose a mask is, and ids over many objects. No model."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support.looks import BLUE, RED, WHOLE, answer, looks_of, lost, paint
from support.things import HEIGHT, OPTIONS, WIDTH, Things

from streamseg.masks.label_map import merge
from streamseg.tracking.association import associate
from streamseg.tracking.predict import initial_motion
from streamseg.tracking.query import Answer, EncodedView, Query
from streamseg.tracking.state import to_bytes
from streamseg.types import Box


def test_three_hundred_objects_keep_their_ids_while_some_are_gone() -> None:
    places = [(30.0 * (k % 20) + 5, 30.0 * (k // 20) + 5) for k in range(300)]
    things = Things([(x, y, x + 20, y + 20) for x, y in places], [(200, 40, 40)] * 300, side=8)
    things.step()
    things.hidden = {0, 150, 298}
    update = things.step()
    assert [track.id for track in update.state.tracks] == list(range(1, 301))
    assert {track.id for track in update.state.tracks if track.state == "LOST"} == {1, 151, 299}
    labels = merge(update.masks, np.empty((HEIGHT, WIDTH), np.uint16))
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
        update = things.step()
        hidden, visible = update.state.tracks
        assert (hidden.state, visible.state) == ("LOST", "TRACKED")
        assert "object 2" in hidden.reason
        assert update.masks[0][0].size == 0
    things.hidden = set()
    things.boxes = [(330, 100, 390, 160), (150, 100, 210, 160)]
    assert "R" in "".join(things.states()[0] for _ in range(4))
    assert things.step().state.tracks[0].box == (330, 100, 390, 160)


def test_pixels_that_two_masks_share_go_to_the_one_that_is_surer() -> None:
    things = Things([(100, 100, 160, 160), (140, 100, 200, 160)], [(200, 40, 40), (40, 60, 200)])
    sure = {1: 4.0, 2: 8.0}
    plain = things._answer

    def answer(query: Query) -> Answer:
        given = plain(query)
        return Answer(query, np.sign(given.logits) * np.float32(sure[query.object_id]), given.scores)

    things._answer = answer  # type: ignore[method-assign]
    things.step()
    first, second = things.step().state.tracks
    assert first.box[2] == pytest.approx(140, abs=2)
    assert second.box == pytest.approx((140, 100, 200, 160), abs=2)


def test_a_state_that_was_written_down_goes_on_the_same_through_loss_and_return() -> None:
    boxes: list[Box] = [(100, 100, 160, 160), (300, 100, 380, 150), (400, 300, 460, 360)]
    runs = [Things(boxes, [(200, 40, 40)] * 3, written=written) for written in (False, True)]
    states = ""
    for frame in range(24):
        for things in runs:
            things.hidden = {0} if 3 <= frame < 16 else set()
            things.boxes[1] = (300 + 3.3 * frame, 100, 380 + 3.3 * frame, 150)
        kept, written = (things.step() for things in runs)
        assert to_bytes(kept.state) == to_bytes(written.state)
        for (mine, here), (its, there) in zip(kept.masks, written.masks, strict=True):
            assert here == there
            np.testing.assert_array_equal(mine, its)
        states += kept.state.tracks[0].state[0]
    assert {"T", "L", "R"} <= set(states)


@pytest.mark.parametrize(("usual_px", "found"), [(800.0, True), (1600.0, False)])
def test_what_another_mask_has_grown_by_may_be_the_lost_object(usual_px: float, found: bool) -> None:
    features = np.repeat(np.array([0.8, 0.6, 0], np.float32)[:, None, None], 32, 1).repeat(32, 2)
    view = EncodedView(WHOLE.region, WHOLE.image_size, features, None)
    image = np.full((128, 128, 3), BLUE, np.uint8)
    paint(image, (40, 40, 60, 74), RED)
    owner = lost(id=2, state="TRACKED", unseen=0, area_px=1200.0, usual_px=usual_px, appearance=None)
    mine = lost(area_px=800.0)
    answers = {1: [answer(1, (40, 40, 60, 80), view)], 2: [answer(2, (40, 40, 80, 80), view)]}
    (_, hidden), (_, other) = associate([mine, owner], answers, image, OPTIONS, cut=False)
    assert other.state == "TRACKED"
    assert hidden.state == ("REACQUIRED" if found else "LOST"), hidden.reason
    assert found or hidden.reason == "searching: what looks like it is object 2"


@pytest.mark.parametrize(("its_red", "found"), [(0, True), (1, True), (3, False), (8, False)])
def test_what_is_of_colors_that_an_object_did_not_have_is_no_part_of_it(its_red: int, found: bool) -> None:
    features = np.repeat(np.array([0.8, 0.6, 0], np.float32)[:, None, None], 32, 1).repeat(32, 2)
    view = EncodedView(WHOLE.region, WHOLE.image_size, features, None)
    image = np.full((128, 128, 3), BLUE, np.uint8)
    paint(image, (40, 40, 60, 74), RED)
    before = np.full((20, 20, 3), BLUE, np.uint8)
    before[:its_red] = RED
    looks = looks_of(before, (0, 0, 20, 20))
    # Its mask has not grown.
    whole = (40.0, 40.0, 120.0, 100.0)
    owner = lost(id=2, state="TRACKED", unseen=0, box=whole, area_px=4800.0, usual_px=4800.0, appearance=looks)
    owner = msgspec.structs.replace(owner, motion=initial_motion(whole))
    answers = {1: [answer(1, (40, 40, 60, 80), view)], 2: [answer(2, (40, 40, 120, 100), view)]}
    (_, hidden), (_, other) = associate([lost(area_px=800.0), owner], answers, image, OPTIONS, cut=False)
    assert hidden.state == ("REACQUIRED" if found else "LOST"), (hidden.reason, other.reason)
    assert found or hidden.reason == "searching: what looks like it is object 2"


def test_an_object_that_was_hidden_by_another_may_be_found_where_that_has_gone() -> None:
    image = np.full((128, 128, 3), RED, np.uint8)
    owner = lost(id=2, state="TRACKED", unseen=0, box=(92.0, 40.0, 112.0, 60.0), motion=None, appearance=None)
    answers = {1: [answer(1, (100, 60, 120, 80))], 2: [answer(2, (92, 40, 112, 60))]}
    for hider, state in ((None, "LOST"), (3, "LOST"), (2, "REACQUIRED")):
        (_, hidden), (_, other) = associate([lost(hidden_by=hider), owner], answers, image, OPTIONS, cut=False)
        assert (hidden.state, other.state) == (state, "TRACKED")
