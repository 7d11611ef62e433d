"""Runs with strange masks, recorded once by the real nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.media import moving_images, write_video
from support.recorded import record
from support.strange_masks import HEIGHT, WIDTH

from streamseg.formats.runs.run import Run, load_run

FRAMES = 9


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Lossless, and of an odd size: what is exported can be compared with it.
    path = tmp_path_factory.mktemp("source") / "strange clip.mkv"
    return write_video(path, moving_images(FRAMES, WIDTH, HEIGHT), codec="ffv1", pix_fmt="bgr0")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Path:
    return record(tmp_path_factory.mktemp("png") / "clip", video, overlay=False)


@pytest.fixture(scope="session")
def rle_folder(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Path:
    return record(tmp_path_factory.mktemp("rle") / "clip", video, overlay=False, mask_format="rle")


@pytest.fixture(scope="session", params=["png", "rle"])
def run(request: pytest.FixtureRequest) -> Run:
    return load_run(request.getfixturevalue("folder" if request.param == "png" else "rle_folder"))


@pytest.fixture(scope="session")
def small_ids(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Run:
    """The same with ids that fit into a byte."""
    return load_run(record(tmp_path_factory.mktemp("small") / "clip", video, (1, 2, 3, 4, 5), overlay=False))


@pytest.fixture(scope="session")
def one_frame(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A video of one frame."""
    folder = tmp_path_factory.mktemp("one")
    source = write_video(folder / "one.mkv", moving_images(1, WIDTH, HEIGHT), codec="ffv1", pix_fmt="bgr0")
    return load_run(record(folder / "run", source, overlay=False))
