"""Everything as a detector: whatever comes is found at the next look and followed, once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from streamseg_nodes.discover import Discover
from support.disks import box_of, picture, truth

from streamseg.cli.main import make_parser
from streamseg.cli.running.run_graph import from_sources, page_of
from streamseg.errors import GraphError, UsageError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.masks.boxes import box_iou
from streamseg.messages import Frame, Message, Segmented, Stamp
from streamseg.node import run_node
from streamseg.runtime.inline import InlineRun


def frames(count: int) -> list[Frame]:
    return [Frame(Stamp("s", n, n, None, (1, 25), 0, 0, n + 1), picture(n, (0, 1))) for n in range(count)]


def run(every: int, *, frames: int, **disks: int) -> list[Segmented]:
    """What came out of propagate."""
    graph = config.parse(
        {
            "nodes": {
                "disks": {"use": "support.disks:Disks", "options": {"frames": frames, **disks}},
                "detect": {"use": "streamseg_nodes.discover:Discover", "options": {"every": every}},
                "embed": {"use": "streamseg_nodes.embed:Embed", "options": {"device": "cpu"}},
                "propagate": {
                    "use": "streamseg_nodes.propagate.node:Propagate",
                    "options": {"device": "cpu", "detections": {"forget_after": 2}},
                },
            },
            "links": ["disks -> detect -> embed -> propagate"],
            "feedback": ["propagate -> embed"],
        }
    )
    results: list[Message] = []
    InlineRun(Plan(graph, results_from="propagate"), results.append).run()
    assert all(isinstance(each, Segmented) for each in results)
    return results  # type: ignore[return-value]


def followed(result: Segmented, number: int) -> list[int]:
    """Ids of the objects that are a disk."""
    wanted = truth(result.stamp.index, number)
    masks = [(found.id, result.mask(position)) for position, found in enumerate(result.objects)]
    return [identity for identity, mask in masks if (mask & wanted).sum() > 0.5 * (mask | wanted).sum()]


def test_it_finds_what_there_is_in_frames_it_looks_at() -> None:
    found = run_node(Discover(Discover.Config(every=2)), frames(3))
    assert [each.detections is None for each in found] == [False, True, False]
    for each in (found[0], found[2]):
        assert each.detections is not None
        for number in (0, 1):
            known = box_of(each.stamp.index, number)
            best = max(each.detections, key=lambda thing, known=known: box_iou(thing.box_xyxy, tuple(known)))
            assert box_iou(best.box_xyxy, tuple(known)) > 0.7
            assert 0 < best.score <= 1


def test_what_comes_later_is_followed_from_the_next_look_on_and_nothing_twice() -> None:
    results = run(3, frames=5, gone_from=0, gone_to=2)
    assert [followed(result, 0) for result in results] == [[1]] * 5
    later = [followed(result, 1) for result in results]
    assert later[:3] == [[]] * 3
    assert later[3] == later[4] and len(later[3]) == 1


def test_what_leaves_is_given_up() -> None:
    results = run(5, frames=7, gone_from=2, gone_to=7)
    (gone,) = followed(results[0], 1)
    assert gone not in {found.id for found in results[-1].objects}
    assert followed(results[-1], 0) == followed(results[0], 0)


def test_it_is_the_same_model_that_follows() -> None:
    args = make_parser().parse_args(["run", "clip.mp4", "--discover", "25", "--engine", "torch", "--device", "cpu"])
    graph = from_sources(args)
    assert graph.nodes["detect"].use == "discover"
    assert graph.nodes["detect"].options == {"every": 25, "engine": "torch", "device": "cpu"}
    assert graph.nodes["embed"].options == {"engine": "torch", "device": "cpu"}
    assert graph.nodes["propagate"].options == {"detections": {}, "engine": "torch", "device": "cpu"}
    assert graph.links[:2] == [("decode", "detect"), ("detect", "embed")]
    page = page_of(make_parser().parse_args(["serve", "0", "--discover", "25"]), "127.0.0.1:0")
    assert page.nodes["detect"].options == {"every": 25}
    # Another detector has no model to be told of.
    motion = from_sources(make_parser().parse_args(["run", "clip.mp4", "--detect", "motion", "--model", "vit_b"]))
    assert motion.nodes["detect"].options == {}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--discover", "5", "--detect", "motion"], "expected one detector, got --detect and --discover"),
        (["--discover", "5", "--detect-every", "2"], "and so does --detect-every"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        from_sources(make_parser().parse_args(["run", "clip.mp4", *words]))


@pytest.mark.parametrize("masks", [{"frame": 3}, {"time_s": 1.0}, {"stream": "s"}])
def test_when_is_said_by_every_alone(masks: dict[str, Any]) -> None:
    graph = standard_graph("clip.mp4", [], detect="discover")
    graph.nodes["detect"].options["masks"] = masks
    with pytest.raises(GraphError, match="say every instead"):
        Plan(graph, results_from="cleanup")


def test_crops_are_looked_at_if_so_asked() -> None:
    boxes = []
    for layers in (0, 1):
        masks = {"crop_n_layers": layers, "points_per_side": 4}
        options = config.options_of(Discover.Config, {"masks": masks}, "detect")
        boxes.append(run_node(Discover(options), frames(1))[0].detections)
    whole, cropped = boxes
    assert whole is not None and cropped is not None
    assert not np.array_equal([each.box_xyxy for each in whole], [each.box_xyxy for each in cropped])
