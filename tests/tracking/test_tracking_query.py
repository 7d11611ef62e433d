"""Queries to the decoder. No model."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support.looks import BLUE, RED, WHOLE, features_like, lost, paint
from support.one_object import OPTIONS, Run, World
from support.things import Things

from streamseg.masks.roi import to_frame
from streamseg.tracking.query import EncodedView, build_queries
from streamseg.tracking.regions import next_regions
from streamseg.tracking.state import Track, TrackerState
from streamseg.types import Box


def test_several_margins_are_several_queries_and_one_mask() -> None:
    run = Run(World(), msgspec.structs.replace(OPTIONS, margins=(0.0, 0.1, 0.2)))
    run.step()
    views = [run.world.encode(region) for region in next_regions(run.state, [], 1, run.options)]
    boxes = [
        query.prompt.box_xyxy for query in build_queries(run.state, [], views, run.world.image, run.options).queries
    ]
    assert len(boxes) == 3
    sides = [box[2] - box[0] for box in boxes if box is not None]
    np.testing.assert_allclose(np.array(sides) / sides[0], [1, 1.2, 1.4], atol=0.01)
    assert run.steps(3) == "TTT"
    assert len(run.state.tracks) == 1


@pytest.mark.parametrize(
    ("projection", "compares", "asked"),
    [
        (None, False, {"box", "mask"}),
        (None, True, {"point"}),
        (["box"], True, {"box"}),
        (["point"], False, {"point"}),
        (["box", "point", "mask"], True, {"box", "point", "mask"}),
    ],
)
def test_what_of_the_last_mask_is_the_next_prompt(
    projection: list[str] | None, compares: bool, asked: set[str]
) -> None:
    options = msgspec.structs.replace(OPTIONS, projection=None if projection is None else tuple(projection))
    run = Run(World(), options)
    run.world.compares = compares
    run.step()
    views = [run.world.encode(region) for region in next_regions(run.state, [], 1, run.options)]
    (query,) = build_queries(run.state, [], views, run.world.image, run.options).queries
    given = {"box": query.prompt.box_xyxy, "point": query.prompt.points_xy, "mask": query.prompt.mask_logits}
    assert {name for name, value in given.items() if value is not None} == asked
    assert bool(query.templates) is compares
    wanted = run.world.answer(query).logits[0] > 0
    if query.prompt.mask_logits is not None:
        together = wanted & (query.prompt.mask_logits > 0)
        assert together.sum() / (wanted | (query.prompt.mask_logits > 0)).sum() > 0.95
    if query.prompt.points_xy is not None:
        # The picture has twice the pixels of the logits.
        x, y = (query.prompt.points_xy[0] / 2).astype(int)
        assert wanted[y, x]
        assert wanted[y - 20 : y + 21, x - 20 : x + 21].all()
        assert query.prompt.point_labels is not None
        assert query.prompt.point_labels.tolist() == [1]


def test_other_objects_near_by_are_background_points() -> None:
    near, other, far = (100, 100, 160, 160), (130, 90, 190, 150), (400, 100, 460, 160)
    things = Things([near, other, far], [(200, 40, 40)] * 3)
    things.step()
    first, second, third = (
        [each for each in things.build_queries().queries if each.object_id == identity] for identity in (1, 2, 3)
    )
    assert third[0].prompt.points_xy is None
    for of_one, stranger in ((first, other), (second, near)):
        (query,) = of_one
        assert query.prompt.points_xy is not None
        assert query.prompt.point_labels is not None
        assert query.prompt.point_labels.tolist() == [0]
        point = to_frame(query.prompt.points_xy + 0.5, query.view.region, query.view.image_size)[0]
        middle = ((stranger[0] + stranger[2]) / 2, (stranger[1] + stranger[3]) / 2)
        np.testing.assert_allclose(point, middle, atol=3)


def test_a_hint_is_asked_about_together_with_the_likely_places_in_the_view() -> None:
    image = np.full((128, 128, 3), BLUE, np.uint8)
    for x in (12, 60, 100):
        paint(image, (x, 40, x + 20, 60), RED)
    view = EncodedView(WHOLE.region, WHOLE.image_size, features_like((3, 10, 8, 15), (15, 10, 20, 15), cells=32), None)

    options = msgspec.structs.replace(OPTIONS, place_contrast=0.6)

    def boxes(track: Track) -> list[Box | None]:
        built = build_queries(TrackerState(tracks=[track]), [], [view], image, options)
        return [query.prompt.box_xyxy for query in built.queries]

    first, second = (11.5, 39.5, 31.5, 59.5), (59.5, 39.5, 79.5, 59.5)
    assert boxes(lost()) == [first, second]
    assert boxes(lost(hint=(90.0, 90.0, 110.0, 120.0))) == [(89.5, 89.5, 109.5, 119.5), first, second]
    assert boxes(lost(hint=(62.0, 42.0, 82.0, 62.0))) == [(61.5, 41.5, 81.5, 61.5), first]
    assert boxes(lost(hint=(62.0, 42.0, 82.0, 62.0), appearance=None)) == [(61.5, 41.5, 81.5, 61.5)]
