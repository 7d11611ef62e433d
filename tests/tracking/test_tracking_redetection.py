"""Where a lost object is looked for, by its colors and features, and which place is believed. No model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from streamseg.masks.boxes import box_iou
from streamseg.tracking import Answer, Ask, Seen, Track, TrackerState, TrackingOptions, ask
from streamseg.tracking.appearance import Appearance
from streamseg.tracking.colors import COLORS, FrameColors, colors_under
from streamseg.tracking.gating import reachable
from streamseg.tracking.motion import standing
from streamseg.tracking.redetection import boxes_in_view, glance, likely_places, likeness_map
from streamseg.tracking.verdicts import Judged, judge_all
from streamseg.types import Box

RNG = np.random.default_rng(5)
OPTIONS = TrackingOptions(margins=(0.0,))
RED, GREEN, BLUE = (200, 40, 40), (40, 200, 60), (30, 30, 220)
LIKE, UNLIKE = np.array([1.0, 0, 0], np.float32), np.array([0, 1.0, 0], np.float32)

HEIGHT, WIDTH = 192, 256
PATCH = (150, 60, 186, 84)
SIZE = (36.0, 24.0)


def paint(image: np.ndarray, box: tuple[int, int, int, int], color: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box
    image[y0:y1, x0:x1] = color


def striped(image: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """The object: as much red as green."""
    x0, y0, x1, y1 = box
    for left in range(x0, x1, 8):
        paint(image, (left, y0, min(left + 4, x1), y1), RED)
        paint(image, (min(left + 4, x1), y0, min(left + 8, x1), y1), GREEN)


def noise() -> np.ndarray:
    return RNG.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def looks_of(image: np.ndarray, box: tuple[int, int, int, int]) -> Appearance:
    x0, y0, x1, y1 = box
    return Appearance.of(LIKE, colors_under(image, np.ones((y1 - y0, x1 - x0), np.float32), box))


def the_object() -> Appearance:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, PATCH)
    return looks_of(image, PATCH)


def glanced(image: np.ndarray, within: Box | None = None, others: Any = ()) -> Box | None:
    return glance(the_object(), SIZE, FrameColors.of(image), within, others, OPTIONS)


def test_colors_are_seen_where_they_are_the_objects_rather_than_the_frames() -> None:
    image = np.full((96, 128, 3), BLUE, np.uint8)
    paint(image, (20, 30, 40, 50), RED)
    half_blue = image.copy()
    paint(half_blue, (20, 30, 40, 40), BLUE)
    red = np.zeros((96, 128), bool)
    red[30:50, 20:40] = True
    whole, half = (
        FrameColors.of(image).where(looks_of(its, (20, 30, 40, 50)).color_vector) for its in (image, half_blue)
    )
    assert whole.shape == red.shape
    assert whole[red].min() > 0.9
    assert whole[~red].max() == 0
    assert half[red].min() > 0.9
    assert 0 < half[~red].max() < 0.4
    nothing = FrameColors.of(image).where(np.zeros(216, np.float32))
    assert not nothing.any()


@pytest.mark.parametrize("step", [1, 2, 6])
@pytest.mark.parametrize("corner", [(16, 8), (-16, -8), (112, 80), (-20, 72), (200, 8)])
def test_a_cell_has_the_mean_of_its_pixels_and_nothing_beyond_the_frame(step: int, corner: tuple[int, int]) -> None:
    colors = FrameColors.of(np.zeros((96 * step, 128 * step, 3), np.uint8))
    assert colors.step == step
    where = RNG.random((96, 128)).astype(np.float32)
    x, y = corner
    cells = colors.in_cells(where, (x * step, y * step, (x + 32) * step, (y + 32) * step), 8)
    wanted = np.pad(where, 120)[y + 120 : y + 152, x + 120 : x + 152].reshape(8, 4, 8, 4).mean((1, 3))
    np.testing.assert_allclose(cells, wanted, atol=1e-5)


@pytest.mark.parametrize("square", [(10.5, 7.25, 71.3, 68.05), (30.2, 20.9, 48.7, 39.4), (-30.0, 3.0, 97.0, 130.0)])
def test_a_square_between_the_pixels_has_about_their_mean(square: Box) -> None:
    y, x = np.mgrid[:96, :128]
    colors = FrameColors.of(np.zeros((96, 128, 3), np.uint8))
    cells = colors.in_cells(((x + 0.5) / 128 + (y + 0.5) / 192).astype(np.float32), square, 8)
    x0, y0, x1, _ = square
    side = (x1 - x0) / 8
    an_eighth_of_a_cell = side / 8 * (1 / 128 + 1 / 192)
    middle_x, middle_y = np.meshgrid(x0 + side * (np.arange(8) + 0.5), y0 + side * (np.arange(8) + 0.5))
    whole = (np.abs(middle_x - 64) < 64 - side) & (np.abs(middle_y - 48) < 48 - side)
    np.testing.assert_allclose(cells[whole], (middle_x / 128 + middle_y / 192)[whole], atol=an_eighth_of_a_cell)
    assert whole.sum() > 8


def test_a_glance_finds_the_colors_in_noise() -> None:
    image = noise()
    assert glanced(image) is None
    striped(image, PATCH)
    found = glanced(image)
    assert found is not None
    assert box_iou(found, PATCH) > 0.7


def test_a_glance_looks_past_the_masks_of_other_objects() -> None:
    image, elsewhere = noise(), (40, 120, 76, 144)
    striped(image, PATCH)
    logits = np.full((57, 73), -6.0, np.float32)
    logits[60 - 45 : 84 - 45, 150 - 135 : 186 - 135] = 6
    every = np.ones(COLORS, bool)
    others = [(logits, (135, 45, 208, 102), every)]
    assert glanced(image, None, others) is None
    assert glanced(image, None, [(-logits, (135, 45, 208, 102), every)]) is not None
    none_of_its = the_object().color_vector == 0
    grown_over = glanced(image, None, [(logits, (135, 45, 208, 102), none_of_its)])
    assert grown_over is not None
    assert box_iou(grown_over, PATCH) > 0.7
    striped(image, elsewhere)
    found = glanced(image, None, others)
    assert found is not None
    assert box_iou(found, elsewhere) > 0.7


def test_a_glance_looks_no_further_than_the_object_can_be() -> None:
    image = noise()
    striped(image, PATCH)
    assert glanced(image, (-50.0, -50.0, 120.0, 150.0)) is None
    assert glanced(image, (210.0, 100.0, 400.0, 400.0)) is None
    found = glanced(image, (140.0, 40.0, 400.0, 400.0))
    assert found is not None
    assert box_iou(found, PATCH) > 0.7


def test_colors_that_are_everywhere_say_nothing() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, (0, 0, WIDTH, HEIGHT))
    assert glanced(image) is None


def test_colors_that_are_everywhere_say_nothing_at_the_edge_of_where_the_object_can_be() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, (0, 0, WIDTH, HEIGHT))
    assert glanced(image, (90.0, 60.0, 190.0, 140.0)) is None


def test_colors_that_are_everywhere_say_nothing_between_other_objects() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    striped(image, (0, 0, WIDTH, HEIGHT))
    every = np.ones(COLORS, bool)
    beside = [(np.full((120, 60), 6.0, np.float32), (x, 40, x + 60, 160), every) for x in (40, 140)]
    assert glanced(image, None, beside) is None


def features_like(*boxes: tuple[int, int, int, int], cells: int = 16) -> np.ndarray:
    """(3, cells, cells): the object's features in boxes of cells, other ones elsewhere."""
    features = np.repeat(np.repeat(UNLIKE[:, None, None], cells, 1), cells, 2)
    for x0, y0, x1, y1 in boxes:
        features[:, y0:y1, x0:x1] = LIKE[:, None, None]
    return features


