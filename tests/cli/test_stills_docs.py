"""What README and docs say of still pictures runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.command import streamseg

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "stills.md"


@pytest.fixture(scope="module")
def first_frame() -> np.ndarray:
    """(360, 640, 3) uint8 BGR: that of the sample clip."""
    there, image = cv2.VideoCapture(str(ROOT / "samples" / "clip" / "clip.mp4")).read()
    assert there
    return image


def test_examples_in_python(first_frame: np.ndarray) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {"image_rgb": cv2.cvtColor(first_frame, cv2.COLOR_BGR2RGB)}
    for block in blocks:
        exec(block, names)
    assert names["masks"].shape == (1, 360, 640)
    assert 1000 < names["masks"].sum() < 6000
    assert names["found"]
    assert names["sam"].name == "tiny"


def test_commands(first_frame: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for path in (tmp_path / "photo.jpg", tmp_path / "photos" / "one.png"):
        cv2.imwrite(str(path), first_frame)
    lines = {
        line.strip(): None
        for text in (PAGE.read_text(), (ROOT / "README.md").read_text())
        for line in text.splitlines()
        if line.startswith("    streamseg image")
    }
    assert len(lines) >= 4
    for line in lines:
        words = [word.strip("'") for word in line.split()[1:]]
        # There is nothing of that pattern here.
        words = [word for word in words if not word.startswith("more/")]
        words += ["--points-per-side", "4"] * ("--everything" in words)
        done = streamseg(*words, "--overwrite", cwd=tmp_path)
        assert (done.returncode, "1 pictures" in done.stderr) == (0, True), done.stderr
