"""The tracker's states, with answers that a decoder might give. No model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from support.one_object import HEIGHT, OPTIONS, WIDTH, Run, World

from streamseg.masks.boxes import center_size
from streamseg.tracking.regions import next_regions


def test_an_object_is_followed_and_its_box_is_that_of_the_mask() -> None:
    run = Run(World())
    for _ in range(8):
        update = run.step()
        track = update.state.tracks[0]
        assert track.state == "TRACKED"
        np.testing.assert_allclose(track.box, run.world.box, atol=2)
        assert track.area_px == pytest.approx(3600, rel=0.08)
        x0, y0, x1, y1 = run.world.box
        run.world.box = (x0 + 9, y0 + 3, x1 + 9, y1 + 3)


def test_the_motion_model_looks_ahead() -> None:
    run = Run(World(), msgspec.structs.replace(OPTIONS, motion=1.0))
    for _ in range(10):
        run.step()
        x0, y0, x1, y1 = run.world.box
        run.world.box = (x0 + 8, y0, x1 + 8, y1)
    run.step()
    np.testing.assert_allclose(
        next_regions(run.state, [], 99, run.options)[0].box_xyxy[0], run.world.box[0] + 8, atol=2
    )


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"score": 0.5}, "UNCERTAIN", "score 0.50 below 0.6"),
        ({"score": 0.1}, "LOST", "score 0.10 below 0.3"),
        ({"mask_box": (100, 80, 190, 160)}, "UNCERTAIN", "area x1.8"),
        ({"mask_box": (93, 73, 168, 154)}, "UNCERTAIN", "similarity 0.8"),
        ({"mask_box": (76, 56, 184, 164)}, "LOST", "similarity 0.4"),
        ({"color": (20, 30, 220)}, "LOST", "colors 0.0"),
        ({"mask_box": (120, 100, 135, 115)}, "LOST", "area x0.0"),
        ({"visible": False}, "LOST", "the mask is empty"),
    ],
)
def test_every_doubt_has_a_reason(change: dict[str, Any], state: str, reason: str) -> None:
    run = Run(World())
    run.step()
    vars(run.world).update(change)
    update = run.step()
    track = update.state.tracks[0]
    assert (track.state, track.reason[: len(reason)]) == (state, reason)
    has_mask = (update.masks[0][0] > 0).any()
    assert has_mask == (state != "LOST"), "a lost object has an empty mask, any other has one"


def test_a_mask_of_the_whole_frame_is_refused() -> None:
    options = msgspec.structs.replace(OPTIONS, lost_area=1000.0)
    run = Run(World(box=(85, 45, 235, 195)), options)
    run.step()
    run.world.mask_box = (0, 0, WIDTH, HEIGHT)
    track = run.step().state.tracks[0]
    assert (track.state, track.reason) == ("LOST", "the mask is the whole frame")


def test_an_object_that_comes_back_is_known_again() -> None:
    run = Run(World())
    assert run.steps(3) == "TTT"
    run.world.visible = False
    assert run.steps(4) == "LLLL"
    run.world.visible = True
    assert run.steps(2) == "RT"
    assert run.state.tracks[0].id == 1


def test_an_object_that_comes_back_elsewhere_is_found_in_the_whole_frame() -> None:
    run = Run(World())
    run.step()
    run.world.visible = False
    run.steps(OPTIONS.search_everywhere_after + 2)
    run.world.visible, run.world.box = True, (220, 160, 280, 220)
    assert "R" in run.steps(3)
    np.testing.assert_allclose(run.state.tracks[0].box, run.world.box, atol=5)


def test_colors_found_anywhere_in_the_frame_are_looked_at_closely_in_the_next() -> None:
    run = Run(World())
    run.step()
    run.world.visible = False
    run.step()
    assert run.state.tracks[0].hint is None
    run.world.visible, run.world.box = True, (182, 80, 242, 140)
    track = run.step().state.tracks[0]
    assert track.state == "LOST"
    assert track.hint is not None
    np.testing.assert_allclose(track.hint, run.world.box, atol=4)
    track = run.step().state.tracks[0]
    np.testing.assert_allclose(center_size(run.regions[0].box_xyxy)[:2], (212, 110), atol=4)
    assert track.state == "REACQUIRED"
    assert track.hint is None
    np.testing.assert_allclose(track.box, run.world.box, atol=2)


@pytest.mark.parametrize(
    "change",
    [{"color": (20, 30, 220)}, {"feature": np.array([0, 0, 1.0], np.float32)}, {"score": 0.4}],
    ids=["colors", "features", "score"],
)
def test_something_else_in_its_place_is_not_taken_for_it(change: dict[str, Any]) -> None:
    run = Run(World())
    run.step()
    run.world.visible = False
    run.steps(3)
    run.world.visible = True
    vars(run.world).update(change)
    assert run.steps(12) == "L" * 12
    assert run.state.tracks[0].reason.startswith("searching")


def test_a_scene_cut_stops_following_what_stands_there_now() -> None:
    run = Run(World())
    run.step()
    run.world.ground, run.world.color = (220, 210, 140), (30, 30, 160)
    track = run.step().state.tracks[0]
    assert track.state == "LOST"
    assert track.reason.startswith("scene cut")


def test_a_scene_cut_after_which_the_object_is_still_there_costs_nothing() -> None:
    run = Run(World())
    run.step()
    run.world.ground = (220, 210, 140)
    assert run.steps(2) == "RT"


def test_a_prompt_without_an_answer_is_lost_not_an_error() -> None:
    world = World()
    world.visible = False
    update = Run(world).step()
    assert (update.state.tracks[0].state, update.state.tracks[0].reason) == ("LOST", "nothing found at the prompt")
    assert update.masks[0][0].size == 0
