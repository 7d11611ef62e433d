"""From a detector's boxes to objects that are followed, with the bundled model, in one process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from streamseg_nodes.motion import Motion
from support.detectors import Broken, Colored
from support.disks import box_of, picture, truth

from streamseg.errors import PromptError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks.boxes import box_iou
from streamseg.messages import Detected, Frame, Gap, Message, Segmented, Stamp
from streamseg.node import run_node
from streamseg.runtime.inline import InlineRun

RED_AND_YELLOW = {"words": ["red", "yellow"]}


def run(
    detector: dict[str, Any],
    *,
    use: str = "support.detectors:Colored",
    focus: bool = True,
    frames: int = 4,
    disks: dict[str, int] | None = None,
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
    InlineRun(Plan(graph, results_from="propagate"), results.append).run()
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
def test_a_detector_looks_at_every_so_manieth_frame(every: int, looked: list[int]) -> None:
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