def test_in_a_view_both_features_and_colors_have_to_be_like_the_object() -> None:
    both, features_only, colors_only = (2, 2, 6, 5), (10, 2, 14, 5), (2, 10, 6, 13)
    image = np.full((128, 160, 3), BLUE, np.uint8)
    for x0, y0, x1, y1 in (both, colors_only):
        paint(image, (16 + 8 * x0, 8 * y0, 16 + 8 * x1, 8 * y1), RED)
    square = (16.0, 0.0, 144.0, 128.0)
    appearance, colors = looks_of(image, (32, 16, 64, 40)), FrameColors.of(image)

    def found(*places: tuple[int, int, int, int], region: Box = square) -> list[Box]:
        features = features_like(*places)
        return boxes_in_view(features, square, region, appearance, (32.0, 24.0), colors, OPTIONS)

    first, *others = found(both, features_only)
    assert first == (32, 16, 64, 40)
    assert all(box[2] <= 72 and box[3] <= 56 for box in others), "parts of it"
    assert found(features_only) == []
    assert set(found(both, colors_only)[:2]) == {(32, 16, 64, 40), (32, 80, 64, 104)}
    assert all(box[3] <= 72 for box in found(both, colors_only, region=(16.0, 0.0, 144.0, 72.0))), "not in padding"


