"""The tracker's states, with answers that a decoder might give. No model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from streamseg.masks.boxes import center_size
from streamseg.masks.roi import focus_region, to_frame
from streamseg.prompts.model import Fitted, ObjectPrompt
from streamseg.prompts.prepare import fit, prepare
from streamseg.tracking import (
    Answer,
    Followed,
    Seen,
    TrackerState,
    TrackingOptions,
    ask,
    follow,
    next_regions,
    seen_prompts,
)
from streamseg.types import Region

WIDTH, HEIGHT = 320, 240
OPTIONS = TrackingOptions(
    margins=(0.0,),
    motion=0.0,
    lost_score=0.3,
    uncertain_score=0.6,
    uncertain_area=1.7,
    lost_area=4.0,
    uncertain_similarity=0.95,
    lost_similarity=0.7,
    lost_color=0.4,
)
OBJECT, GROUND = np.array([1.0, 0, 0], np.float32), np.array([0, 1.0, 0], np.float32)


class World:
    """One object on a plain ground, and a decoder that always finds just it, with the score it is told."""

    def __init__(self, box: tuple[float, ...] = (100, 80, 160, 140), color: tuple[int, ...] = (200, 40, 40)) -> None:
        self.box = box
        self.color = color
        self.ground = (40, 90, 60)
        self.visible = True
        self.feature = OBJECT
        self.mask_box: tuple[float, ...] | None = None
        self.score = 0.9
        self.compares = False

    @property
    def image(self) -> np.ndarray:
        image = np.full((HEIGHT, WIDTH, 3), self.ground, np.uint8)
        if self.visible:
            x0, y0, x1, y1 = map(int, self.box)
            image[y0:y1, x0:x1] = self.color
        return image

    def see(self, look: Region) -> Seen:
        """What embed would make of a look."""
        whole = bool(look.scales)
        region = (0.0, 0.0, float(WIDTH), float(HEIGHT)) if whole else focus_region(look.box_xyxy)
        size = (192, 256) if whole else (256, 256)
        seen = Seen(region, size, np.zeros((3, 32, 32), np.float32), None if whole else look.object_id)
        inside = self._inside(seen, 32, self.box) & self.visible
        features = np.where(inside, self.feature[:, None, None], GROUND[:, None, None]).astype(np.float32)
        return Seen(region, size, features, seen.object_id, features if self.compares else None)

    def answer(self, question: Any) -> Answer:
        inside = self._inside(question.seen, 128, self.mask_box or self.box) & self.visible
        logits = np.where(inside, np.float32(6), np.float32(-6))
        return Answer(question, logits[None], np.array([self.score], np.float32))

    @staticmethod
    def _inside(seen: Seen, side: int, box: tuple[float, ...]) -> np.ndarray:
        centers = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), 2)
        points = to_frame(centers, seen.square, side)
        x, y = points[..., 0], points[..., 1]
        return np.asarray((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]))


class Run:
    """Frames one after the other."""

    def __init__(self, world: World, options: TrackingOptions = OPTIONS, **prompt: Any) -> None:
        self.world = world
        self.options = options
        entry = msgspec.convert(prompt or {"box": list(world.box)}, ObjectPrompt)
        self.pointers = prepare([entry])
        self.state = TrackerState()
        self.index = 0
        self.looked: list[Region] = []

    def step(self) -> Followed:
        self.looked = next_regions(self.state, self.pointers, self.index, self.options)
        seen = [self.world.see(look) for look in self.looked]
        due = [p for p in self.pointers[self.state.prompts_done :] if p.prompt.frame <= self.index]
        prompts: list[Fitted] = [fit(p, WIDTH, HEIGHT) for p in seen_prompts(due, seen)]
        questions = ask(self.state, prompts, seen, self.world.image, self.options)
        answers = [self.world.answer(question) for question in questions.asks]
        followed = follow(self.state, questions, answers, self.world.image, self.options)
        self.state = followed.state
        self.index += 1
        return followed

    def steps(self, count: int) -> str:
        """The object's state in each frame, by its first letter."""
        return "".join(self.step().state.tracks[0].state[0] for _ in range(count))


