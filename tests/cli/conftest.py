"""One finished run that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import BOXES, FRAMES, FinishedRun, streamseg
from support.media import moving_images, write_video


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
