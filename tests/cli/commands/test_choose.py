"""`streamseg choose`: the things that a click may mean, as pictures; and that a choice is honored."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.command import streamseg, told
from support.media import write_video

from streamseg.errors import PromptError
from streamseg.masks.boxes import box_iou
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare

POINT = (120, 90)


def nested() -> np.ndarray:
    """(180, 240, 3) uint8 RGB: a light disk, in it a darker one, in that a small dark one."""
    image = np.full((180, 240, 3), (40, 90, 60), np.uint8)
    for radius, color in ((70, (240, 200, 60)), (42, (220, 60, 40)), (18, (30, 30, 120))):
        cv2.circle(image, POINT, radius, color, -1)
    return cv2.GaussianBlur(image, (3, 3), 0)


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video of it."""
    return write_video(tmp_path_factory.mktemp("nest") / "nest.mp4", [nested()] * 3)


def test_three_masks_are_shown_and_the_chosen_one_is_followed(nest: Path, tmp_path: Path) -> None:
    click = f"--point={POINT[0]},{POINT[1]}"
    done = streamseg("choose", nest, click, "--frame", 1, "-o", tmp_path / "seen", "--json")
    assert done.returncode == 0, done.stderr
    choices = json.loads(done.stdout)
    assert choices == json.loads((tmp_path / "seen" / "choices.json").read_text())
    assert [each["choice"] for each in choices] == [0, 1, 2]
    areas = [each["area_px"] for each in choices]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 2 * areas[2]
    for each in choices:
        assert 0 <= each["score"] <= 1
        mask = cv2.imread(str(tmp_path / "seen" / each["mask"]), cv2.IMREAD_UNCHANGED)
        picture = cv2.imread(str(tmp_path / "seen" / each["picture"]))
        assert np.count_nonzero(mask) == each["area_px"]
        assert picture.shape == (180, 240, 3)
        assert set(np.unique(mask)) == {0, 255}
    last = choices[2]
    words = (click, "--frame", 1, "--choice", 2, "--no-overlay", "--max-frames", 2, "--inline", "-o", tmp_path / "out")
    done = streamseg("run", nest, *words)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "out" / "tracks.jsonl").read_text().splitlines()
    assert box_iou(tuple(json.loads(line)["box_xyxy"]), tuple(last["box_xyxy"])) > 0.9


def test_what_cannot_be_shown(nest: Path, tmp_path: Path) -> None:
    cases = {
        ("--point=500,5",): (2, "outside the 240x180 frame"),
        ("--point=5,5", "--frame", 99): (3, "has no frame 99"),
        ("--point=5",): (2, "two numbers"),
    }
    for words, (code, complaint) in cases.items():
        done = told("choose", nest, *words, "-o", tmp_path / "new")
        assert (done.returncode, complaint in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "new").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = told("choose", nest, "--point=9,9", "-o", tmp_path / "full")
    assert done.returncode == 2
    assert "is not an empty folder" in done.stderr


@pytest.mark.parametrize(
    ("prompts", "complaint"),
    [
        ([ObjectPrompt(box=[1, 1, 9, 9], choice=1)], "a choice .1. without being a click"),
        ([ObjectPrompt(id=1, negative=[[1, 1]], choice=0)], "without being a click"),
        (
            [ObjectPrompt(id=1, box=[1, 1, 9, 9]), ObjectPrompt(id=1, frame=4, points=[[5, 5]], choice=2)],
            "the object is known, so clicks correct its mask",
        ),
    ],
)
def test_a_choice_that_cannot_be_meant(prompts: list[ObjectPrompt], complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint):
        prepare(prompts)