def test_the_likely_place_is_where_the_features_are() -> None:
    features = np.repeat(np.repeat(UNLIKE[:, None, None], 20, 1), 30, 2)
    features[:, 6:12, 17:25] = 3 * LIKE[:, None, None]
    features[:, :4, :9] = -LIKE[:, None, None]
    like = likeness_map(features, Appearance.of(LIKE, np.zeros(216)))
    assert (like.min(), like.max()) == (0, 1)
    ((box, contrast),) = likely_places(like, (8, 6))
    assert box == (17, 6, 25, 12)
    assert contrast == pytest.approx(1, abs=1e-3)
    ((_, nowhere),) = likely_places(like[:, :15], (8, 6))
    assert nowhere == pytest.approx(0, abs=1e-3)
    assert likely_places(like, (90, 6)) == []


@pytest.mark.parametrize("size", [(11.0, 9.0), (8.0, 6.0), (6.0, 4.0)])
def test_a_place_is_found_at_other_sizes_than_the_usual(size: tuple[float, float]) -> None:
    like = np.zeros((20, 30), np.float32)
    like[6:12, 17:25] = 1
    ((box, contrast),) = likely_places(like, size)
    assert box == (17, 6, 25, 12)
    assert contrast == pytest.approx(1, abs=1e-3)


def test_an_object_that_fits_in_only_when_smaller_is_searched_smaller() -> None:
    like = np.zeros((20, 12), np.float32)
    like[8:12, 2:12] = 1
    ((box, _),) = likely_places(like, (14, 6))
    assert box == (2, 8, 12, 12)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_of_several_likely_places_the_best_come_first_and_none_lies_in_another(count: int) -> None:
    like = np.zeros((20, 30), np.float32)
    patches = [(2, 2, 8, 8), (20, 10, 26, 16), (12, 2, 18, 8)]
    for (x0, y0, x1, y1), value in zip(patches, (0.8, 1.0, 0.6), strict=True):
        like[y0:y1, x0:x1] = value
    places = likely_places(like, (6, 6), count=count)
    assert len(places) == count
    assert [box for box, _ in places[:3]] == [patches[1], patches[0], patches[2]][:count]
    assert [contrast for _, contrast in places[:3]] == pytest.approx([1, 0.8, 0.6][:count], abs=0.15)


WHOLE = Seen((0.0, 0.0, 128.0, 128.0), (128, 128), np.repeat(LIKE[:, None, None], 32, 1).repeat(32, 2), None)
PLACE: Box = (40.0, 40.0, 60.0, 60.0)


