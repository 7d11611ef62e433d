"""What a source says of itself ends a run whose options cannot be meant of it, before a frame has gone through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.command import streamseg
from support.media import moving_images, write_video

from streamseg.errors import PromptError
from streamseg.graph.config import parse
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.messages import Frame
from streamseg.node import Node

OUTSIDE = {"id": 1, "box": [300, 300, 400, 400]}
FACTS = {"width": 96, "height": 64}


class Resize(Node[Frame, Frame]):
    """Gives frames of another size, for all anybody knows."""


def plan(**options: object) -> Plan:
    return Plan(standard_graph("a.mp4", [OUTSIDE], **options), results_from="cleanup")


@pytest.mark.parametrize("options", [{}, {"detect": "motion"}], ids=["plain", "with a detector"])
def test_a_box_outside_the_frame_is_refused_by_what_the_source_says(options: dict[str, str]) -> None:
    with pytest.raises(PromptError, match="lies outside the 96x64 frame"):
        plan(**options).check_stream("decode", FACTS)
    plan(**options).check_stream("decode", {"width": 640, "height": 480})


def test_a_camera_that_is_not_there_yet_has_no_size() -> None:
    plan().check_stream("decode", {"width": None, "height": None})


def test_a_node_in_between_may_change_the_size() -> None:
    graph = {
        "nodes": {
            "decode": {"use": "decode", "options": {"source": "a.mp4"}},
            "resize": {"use": f"{__name__}:Resize"},
            "embed": {"use": "embed"},
            "propagate": {"use": "propagate", "options": {"prompts": [OUTSIDE]}},
        },
        "links": ["decode -> resize", "resize -> embed", "embed -> propagate"],
    }
    Plan(parse(graph), results_from="propagate").check_stream("decode", FACTS)


def test_no_frame_goes_through_and_nothing_is_written(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_images(6))
    run = streamseg("run", video.name, "--box", "300,300,400,400", "-o", "new", cwd=tmp_path)
    assert run.returncode == 2
    assert "box (300, 300, 400, 400) lies outside the 96x64 frame" in run.stderr
    assert not re.search(r"[1-9]\d* failed", run.stderr)
    assert not (tmp_path / "new").exists()
