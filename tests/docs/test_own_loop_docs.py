"""What README and docs say of a loop of one's own runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.media import decode_plainly

import streamseg

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return decode_plainly(ROOT / "samples" / "clip" / "clip.mp4")[:4]


class Camera:
    """One that is read like OpenCV's, but for what it says of times."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self._images = iter(images)
        self.time_s = 0.0

    def read(self) -> np.ndarray | None:
        self.time_s += 0.5
        image = next(self._images, None)
        return None if image is None else image[..., ::-1]


def example(page: str, word: str) -> str:
    """The example in a page that has this word in it."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    (text,) = (each for each in found if word in each)
    return str(text)


def test_the_five_lines(images: list[np.ndarray]) -> None:
    names: dict[str, Any] = {"streamseg": streamseg, "camera": images}
    exec(example("README.md", "Tracker("), names)
    (found,) = names["result"].objects
    assert (names["result"].index, found.label, found.state) == (3, "ball", "TRACKED")
    names["tracker"].restore(names["state"])


def test_the_tracker_of_the_page(images: list[np.ndarray]) -> None:
    names: dict[str, Any] = {"camera": images}
    exec(example("docs/own_loop.md", "Tracker("), names)
    assert [found.id for found in names["result"].objects] == [names["cup"]]


def test_the_generator_of_the_page(images: list[np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    exec(example("docs/own_loop.md", "segment_video("), {"streamseg": streamseg, "camera": Camera(images)})
    assert capsys.readouterr().out.splitlines() == [f"{n / 2} TRACKED" for n in range(1, 5)]
