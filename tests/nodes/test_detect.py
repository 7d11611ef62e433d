"""From a detector's boxes to objects that are followed, with the bundled model, in one process."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from streamseg_nodes.motion import Motion
from streamseg_nodes.propagate.admission import Admission, free_ids, with_new
from support.detectors import Broken, Colored
from support.disks import box_of, picture, truth

from streamseg import tracking
from streamseg.errors import PromptError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.jobs import Job, Position
from streamseg.masks.boxes import box_iou
from streamseg.messages import Detected, Frame, Gap, Message, Segmented, Stamp
from streamseg.node import run_node
from streamseg.runtime.inline import InlineRun
from streamseg.runtime.supervision.recovery import can_resume
from streamseg.tracking import DetectionOptions, TrackerState, TrackingOptions
from streamseg.tracking.state import Track

RED_AND_YELLOW = {"words": ["red", "yellow"]}


def run(
    detector: dict[str, Any],
    *,
    use: str = "support.detectors:Colored",
    focus: bool = True,
    frames: int = 4,
    disks: dict[str, int] | None = None,
    job: Job | None = None,
    **options: Any,
) -> list[Message]:
    """What came out of propagate."""
    graph = config.parse(
        {
            "nodes": {
                "disks": {"use": "support.disks:Disks", "options": {"frames": frames, **(disks or {})}},
                "detect": {"use": use, "options": detector},
                "embed": {"use": "streamseg_nodes.embed:Embed", "options": {"device": "cpu"}},
                "propagate": {
                    "use": "streamseg_nodes.propagate.node:Propagate",
                    "options": {"device": "cpu", **options},
                },
            },
            "links": ["disks -> detect -> embed -> propagate"],
            "feedback": ["propagate -> embed"] if focus else [],
        }
    )
    results: list[Message] = []
    InlineRun(Plan(graph, results_from="propagate"), results.append, job=job).run()
    return results


def ids(results: list[Message]) -> list[list[tuple[int, str]]]:
    return [[(found.id, found.label) for found in result.objects] for result in results]  # type: ignore[attr-defined]


def overlap(result: Message, position: int, number: int) -> float:
    """IoU of a mask with a disk."""
    assert isinstance(result, Segmented)
    mask, wanted = result.mask(position), truth(result.stamp.index, number)
    return float((mask & wanted).sum() / (mask | wanted).sum())


@pytest.mark.parametrize("focus", [True, False])
def test_what_is_found_is_followed_from_its_first_frame_on_and_added_once(focus: bool) -> None:
    results = run(RED_AND_YELLOW, focus=focus, detections={})
    assert ids(results) == [[(1, "red"), (2, "yellow")]] * 4
    for result in results:
        assert all(overlap(result, number, number) > (0.7 if focus else 0.4) for number in (0, 1))


def test_a_thing_that_comes_later_is_added_with_the_next_id() -> None:
    results = run(RED_AND_YELLOW, detections={}, disks={"gone_from": 0, "gone_to": 2})
    assert ids(results) == [[(1, "red")]] * 2 + [[(1, "red"), (2, "yellow")]] * 2
    assert overlap(results[2], 1, 1) > 0.7


def test_an_object_with_a_prompt_is_not_added_again_even_in_its_first_frame() -> None:
    results = run(RED_AND_YELLOW, frames=2, prompts=[{"id": 7, "label": "mine", "box": box_of(0, 0)}])
    assert ids(results) == [[(7, "mine"), (8, "yellow")]] * 2


def test_only_so_many_and_only_the_sure_ones() -> None:
    assert ids(run(RED_AND_YELLOW, frames=2, detections={"max_objects": 1})) == [[(1, "red")]] * 2
    assert ids(run(RED_AND_YELLOW, frames=2, detections={"min_score": 0.95})) == [[]] * 2


def test_one_that_stays_away_is_given_up_and_its_id_is_not_used_again() -> None:
    disks = {"gone_from": 2, "gone_to": 8}
    results = run({"words": ["yellow"]}, frames=9, disks=disks, detections={"forget_after": 2})
    followed = [{identity for identity, _ in each} for each in ids(results)]
    assert followed[:2] == [{1}, {1}]
    assert followed[7] == set()
    assert followed[8] == {2}


@pytest.mark.parametrize(("every", "looked"), [(1, [0, 1, 2, 3, 4]), (3, [0, 3]), (0, [0])])
def test_a_detector_looks_at_every_nth_frame(every: int, looked: list[int]) -> None:
    found = run_node(Colored(Colored.Config(every=every, words=["red"])), frames(5))
    assert [each.stamp.seq for each in found if each.detections is not None] == looked


def test_a_broken_box_costs_its_frame_and_says_why() -> None:
    results = run({}, use="support.detectors:Broken", detections={})
    gaps = [result for result in results if isinstance(result, Gap)]
    assert [gap.stamp.seq for gap in gaps] == [1, 3]
    assert "x0 < x1" in gaps[0].reason
    assert len(results) == 4
    node = Broken()
    assert node.process(next(frames(1))).detections is not None


def test_a_graph_that_says_nothing_of_what_to_follow_is_refused() -> None:
    with pytest.raises(PromptError, match=r"detections: \{\}"):
        run(RED_AND_YELLOW)


def frames(count: int, still: int = 0) -> Any:
    """Frames of the disks; in the first `still` there is nothing but the ground."""
    for index in range(count):
        image = picture(index, () if index < still else (0, 1))
        noise = np.random.default_rng(index).integers(-3, 4, image.shape)
        noisy = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
        yield Frame(Stamp("disks", index, index, None, (1, 25), 0, 0, index + 1), noisy)


def moving(count: int, still: int, **options: Any) -> list[Detected]:
    return run_node(Motion(Motion.Config(**options)), frames(count, still))


def test_moving_things_are_found_once_they_have_moved_for_a_while() -> None:
    found = moving(24, 16)
    assert [len(each.detections or []) for each in found[:18]] == [0] * 18
    for each in found[18:]:
        boxes = [detection.box_xyxy for detection in each.detections or []]
        for number in (0, 1):
            x0, y0, x1, y1 = box_of(each.stamp.index, number)
            assert max(box_iou(box, (x0, y0, x1, y1)) for box in boxes) > 0.7
        assert all(0 < detection.score <= 1 for detection in each.detections or [])


def test_nothing_is_found_while_too_much_changes() -> None:
    assert not any(each.detections for each in moving(20, 16, max_area=0.05))
    assert not any(each.detections for each in moving(20, 16, warmup=20))
    assert not any(each.detections for each in moving(20, 20))


def test_things_at_the_edge_are_waited_for() -> None:
    def walking_in() -> Any:
        for index in range(60):
            image = np.full((180, 240, 3), 90, np.uint8)
            if index >= 20:
                image[60:120, max(0, 4 * (index - 20) - 60) : 4 * (index - 20)] = 220
            yield Frame(Stamp("s", index, index, None, (1, 25), 0, 0, index + 1), image)

    waited = [each.stamp.seq for each in run_node(Motion(), walking_in()) if each.detections]
    at_once = [
        each.stamp.seq for each in run_node(Motion(Motion.Config(at_edge=True)), walking_in()) if each.detections
    ]
    assert at_once[0] < 26
    assert 34 <= waited[0] <= 38


def test_a_car_is_found_although_the_exposure_follows_it() -> None:
    """A white thing crosses the picture and everything else gets darker, more so on one side, as a camera does it."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.normal(120, 25, (180, 320, 3)), (0, 0), 3) + rng.normal(0, 6, (180, 320, 1))
    darker = np.linspace(0.75, 1.0, 320)[None, :, None]
    messages = []
    for index in range(70):
        image = ground + rng.normal(0, 1, ground.shape)
        left = 6 * (index - 30)
        shown = max(0, min(60, left + 60)) / 60
        image[50:130, max(0, left) : max(0, left + 60)] = 250
        image = image * (1 - shown * (1 - 0.6 * darker))
        stamp = Stamp("camera", index, index, None, (1, 25), 0, 0, index + 1)
        messages.append(Frame(stamp, np.clip(image, 0, 255).astype(np.uint8)))
    found = run_node(Motion(), messages)
    boxes = {each.stamp.index: each.detections for each in found if each.detections}
    assert min(boxes) > 30 and len(boxes) > 20
    for index, (detection, *others) in boxes.items():
        assert not others
        assert box_iou(detection.box_xyxy, (6 * (index - 30), 50, 6 * (index - 30) + 60, 130)) > 0.6, index


