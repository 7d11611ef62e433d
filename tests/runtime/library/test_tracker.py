"""A tracker in one's own loop gives what `segment_video` gives, whatever comes in between."""

from __future__ import annotations

import gc
import itertools
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.disks import HEIGHT, WIDTH, box_of, picture, truth
from support.masks import assert_same, facts
from support.media import decode_plainly

import streamseg
from streamseg import Tracker
from streamseg.errors import DeviceError, ModelError, PromptError, UsageError
from streamseg.runtime.library import saved_tracker
from streamseg.runtime.library.frame_result import FrameResult

CLIP = Path(__file__).parents[3] / "samples" / "clip" / "clip.mp4"
BALL, DOG = (62, 238, 128, 304), (455, 244, 595, 337)
FRAMES = 18
CHANGES: dict[int, list[dict[str, Any]]] = {
    0: [{"id": 1, "label": "ball", "box": BALL}],
    4: [{"id": 2, "label": "dog", "box": DOG}, {"id": 3, "points": [[200, 200]]}],
    8: [{"id": 2, "points": [[470, 290]], "negative": [[600, 200]]}],
    10: [{"id": 1, "remove": True}],
    12: [{"id": 3, "negative": [[400, 100]]}, {"id": 2, "box": (420, 240, 560, 340)}],
}
"""Frame -> what is said of objects before it."""


def tell(tracker: Tracker, change: dict[str, Any]) -> None:
    """By the words that a caller has for it."""
    rest = {key: value for key, value in change.items() if key != "id"}
    if "remove" in rest:
        tracker.remove(change["id"])
    elif "label" in rest or "box" in rest or not set(rest) - {"points"}:
        assert tracker.prompt(object_id=change["id"], **rest) == change["id"]
    else:
        tracker.correct(change["id"], **rest)


def followed(
    tracker: Tracker, images: Sequence[np.ndarray], changes: dict[int, list[dict[str, Any]]]
) -> Iterator[FrameResult]:
    for index, image in enumerate(images):
        for change in changes.get(index, ()):
            tell(tracker, change)
        yield tracker.track(image, index / 25)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return decode_plainly(CLIP)[:FRAMES]