def test_an_object_is_followed_and_its_box_is_that_of_the_mask() -> None:
    run = Run(World())
    for _ in range(8):
        followed = run.step()
        track = followed.state.tracks[0]
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
    followed = run.step()
    track = followed.state.tracks[0]
    assert (track.state, track.reason[: len(reason)]) == (state, reason)
    seen = (followed.masks[0][0] > 0).any()
    assert seen == (state != "LOST"), "a lost object has an empty mask, any other has one"


def test_a_mask_of_the_whole_frame_is_refused() -> None:
    options = msgspec.structs.replace(OPTIONS, lost_area=1000.0)
    run = Run(World(box=(85, 45, 235, 195)), options)
    run.step()
    run.world.mask_box = (0, 0, WIDTH, HEIGHT)
    track = run.step().state.tracks[0]
    assert (track.state, track.reason) == ("LOST", "the mask is the whole frame")


def test_a_lost_object_is_searched_ever_wider_and_then_everywhere() -> None:
    run = Run(World())
    run.step()
    run.world.visible = False
    widths = []
    for _ in range(OPTIONS.search_everywhere_after + 3):
        run.step()
        look = next_regions(run.state, [], 99, run.options)[0]
        widths.append(None if look.scales else look.box_xyxy[2] - look.box_xyxy[0])
    local = widths[: OPTIONS.search_everywhere_after]
    assert local == sorted(local)
    assert local[-1] > 2 * 60
    assert set(widths[OPTIONS.search_everywhere_after :]) == {None}


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


def test_colors_seen_at_a_glance_are_looked_at_closely_in_the_next_frame() -> None:
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
    np.testing.assert_allclose(center_size(run.looked[0].box_xyxy)[:2], (212, 110), atol=4)
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
    followed = Run(world).step()
    assert (followed.state.tracks[0].state, followed.state.tracks[0].reason) == ("LOST", "nothing found at the prompt")
    assert followed.masks[0][0].size == 0


def test_several_margins_are_several_asks_and_one_answer() -> None:
    run = Run(World(), msgspec.structs.replace(OPTIONS, margins=(0.0, 0.1, 0.2)))
    run.step()
    seen = [run.world.see(look) for look in next_regions(run.state, [], 1, run.options)]
    boxes = [question.box_xyxy for question in ask(run.state, [], seen, run.world.image, run.options).asks]
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
    seen = [run.world.see(look) for look in next_regions(run.state, [], 1, run.options)]
    (question,) = ask(run.state, [], seen, run.world.image, run.options).asks
    given = {"box": question.box_xyxy, "point": question.points_xy, "mask": question.mask_logits}
    assert {name for name, value in given.items() if value is not None} == asked
    assert bool(question.templates) is compares
    wanted = run.world.answer(question).logits[0] > 0
    if question.mask_logits is not None:
        together = wanted & (question.mask_logits > 0)
        assert together.sum() / (wanted | (question.mask_logits > 0)).sum() > 0.95
    if question.points_xy is not None:
        # The picture has twice the pixels of the logits.
        x, y = (question.points_xy[0] / 2).astype(int)
        assert wanted[y, x]
        assert wanted[y - 20 : y + 21, x - 20 : x + 21].all()
        assert question.point_labels is not None
        assert question.point_labels.tolist() == [1]


def test_a_prompt_waits_for_a_view_of_its_place() -> None:
    (pointer,) = prepare([msgspec.convert({"id": 2, "box": [1, 1, 9, 9]}, ObjectPrompt)])
    world = World()
    assert seen_prompts([pointer], [world.see(Region((10, 10, 40, 40), 1))]) == []
    assert seen_prompts([pointer], [world.see(Region((1, 1, 9, 9), 2))]) == [pointer]
    assert seen_prompts([pointer], [world.see(Region((1, 1, 9, 9), 1, (1.0,)))]) == [pointer]
