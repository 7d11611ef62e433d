"""What the page on still pictures shows in Python gives what it says; tests/docs runs its commands."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

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