@pytest.fixture(scope="module", params=["auto", "off"])
def focus(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def expected(focus: str) -> list[FrameResult]:
    """What the graph makes of the clip."""
    prompts = [{"frame": frame, **change} for frame, changes in CHANGES.items() for change in changes]
    return list(streamseg.segment_video(CLIP, prompts=prompts, max_frames=FRAMES, focus=focus))


def test_masks_are_those_of_segment_video(images: list[np.ndarray], expected: list[FrameResult], focus: str) -> None:
    found = list(followed(Tracker(model="tiny", focus=focus), images, CHANGES))
    assert_same(found, expected)
    assert [result.pts_s for result in found] == [result.pts_s for result in expected]
    assert np.array_equal(found[-1].image_rgb, expected[-1].image_rgb)
    assert {o.id for o in found[5].objects} == {1, 2, 3}
    assert {o.id for o in found[10].objects} == {2, 3}
    # Whole frames are too coarse for one of them.
    assert sum(o.mask.any() for o in found[8].objects) >= 2


@pytest.mark.parametrize("at", [0, 1, 5, 8, 13], ids="saved before frame {}".format)
def test_who_goes_on_from_a_state_gets_the_same_masks(
    images: list[np.ndarray], expected: list[FrameResult], focus: str, at: int
) -> None:
    """Saved after what is said before the frame, which so has to be in the state."""
    tracker = Tracker(focus=focus)
    list(followed(tracker, images[:at], CHANGES))
    for change in CHANGES.get(at, ()):
        tell(tracker, change)
    state = tracker.save()
    assert len(state) < 300_000
    other = Tracker(focus=focus)
    other.prompt(box=(0, 0, 100, 100), object_id=77)
    other.track(images[-1])
    other.restore(state)
    rest = {frame - at: changes for frame, changes in CHANGES.items() if frame > at}
    assert_same(list(followed(other, images[at:], rest)), expected[at:])
    # The first one can go on, too.
    assert_same([tracker.track(images[at])], [expected[at]])


@pytest.mark.slow
def test_everything_may_be_asked_for_at_any_time(images: list[np.ndarray]) -> None:
    options = {"max_objects": 3, "points_per_side": 8}
    prompts = [{"id": 1, "box": BALL}]
    expected = list(streamseg.segment_video(CLIP, prompts=prompts, everything={"frame": 2, **options}, max_frames=5))
    tracker = Tracker()
    tracker.prompt(box=BALL)
    found = [tracker.track(image) for image in images[:2]]
    tracker.everything(**options)
    state = tracker.save()
    found += [tracker.track(image) for image in images[2:5]]
    assert_same(found, expected)
    count = len(found[2].objects)
    assert count > 1
    restored = Tracker()
    restored.restore(state)
    assert_same([restored.track(image) for image in images[2:5]], expected[2:])
    # Once more: what is followed already is not found again.
    tracker.everything(**options)
    assert len(tracker.track(images[4]).objects) >= count


def test_options_are_those_of_segment_video(images: list[np.ndarray]) -> None:
    options: dict[str, Any] = {"keep": "largest", "grow_radius_px": 3, "tracker": "naive", "views": 1}
    expected = list(streamseg.segment_video(CLIP, boxes=[BALL, DOG], max_frames=3, **options))
    tracker = Tracker(**{**options, "grow_radius_px": np.int64(3)})
    for box in (BALL, DOG):
        tracker.prompt(box=box)
    assert_same([tracker.track(image) for image in images[:3]], expected)


@pytest.mark.parametrize(("option", "value"), [("batch", 4), ("live", True), ("focsu", "off"), ("max_frames", 3)])
def test_options_that_mean_nothing_to_it_are_refused(option: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"there is no option '{option}'"):
        Tracker(**{option: value})


def test_a_model_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="tiny"):
        Tracker(model="tyni")


def test_before_anything_is_pointed_at_there_are_no_objects() -> None:
    tracker = Tracker()
    result = tracker.track(picture(0), 1.5)
    assert (result.index, result.pts_s, result.objects) == (0, 1.5, [])
    identity = tracker.prompt(box=box_of(1), label="disk")
    (found,) = tracker.track(picture(1)).objects
    assert (found.id, found.label, found.state) == (identity, "disk", "TRACKED")
    assert np.mean(found.mask == truth(1)) > 0.98


def test_a_prompt_may_wait_for_a_later_frame_and_masks_and_clicks_are_taken() -> None:
    tracker = Tracker()
    tracker.prompt(mask=truth(2), frame=2, object_id=5)
    tracker.prompt(points=[(180, 130)], choice=0)
    counts = [[o.id for o in tracker.track(picture(index)).objects] for index in range(3)]
    assert counts == [[1], [1], [1, 5]]
    with pytest.raises(PromptError, match="frame 1 has gone by; the next that is possible is frame 3"):
        tracker.prompt(box=box_of(1), frame=1)


