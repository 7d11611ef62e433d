"""Where to look in the next frame. No model."""

from __future__ import annotations

import msgspec
from support.one_object import OPTIONS, Run, World
from support.things import Things

from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare
from streamseg.tracking.options import NAIVE
from streamseg.tracking.predict import predict_box
from streamseg.tracking.regions import next_regions, regions_ahead, usable_prompts
from streamseg.types import Region


def test_a_lost_object_is_searched_ever_wider_and_then_everywhere() -> None:
    run = Run(World())
    run.step()
    run.world.visible = False
    widths = []
    for _ in range(OPTIONS.search_everywhere_after + 3):
        run.step()
        region = next_regions(run.state, [], 99, run.options)[0]
        widths.append(None if region.scales else region.box_xyxy[2] - region.box_xyxy[0])
    local = widths[: OPTIONS.search_everywhere_after]
    assert local == sorted(local)
    assert local[-1] > 2 * 60
    assert set(widths[OPTIONS.search_everywhere_after :]) == {None}


def test_a_prompt_waits_for_a_view_of_its_place() -> None:
    (pending,) = prepare([msgspec.convert({"id": 2, "box": [1, 1, 9, 9]}, ObjectPrompt)])
    world = World()
    assert usable_prompts([pending], [world.encode(Region((10, 10, 40, 40), 1))]) == []
    assert usable_prompts([pending], [world.encode(Region((1, 1, 9, 9), 2))]) == [pending]
    assert usable_prompts([pending], [world.encode(Region((1, 1, 9, 9), 1, (1.0,)))]) == [pending]


def test_a_view_is_the_foreseen_one_while_that_shows_the_object() -> None:
    run = Run(World(), msgspec.structs.replace(OPTIONS, motion=0.5, ahead=0.1))
    foreseen: list[Region] = []
    taken = []
    for step in [(0, 0), (2, 1), (2, 1), (2, 1), (40, 0)]:
        x0, y0, x1, y1 = run.world.box
        run.world.box = (x0 + step[0], y0 + step[1], x1 + step[0], y1 + step[1])
        run.step()
        views = next_regions(run.state, [], 99, run.options)
        taken.append(views == foreseen)
        assert taken[-1] or views == [Region(predict_box(run.state.tracks[0], run.options), 1)]
        foreseen = regions_ahead(run.state, run.options)
    # Nothing is foreseen before the first frame, and nobody foresaw the jump.
    assert taken == [False, True, True, True, False]


def test_nothing_is_foreseen_of_a_lost_object_or_by_the_naive_tracker() -> None:
    run = Run(World())
    run.step()
    assert [region.object_id for region in regions_ahead(run.state, run.options)] == [1]
    assert regions_ahead(run.state, NAIVE) == []
    run.world.visible = False
    run.step()
    assert regions_ahead(run.state, run.options) == []


def test_of_many_lost_objects_some_take_turns_and_all_get_one() -> None:
    boxes = [(20.0 + 90 * k, 60.0, 70.0 + 90 * k, 110.0) for k in range(6)]
    things = Things(boxes, [(40 * k, 200 - 40 * k, 90) for k in range(6)])
    things.step()
    things.hidden = {1, 2, 3, 4, 5}
    assert things.states() == "TLLLLL"
    turns = []
    for _ in range(5 * OPTIONS.search_every):
        looked_at = {region.object_id for region in next_regions(things.state, [], 99, things.options)}
        assert {query.object_id for query in things.build_queries().queries} <= looked_at
        turns.append(looked_at - {1})
        things.step()
    assert {len(turn) for turn in turns} == {things.options.search_objects}
    assert {sum(number in turn for turn in turns) for number in range(2, 7)} == {2 * OPTIONS.search_every}


def test_two_lost_objects_need_no_turns() -> None:
    things = Things([(100.0 + 150 * k, 60, 160 + 150 * k, 120) for k in range(3)], [(200, 40, 40)] * 3)
    things.step()
    things.hidden = {1, 2}
    things.step()
    for _ in range(OPTIONS.search_every):
        assert {region.object_id for region in next_regions(things.state, [], 99, things.options)} == {1, 2, 3}
        things.step()


def searched_everywhere(things: Things) -> list[int | None]:
    """Ids of the objects for which the next frame is shown as a whole."""
    return [region.object_id for region in next_regions(things.state, [], 99, things.options) if region.scales]


def test_a_lost_object_is_searched_in_the_whole_frame_now_and_then_while_others_are_followed() -> None:
    things = Things([(100, 100, 160, 160), (400, 300, 460, 360)], [(200, 40, 40)] * 2)
    things.step()
    things.hidden = {0}
    for _ in range(OPTIONS.search_everywhere_after + 1):
        things.step()
    searched = []
    for _ in range(2 * OPTIONS.search_every):
        searched.append(searched_everywhere(things))
        things.step()
    assert sorted(searched) == [[]] * (2 * OPTIONS.search_every - 2) + [[1]] * 2
    things.hidden = {0, 1}
    for _ in range(OPTIONS.search_everywhere_after + 2):
        things.step()
    assert searched_everywhere(things) == [1, 2]
