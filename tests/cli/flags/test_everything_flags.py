"""Everything mode from outside: the options of the command, and the loop in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.command import streamseg

from streamseg import segment_video
from streamseg.cli.main import make_parser
from streamseg.cli.running.run_graph import from_sources


def propagate_options(*words: str) -> dict[str, Any]:
    """What propagate is told by a command line."""
    return from_sources(make_parser().parse_args(["run", "clip.mp4", *words])).nodes["propagate"].options


@pytest.mark.parametrize(
    ("words", "everything"),
    [
        (["--everything"], {}),
        (["--everything-frame", "12"], {"frame": 12}),
        (["--everything", "--everything-frame", "2.5s"], {"time_s": 2.5}),
    ],
)
def test_the_flags_are_options_of_propagate(words: list[str], everything: dict[str, float]) -> None:
    assert propagate_options(*words) == {"everything": everything}


def test_boxes_may_be_there_too() -> None:
    options = propagate_options("--everything", "--box", "1,2,30,40")
    assert options["everything"] == {}
    assert [prompt["box"] for prompt in options["prompts"]] == [[1, 2, 30, 40]]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["clip.mp4", "--everything-frame", "soon"], "the number of a frame, say 12, or a time, say 2.5s, got 'soon'"),
        (["clip.mp4", "--everything-frame=-1"], "got '-1'"),
        (["graph.yaml", "--everything"], "--everything cannot be combined with a graph file"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], complaint: str) -> None:
    done = streamseg("run", *words)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_the_loop_gets_the_objects_from_their_frame_on(video: Path) -> None:
    options = {"frame": 1, "points_per_side": 5, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    results = list(segment_video(video, everything={**options, "max_objects": 2}, max_frames=3))
    ids = [[found.id for found in result.objects] for result in results]
    assert ids == [[], [1, 2], [1, 2]]
    areas = [found.mask.sum() for found in results[1].objects]
    assert areas[0] >= areas[1] > 0