def test_a_graph_with_motion_can_be_started_again() -> None:
    assert can_resume(Plan(standard_graph("clip.mp4", [], detect="motion", output="out")))


def test_ids_are_used_again_only_when_all_have_been_and_each_after_all_others() -> None:
    def first(count: int, state: TrackerState, highest: int, meant: tuple[int, ...] = ()) -> list[int]:
        return list(itertools.islice(free_ids(state, highest + 1, meant), count))

    assert first(3, TrackerState(), 7) == [8, 9, 10]
    state = TrackerState(gone=[(1, 5), (9, 65000)], removed=[6], last_detected=65534)
    assert first(3, state, 65534) == [65535, 1, 2]
    state = TrackerState(gone=[(1, 5), (9, 65535)], last_detected=3)
    assert first(5, state, 65535, meant=(9,)) == [4, 5, 10, 11, 12]
    assert first(70_000, state, 65535)[-1] == 3, "at last those that were used last"
    again = with_new(state, [4, 5, 10])
    assert (again.gone, again.detected, again.last_detected) == ([(1, 3), (9, 9), (11, 65535)], [4, 5, 10], 10)


def test_what_a_state_keeps_of_objects_that_are_gone_does_not_grow() -> None:
    admission = Admission(DetectionOptions(forget_after=0), TrackingOptions())
    state = TrackerState()
    for number in range(1, 3000):
        state = with_new(state, [number])
        track = Track(id=number, label="", state="LOST", reason="", score=0, box=(0, 0, 1, 1), area_px=1, unseen=2)
        state = admission.without_gone(msgspec.structs.replace(state, tracks=[track]))
    assert state.gone == [(1, 2999)]
    assert state.former_ids == set(range(1, 3000))
    assert len(tracking.to_bytes(state)) < 300


def test_when_all_ids_have_been_used_objects_still_come_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    used = TrackerState(highest_id=65535, gone=[(1, 65535)], last_detected=65535)
    job = Job(facts={}, positions={"disks": Position(seq=0, next_index=0, tracker=tracking.to_bytes(used))})
    results = run(RED_AND_YELLOW, detections={}, job=job)
    assert ids(results) == [[(1, "red"), (2, "yellow")]] * 4
    state = tracking.from_bytes(bytes(results[-1].tracker))  # type: ignore[attr-defined]
    assert (state.gone, state.detected) == ([(3, 65535)], [1, 2])
    assert [record.message for record in caplog.records if "used again" in record.message] == [
        "all ids up to 65535 have been used; those of objects of the detector that are gone are used again"
    ]