def test_prompts_that_cannot_be_meant_change_nothing() -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0), object_id=1)
    before = tracker.save()
    refused: list[tuple[Any, str]] = [
        (lambda: tracker.prompt(), "has nothing; give a box"),
        (lambda: tracker.prompt(box=[box_of(0), box_of(0, 1)]), "one box for one object, got 2; call prompt for each"),
        (lambda: tracker.prompt(box="0,0,9,9"), "expected box="),
        (lambda: tracker.prompt(box=(9, 9, 3, 3)), "x0 < x1"),
        (lambda: tracker.prompt(mask=np.zeros((2, 3, 4))), "expected a mask"),
        (lambda: tracker.prompt(box=box_of(0), object_id=0), "from 1 to 65535"),
        (lambda: tracker.prompt(box=box_of(0), object_id=1), "there is a prompt for object 1 in the same frame"),
        (lambda: tracker.correct(1, points=[(60, 50)]), "there is a prompt for object 1 in the same frame already"),
        (lambda: tracker.correct(9, points=[(60, 50)]), "there is no object 9; known: 1"),
        (lambda: tracker.remove(9), "there is no such object to remove"),
        (lambda: tracker.everything(max_objectz=3), "max_objects"),
        (lambda: tracker.everything(frame=3), r"without frame: it is about the frame that is tracked next"),
    ]
    for call, said in refused:
        with pytest.raises(UsageError, match=said):
            call()
    assert tracker.save() == before
    tracker.track(picture(0))
    with pytest.raises(PromptError, match="outside"):
        tracker.prompt(points=[(WIDTH + 5, 5)])
    tracker.remove(1)
    tracker.track(picture(1))
    with pytest.raises(PromptError, match="was removed, and ids are never used again"):
        tracker.prompt(box=box_of(2), object_id=1)


def test_a_first_prompt_outside_its_frame_is_dropped_and_the_frame_may_be_given_again() -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    tracker.prompt(points=[(WIDTH + 50, 5)])
    with pytest.raises(PromptError, match=r"object 2.*outside"):
        tracker.track(picture(0))
    result = tracker.track(picture(0))
    assert result.index == 0
    assert [o.id for o in result.objects] == [1]


def test_wrong_pictures_do_not_count() -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    with pytest.raises(UsageError, match="multiply by 255"):
        tracker.track(picture(0) / 255)
    with pytest.raises(UsageError, match="expected the time of a frame in seconds, got nan"):
        tracker.track(picture(0), float("nan"))
    assert tracker.track(picture(0)[..., ::-1], bgr=True).index == 0
    assert tracker.track(cv2.cvtColor(picture(1), cv2.COLOR_RGB2GRAY), gray=True).index == 1


def test_a_frame_of_another_size_is_scaled_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    tracker.track(picture(0))
    with caplog.at_level(logging.WARNING, "streamseg"):
        results = [tracker.track(cv2.resize(picture(index), (480, 360))) for index in (1, 2)]
    assert [record.getMessage() for record in caplog.records] == [
        f"frame 1 is 480x360, the first one was {WIDTH}x{HEIGHT}: frames of another size are scaled to that"
    ]
    assert results[1].image_rgb.shape == (HEIGHT, WIDTH, 3)
    assert np.mean(results[1].objects[0].mask == truth(2)) > 0.98


def test_a_result_is_the_callers_own() -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    image = picture(0)
    result = tracker.track(image)
    mask = result.objects[0].mask
    image[...] = 0
    assert np.array_equal(result.image_rgb, picture(0))
    result.image_rgb[...] = 0
    tracker.track(picture(1))
    assert np.array_equal(result.objects[0].mask, mask)


def test_a_frame_at_which_something_fails_is_gone_on_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's memory is full once; there is no such device here, so the error is thrown in."""
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    tracker.track(picture(0))
    with monkeypatch.context() as patch:

        def full(message: object) -> None:
            raise DeviceError("out of memory on cuda:0")

        patch.setattr(tracker._embed, "process", full)
        tracker.prompt(box=box_of(1, 1))
        with pytest.raises(DeviceError):
            tracker.track(picture(1))
    # A prompt that was for the lost frame holds for the next one, also after a restart.
    other = Tracker()
    other.restore(tracker.save())
    for each in (tracker, other):
        result = each.track(picture(2))
        assert result.index == 2
        assert [o.id for o in result.objects] == [1, 2]
        assert all(np.mean(o.mask == truth(2, number)) > 0.98 for number, o in enumerate(result.objects))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (b"", "got 0 bytes of something else"),
        (b"junk" * 100, "got 400 bytes of something else"),
        ("text", "got a str"),
        (None, "got a NoneType"),
    ],
)
def test_what_is_no_state_is_refused(state: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"expected the state of a tracker, as save.. gives it, {said}"):
        Tracker().restore(state)


