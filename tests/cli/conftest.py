"""One finished run that several tests look at."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from support.command import streamseg
from support.media import moving_images, write_video

FRAMES = 12
BOXES = ("0,0,18,18", "60,30,100,70")


class FinishedRun(NamedTuple):
    """What the command was given, and what came out."""

    video: Path
    folder: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    return write_video(path, moving_images(FRAMES, 160, 120))


@pytest.fixture(scope="session")
def finished(video: Path) -> FinishedRun:
    """The main job with two boxes into the default folder, with the report on standard output."""
    process = streamseg("run", video.name, *(f"--box={box}" for box in BOXES), "--json", cwd=video.parent)
    return FinishedRun(video, video.parent / "out" / "clip", process)