def lost(**changes: Any) -> Track:
    """A red object that was lost, seen so far in `PLACE` only."""
    red = np.full((32, 32, 3), RED, np.uint8)
    track = Track(
        id=1,
        label="",
        state="LOST",
        reason="gone",
        score=0.0,
        box=PLACE,
        area_px=400.0,
        motion=standing(PLACE),
        appearance=looks_of(red, (0, 0, 32, 32)),
        unseen=1,
    )
    return msgspec.structs.replace(track, **changes)


def answer(object_id: int, box: tuple[int, int, int, int], seen: Seen = WHOLE) -> Answer:
    logits = np.full((1, 128, 128), -6.0, np.float32)
    logits[0, box[1] : box[3], box[0] : box[2]] = 6
    return Answer(Ask(object_id, seen), logits, np.array([0.9], np.float32))


def judged(track: Track, box: tuple[int, int, int, int], red: float = 1.0, *, cut: bool = False) -> Judged:
    """What is made of a mask, so much of which is red and the rest blue."""
    image = np.full((128, 128, 3), BLUE, np.uint8)
    x0, y0, x1, y1 = box
    paint(image, (x0, y0, x1, y0 + round(red * (y1 - y0))), RED)
    ((_, verdict),) = judge_all([track], {1: [answer(1, box)]}, image, OPTIONS, cut=cut)
    return verdict


def test_a_lost_object_is_not_found_further_off_than_it_can_have_come() -> None:
    there = (90, 40, 110, 60)
    refused = judged(lost(unseen=1), there)
    assert refused.state == "LOST"
    assert "too far" in refused.reason
    assert judged(lost(unseen=10), there).state == "REACQUIRED"
    assert judged(lost(unseen=1), (60, 40, 80, 60)).state == "REACQUIRED"
    assert judged(lost(unseen=1, displaced=True), there).state == "REACQUIRED"
    assert judged(lost(unseen=1), there, cut=True).state == "REACQUIRED"


def test_what_can_be_reached_is_where_the_middle_of_an_object_may_be_found() -> None:
    assert reachable(lost(displaced=True), None, OPTIONS) is None
    widths = []
    for frames in (1, 2, 4):
        within = reachable(lost(unseen=frames), None, OPTIONS)
        assert within is not None
        x0, y0, x1, y1 = within
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((50, 50))
        widths.append(x1 - x0)
        last = int(x1) - 10
        assert judged(lost(unseen=frames), (last - 1, 40, last + 19, 60)).state == "REACQUIRED"
        assert judged(lost(unseen=frames), (last + 1, 40, last + 21, 60)).state == "LOST"
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(("red", "color", "known"), [(0.7, "0.84", False), (0.9, "0.95", True)])
def test_after_a_scene_cut_the_colors_have_to_agree_better(red: float, color: str, known: bool) -> None:
    box = (40, 40, 60, 60)
    assert judged(lost(), box, red).reason == f"score 0.90, similarity 1.00, colors {color}"
    for after in (judged(lost(displaced=True), box, red), judged(lost(), box, red, cut=True)):
        assert after.state == ("REACQUIRED" if known else "LOST")
        assert known or f"colors {color} below 0.9" in after.reason


@pytest.mark.parametrize(("usual_px", "found"), [(800.0, True), (1600.0, False)])
def test_what_another_mask_has_grown_by_may_be_the_lost_object(usual_px: float, found: bool) -> None:
    features = np.repeat(np.array([0.8, 0.6, 0], np.float32)[:, None, None], 32, 1).repeat(32, 2)
    seen = Seen(WHOLE.region, WHOLE.image_size, features, None)
    image = np.full((128, 128, 3), BLUE, np.uint8)
    paint(image, (40, 40, 60, 74), RED)
    owner = lost(id=2, state="TRACKED", unseen=0, area_px=1200.0, usual_px=usual_px, appearance=None)
    mine = lost(area_px=800.0)
    answers = {1: [answer(1, (40, 40, 60, 80), seen)], 2: [answer(2, (40, 40, 80, 80), seen)]}
    (_, hidden), (_, other) = judge_all([mine, owner], answers, image, OPTIONS, cut=False)
    assert other.state == "TRACKED"
    assert hidden.state == ("REACQUIRED" if found else "LOST"), hidden.reason
    assert found or hidden.reason == "searching: what looks like it is object 2"


