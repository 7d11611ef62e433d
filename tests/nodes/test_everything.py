"""propagate finds all objects of a frame by itself, fed by embed, with the bundled model, in one process."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from support.disks import box_of, truth

from streamseg.errors import PromptError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.messages import Message, Segmented
from streamseg.runtime.inline import InlineRun

# Few clicks, so that this is quick; they fall on both disks.
OPTIONS = {"points_per_side": 5, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.1, "crop_n_layers": 0}


def run(
    everything: dict[str, Any], *, frames: int = 3, focus: bool = True, **options: Any
) -> tuple[list[Segmented], dict[str, Any]]:
    """What came out of propagate, and what it says of its search."""
    propagate = {"everything": {**OPTIONS, **everything}, "device": "cpu", **options}
    graph = config.parse(
        {
            "nodes": {
                "disks": {"use": "support.disks:Disks", "options": {"frames": frames}},
                "embed": {"use": "streamseg_nodes.embed:Embed", "options": {"device": "cpu"}},
                "propagate": {"use": "streamseg_nodes.propagate.node:Propagate", "options": propagate},
            },
            "links": ["disks -> embed -> propagate"],
            "feedback": ["propagate -> embed"] if focus else [],
        }
    )
    results: list[Message] = []
    inline = InlineRun(Plan(graph, results_from="propagate"), results.append)
    inline.run()
    assert all(isinstance(result, Segmented) for result in results)
    return results, inline.facts["propagate"]["everything"]  # type: ignore[return-value]


def found(segmented: Segmented, number: int) -> list[int]:
    """Ids of the objects that are that disk."""
    wanted = truth(segmented.stamp.index, number)
    masks = [segmented.mask(position) for position in range(len(segmented.objects))]
    overlaps = [(mask & wanted).sum() / (mask | wanted).sum() for mask in masks]
    return [found.id for found, overlap in zip(segmented.objects, overlaps, strict=True) if overlap > 0.6]


@pytest.mark.parametrize("focus", [True, False])
def test_all_objects_of_the_first_frame_are_found_and_followed(focus: bool) -> None:
    results, facts = run({}, focus=focus)
    first = found(results[0], 0) + found(results[0], 1)
    assert len(first) == 2
    for segmented in results:
        assert [each.id for each in segmented.objects] == list(range(1, facts["disks"]["objects"] + 1))
        assert found(segmented, 0) + found(segmented, 1) == first
    areas = [each.area_px for each in results[0].objects]
    assert areas == sorted(areas, reverse=True)


def test_crops_find_what_the_whole_frame_was_not_asked_about() -> None:
    one_click = {"points_per_side": 1, "crop_n_points_downscale_factor": 1, "max_area": 0.2}
    without, _ = run(one_click, frames=2)
    assert found(without[0], 0) + found(without[0], 1) == []
    results, facts = run({**one_click, "crop_n_layers": 1}, frames=4)
    assert facts["disks"]["asked"] == 3 * (1 + 4)
    first = found(results[0], 0) + found(results[0], 1)
    assert len(first) == 2
    for segmented in results:
        assert found(segmented, 0) + found(segmented, 1) == first
    unfocused, facts = run({**one_click, "crop_n_layers": 1}, frames=2, focus=False)
    assert facts["disks"]["asked"] == 3
    assert len(unfocused) == 2


def test_what_became_of_every_mask_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "streamseg.nodes.propagate"):
        results, facts = run({"max_objects": 1}, frames=1)
    counts = facts["disks"]
    assert counts["frame"] == 0
    assert counts["asked"] == 3 * 5 * 5
    assert counts["objects"] == len(results[0].objects) == 1
    assert sum(counts["removed"].values()) == counts["asked"] - 1
    assert counts["removed"]["max_objects"] > 0
    assert "everything in frame 0 of disks: 1 objects of 75 masks; removed by pred_iou_thresh" in caplog.text


def test_finding_nothing_is_a_warning_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    results, facts = run({"pred_iou_thresh": 1.0}, frames=2)
    assert [segmented.objects for segmented in results] == [[], []]
    assert facts["disks"]["removed"]["pred_iou_thresh"] == facts["disks"]["asked"]
    assert "0 objects of 75 masks" in caplog.text


@pytest.mark.parametrize("when", [{"frame": 2}, {"time_s": 0.075}], ids=["frame", "time"])
def test_a_later_frame_adds_what_is_not_followed_yet(when: dict[str, float]) -> None:
    results, facts = run(when, frames=4, prompts=[{"id": 5, "box": box_of(0, 0)}])
    assert [[each.id for each in segmented.objects] for segmented in results[:2]] == [[5], [5]]
    assert facts["disks"]["frame"] == 2
    assert facts["disks"]["removed"]["known"] > 0
    for segmented in results[2:]:
        assert found(segmented, 0) == [5]
        (new,) = found(segmented, 1)
        assert new > 5


def test_what_is_pointed_at_in_the_same_frame_is_not_found_again() -> None:
    results, _ = run({}, frames=1, prompts=[{"id": 1, "box": box_of(0, 0)}])
    assert found(results[0], 0) == [1]
    assert len(found(results[0], 1)) == 1


def test_a_frame_that_never_comes_is_an_error() -> None:
    with pytest.raises(PromptError, match=r"everything at frame 7: .* 2 frames"):
        run({"frame": 7}, frames=2)


def test_only_the_stream_that_was_named_is_searched() -> None:
    with pytest.raises(PromptError, match="everything at 9 s"):
        run({"time_s": 9, "stream": "disks"}, frames=2)
    results, facts = run({"stream": "another"}, frames=1)
    assert results[0].objects == []
    assert facts == {}
    assert not np.any(results[0].labels)
