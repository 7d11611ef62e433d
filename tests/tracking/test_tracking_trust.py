"""How far a mask is trusted, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
from support.one_object import Run, World

from streamseg.tracking.appearance import Template, likeness
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.trust import Signals, agreement, trust

MINE, OTHER = np.array([6.0, 0, 0], np.float32), np.array([0, 6.0, 0], np.float32)


def view(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """(3, 16, 16) keys: the object's in boxes of cells, others elsewhere."""
    keys = np.repeat(np.repeat(OTHER[:, None, None], 16, 1), 16, 2)
    for x0, y0, x1, y1 in boxes:
        keys[:, y0:y1, x0:x1] = MINE[:, None, None]
    return keys


def template(masked: tuple[int, int, int, int], *boxes: tuple[int, int, int, int]) -> Template:
    """A view with things that look like the object in boxes of cells, and a mask on one."""
    x0, y0, x1, y1 = (4 * edge for edge in masked)
    logits = np.full((64, 64), -6, np.float32)
    logits[y0:y1, x0:x1] = 6
    return Template.of(view(*boxes), logits)


FIRST = template((4, 4, 12, 12), (4, 4, 12, 12))


def test_a_mask_agrees_with_the_first_view_as_far_as_it_is_on_what_looks_like_the_object() -> None:
    whole, part = (5, 3, 13, 11), (5, 3, 9, 11)
    assert agreement(FIRST, template(whole, whole)) > 0.98
    assert agreement(FIRST, template(part, whole)) == pytest.approx(0.5, abs=0.02)
    assert agreement(FIRST, template((0, 12, 4, 16), whole)) < 0.02
    assert agreement(FIRST, template((0, 0, 16, 16), whole)) == pytest.approx(64 / 256, abs=0.02)


def test_what_looks_like_the_object_is_found_cell_by_cell() -> None:
    likely = likeness(FIRST, view((1, 2, 5, 6)))
    assert likely.shape == (16, 16)
    assert (likely[2:6, 1:5] > 0.95).all()
    assert np.count_nonzero(likely > 0.05) == 16


@pytest.mark.parametrize("worse", [{"score": 0.3}, {"stability": 0.2}, {"agreement": 0.2}, {"change": 1.5}])
def test_whatever_speaks_against_a_mask_lowers_trust(worse: dict[str, float]) -> None:
    good = Signals(score=0.85, stability=0.8, agreement=0.85, change=0.1)
    assert trust(good) > 0.9
    assert trust(good._replace(**worse)) < trust(good)


def changed_to_a_part(options: TrackingOptions) -> list[str]:
    """The states of an object that is seen whole and then, by a model as sure as before, in a third."""
    world = World()
    world.compares = True
    world.feature = np.array([6.0, 0, 0], np.float32)
    run = Run(world, options)
    run.steps(3)
    world.mask_box = (100, 80, 120, 140)
    world.score = 0.55
    return [run.step().state.tracks[0].reason for _ in range(2)]


def test_a_mask_that_has_shrunk_to_a_part_is_doubted_for_want_of_trust() -> None:
    assert all(reason.startswith("trust") for reason in changed_to_a_part(TrackingOptions(uncertain_trust=0.9)))
    assert not any("trust" in reason for reason in changed_to_a_part(TrackingOptions(uncertain_trust=0)))


def test_from_a_mask_that_shows_a_doubt_nothing_is_learned_even_if_it_is_trusted() -> None:
    world = World()
    world.compares = True
    world.feature = np.array([6.0, 0, 0], np.float32)
    options = TrackingOptions(uncertain_trust=0.01, uncertain_area=1.2)
    run = Run(world, options)
    run.steps(3)
    learned = run.state.tracks[0].last_view
    world.mask_box = (100, 80, 145, 140)
    run.step()
    track = run.state.tracks[0]
    assert track.state == "TRACKED"
    assert track.last_view == learned
    world.mask_box = None
    run.steps(2)
    assert run.state.tracks[0].last_view is not learned


def began_with(score: float) -> list[str]:
    """The states of an object whose masks are as sure as can be after a first one with a score."""
    world = World()
    world.compares = True
    world.feature = np.array([6.0, 0, 0], np.float32)
    run = Run(world, TrackingOptions())
    world.score = score
    run.step()
    world.score = 0.95
    return [run.step().state.tracks[0].state for _ in range(3)]


def test_what_agrees_with_a_doubtful_first_mask_is_as_doubtful() -> None:
    assert began_with(0.9) == ["TRACKED"] * 3
    assert began_with(0.45) == ["UNCERTAIN"] * 3