@pytest.mark.parametrize(("its_red", "found"), [(0, True), (1, True), (3, False), (8, False)])
def test_what_is_of_colors_that_an_object_did_not_have_is_no_part_of_it(its_red: int, found: bool) -> None:
    features = np.repeat(np.array([0.8, 0.6, 0], np.float32)[:, None, None], 32, 1).repeat(32, 2)
    seen = Seen(WHOLE.region, WHOLE.image_size, features, None)
    image = np.full((128, 128, 3), BLUE, np.uint8)
    paint(image, (40, 40, 60, 74), RED)
    before = np.full((20, 20, 3), BLUE, np.uint8)
    before[:its_red] = RED
    looks = looks_of(before, (0, 0, 20, 20))
    # Its mask has not grown.
    whole = (40.0, 40.0, 120.0, 100.0)
    owner = lost(id=2, state="TRACKED", unseen=0, box=whole, area_px=4800.0, usual_px=4800.0, appearance=looks)
    owner = msgspec.structs.replace(owner, motion=standing(whole))
    answers = {1: [answer(1, (40, 40, 60, 80), seen)], 2: [answer(2, (40, 40, 120, 100), seen)]}
    (_, hidden), (_, other) = judge_all([lost(area_px=800.0), owner], answers, image, OPTIONS, cut=False)
    assert hidden.state == ("REACQUIRED" if found else "LOST"), (hidden.reason, other.reason)
    assert found or hidden.reason == "searching: what looks like it is object 2"


def test_an_object_that_was_hidden_by_another_may_be_found_where_that_has_gone() -> None:
    image = np.full((128, 128, 3), RED, np.uint8)
    owner = lost(id=2, state="TRACKED", unseen=0, box=(92.0, 40.0, 112.0, 60.0), motion=None, appearance=None)
    answers = {1: [answer(1, (100, 60, 120, 80))], 2: [answer(2, (92, 40, 112, 60))]}
    for hider, state in ((None, "LOST"), (3, "LOST"), (2, "REACQUIRED")):
        (_, hidden), (_, other) = judge_all([lost(hidden_by=hider), owner], answers, image, OPTIONS, cut=False)
        assert (hidden.state, other.state) == (state, "TRACKED")


def test_a_hint_is_asked_about_together_with_the_likely_places_in_the_view() -> None:
    image = np.full((128, 128, 3), BLUE, np.uint8)
    for x in (12, 60, 100):
        paint(image, (x, 40, x + 20, 60), RED)
    seen = Seen(WHOLE.region, WHOLE.image_size, features_like((3, 10, 8, 15), (15, 10, 20, 15), cells=32), None)

    options = msgspec.structs.replace(OPTIONS, place_contrast=0.6)

    def boxes(track: Track) -> list[Box | None]:
        return [each.box_xyxy for each in ask(TrackerState(tracks=[track]), [], [seen], image, options).asks]

    first, second = (11.5, 39.5, 31.5, 59.5), (59.5, 39.5, 79.5, 59.5)
    assert boxes(lost()) == [first, second]
    assert boxes(lost(hint=(90.0, 90.0, 110.0, 120.0))) == [(89.5, 89.5, 109.5, 119.5), first, second]
    assert boxes(lost(hint=(62.0, 42.0, 82.0, 62.0))) == [(61.5, 41.5, 81.5, 61.5), first]
    assert boxes(lost(hint=(62.0, 42.0, 82.0, 62.0), appearance=None)) == [(61.5, 41.5, 81.5, 61.5)]
