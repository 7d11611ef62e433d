"""Detectors from outside: the option of the command, a graph file, and the loop in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.command import streamseg
from support.media import write_video

from streamseg import segment_video
from streamseg.cli.main import make_parser
from streamseg.cli.running.run_graph import from_sources
from streamseg.errors import GraphError


def test_the_detector_stands_before_embed() -> None:
    args = make_parser().parse_args(["run", "clip.mp4", "--detect", "support.detectors:Colored"])
    graph = from_sources(args)
    assert graph.nodes["detect"].use == "support.detectors:Colored"
    assert graph.nodes["propagate"].options == {"detections": {}}
    assert graph.links[:2] == [("decode", "detect"), ("detect", "embed")]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["clip.mp4", "--detect", "moton"], "there is no node 'moton'"),
        (["clip.mp4", "--detect", "cleanup"], "'cleanup' is not a detector"),
        (["graph.yaml", "--detect", "motion"], "--detect cannot be combined with a graph file"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], complaint: str) -> None:
    done = streamseg("run", *words)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_what_moves_is_followed_without_a_prompt(tmp_path: Path) -> None:
    """With real processes: the detector's boxes travel with their frames through embed to propagate."""
    images = np.full((26, 120, 160, 3), 90, np.uint8)
    for index in range(14, 26):
        images[index, 40:80, 10 + 5 * (index - 14) : 40 + 5 * (index - 14)] = (220, 60, 40)
    path = write_video(tmp_path / "clip.mp4", images)
    results = list(segment_video(path, detect="streamseg_nodes.motion:Motion"))
    assert [found.id for found in results[10].objects] == []
    assert [(found.id, found.label) for found in results[-1].objects] == [(1, "moving")]
    x0, y0, x1, y1 = 65, 40, 95, 80
    mask = results[-1].objects[0].mask
    assert mask[y0:y1, x0:x1].mean() > 0.7
    assert mask.sum() < 2 * 30 * 40


def test_a_detector_that_is_none_is_refused_by_the_loop_at_once(video: Path) -> None:
    with pytest.raises(GraphError, match="is not a detector"):
        segment_video(video, detect="streamseg_nodes.cleanup:Cleanup")