def test_damaged_states_and_those_of_others_are_refused_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    tracker.track(picture(0))
    state = tracker.save()
    for place in (20, 40, len(state) // 2, len(state) - 1):
        damaged = state[:place] + bytes([state[place] ^ 1]) + state[place + 1 :]
        with pytest.raises(UsageError, match="one that is damaged"):
            tracker.restore(damaged)
    with pytest.raises(UsageError, match="one that is damaged"):
        tracker.restore(state[:-1])
    saved = saved_tracker.from_bytes(state)
    with pytest.raises(UsageError, match=r"of model 'vit_b' .*got one of model 'tiny'"):
        saved_tracker.check_fits(saved, "vit_b", saved.sha256)
    with pytest.raises(UsageError, match="got one of other weights of 'tiny'"):
        saved_tracker.check_fits(saved, "tiny", "0" * 64)
    # What nobody writes, with a right checksum: the tracker inside of it is none.
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "_state", b"\xc1junk")
        hollow = tracker.save()
    with pytest.raises(UsageError, match="one that cannot be gone on with"):
        tracker.restore(hollow)
    with monkeypatch.context() as patch:
        patch.setattr(saved_tracker, "_version", lambda: "0.0.9")
        older = tracker.save()
    here = re.escape(streamseg.__version__)
    with pytest.raises(UsageError, match=rf"of streamseg {here}, got one of 0\.0\.9; restore it with that version"):
        tracker.restore(older)
    assert tracker.save() == state
    assert tracker.track(picture(1)).index == 1


def of_this_process(what: str) -> list[str]:
    """Names in a folder of /proc: threads (``task``) or open files (``fd``)."""
    gc.collect()
    return sorted(path.name for path in Path("/proc/self", what).iterdir())


def test_trackers_share_a_model_and_let_go_of_it_with_the_last() -> None:
    threads, files = of_this_process("task"), of_this_process("fd")
    one, other = Tracker(), Tracker()
    assert one._embed._encoder is other._embed._encoder
    assert one._propagate._decoder is other._propagate._decoder
    for tracker in (one, other):
        tracker.prompt(box=box_of(0))
        tracker.track(picture(0))
    assert not [path for path in Path("/proc/self/task").glob("*/children") if path.read_text()]
    del one
    assert np.mean(other.track(picture(1)).objects[0].mask == truth(1)) > 0.98
    del other, tracker
    assert of_this_process("task") == threads
    assert of_this_process("fd") == files


def test_one_tracker_serves_several_threads_and_two_that_share_a_model_do_not_disturb_each_other() -> None:
    alone = Tracker()
    alone.prompt(box=box_of(0))
    expected = [facts(alone.track(picture(index))) for index in range(6)]
    found: dict[int, list[Any]] = {}

    def follow(number: int) -> None:
        tracker = Tracker()
        tracker.prompt(box=box_of(0))
        found[number] = [facts(tracker.track(picture(index))) for index in range(6)]

    shared = Tracker()
    indices: list[int] = []

    def push() -> None:
        for number in range(5):
            shared.prompt(box=box_of(0, number % 2))
            indices.append(shared.track(picture(0)).index)

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(2)]
    threads += [threading.Thread(target=push) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: expected, 1: expected}
    assert sorted(indices) == list(range(10))
    assert {o.id for o in shared.track(picture(0)).objects} == set(range(1, 11))


def test_what_is_kept_does_not_grow_with_what_was_said() -> None:
    tracker = Tracker()
    tracker.prompt(box=box_of(0))
    tracker.track(picture(0))
    sizes = []
    for index in itertools.repeat(1, 12):
        tracker.prompt(mask=truth(index), object_id=1)
        tracker.track(picture(index))
        sizes.append(len(tracker.save()))
        assert len(tracker._propagate.stream("decode").planned) == 1
    assert max(sizes[2:]) < 1.2 * sizes[1]
