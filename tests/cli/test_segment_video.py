"""`streamseg.segment_video`: from scripts, threads and loops that end early."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command import BOXES, FRAMES, FinishedRun, tracks

import streamseg
from streamseg.errors import GraphError, MediaError, PromptError, UsageError

NUMBERS = [tuple(float(number) for number in box.split(",")) for box in BOXES]

SCRIPT = """
import os, sys, streamseg
def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()
seen = []
for result in streamseg.segment_video(sys.argv[1], points=[(9, 9)], negatives=[(80, 60)]):
    seen.append(result.index)
    assert len(children()) == 5  # four nodes and the janitor
    if len(seen) == 2:
        break
print(seen, children())
kept = streamseg.segment_video(sys.argv[1], boxes=[(0, 0, 18, 18)])
print(next(kept).index)
"""


def test_it_gives_what_the_command_writes(finished: FinishedRun) -> None:
    results = []

    # In a thread, where signal handlers cannot be set.
    def work() -> None:
        results.extend(streamseg.segment_video(finished.video, boxes=NUMBERS))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [result.index for result in results] == list(range(FRAMES))
    lines = iter(tracks(finished.folder))
    for result in results:
        written = np.asarray(Image.open(finished.folder / "masks" / f"{result.index:05d}.png"))
        assert result.image_rgb.shape == (120, 160, 3)
        for each in result.objects:
            assert (each.mask == (written == each.id)).all()
            line = next(lines)
            assert (line["id"], line["area_px"], line["state"]) == (each.id, each.area_px, each.state)
            assert each.mask.sum() == each.area_px


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_script_without_main_guard_may_leave_the_loop(video: Path) -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-", str(video)], input=SCRIPT, capture_output=True, text=True, env=environment, timeout=100
    )
    assert done.stdout == "[0, 1] []\n0\n", done.stderr
    assert done.stderr == ""
    assert done.returncode == 0


def test_mistakes_are_told_before_the_loop(video: Path) -> None:
    with pytest.raises(PromptError, match="neither a box nor a point"):
        streamseg.segment_video(video)
    with pytest.raises(PromptError, match="got both"):
        streamseg.segment_video(video, boxes=NUMBERS, prompts=[{"id": 1, "box": [0, 0, 9, 9]}])
    (video.parent / "prompts.yaml").write_text("- {id: 1, box: [0, 0, 18, 18]}\n- {id: 1, box: [0, 0, 9, 9]}")
    with pytest.raises(PromptError, match=r"prompts.yaml, entry 2: .* two prompts for object 1 at frame 0"):
        streamseg.segment_video(video, prompts=video.parent / "prompts.yaml")
    with pytest.raises(GraphError, match="max_frames"):
        streamseg.segment_video(video, boxes=NUMBERS, max_frames=0)
    with pytest.raises(UsageError, match="bx"):
        streamseg.segment_video(video, prompts=[{"id": 1, "bx": [0, 0, 9, 9]}])


def test_a_missing_file_is_told_in_the_loop(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        list(streamseg.segment_video(tmp_path / "gone.mp4", boxes=NUMBERS))


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="segment_vido"):
        streamseg.segment_vido  # noqa: B018
    assert "segment_video" in dir(streamseg)
