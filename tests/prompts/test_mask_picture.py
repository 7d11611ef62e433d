"""What of a picture is the object: palettes, numbers, soft edges, colors, transparency."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamseg.errors import PromptError
from streamseg.masks.png import write_labels_png
from streamseg.prompts.model import ObjectPrompt, PendingPrompt
from streamseg.prompts.prepare import fit, prepare_one

LEFT, RIGHT = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
LEFT[5:20, 3:15] = True
RIGHT[5:20, 20:38] = True


def pointed(path: Path, object_id: int) -> PendingPrompt:
    return prepare_one(ObjectPrompt(id=object_id, mask=str(path)), ())


def soft() -> np.ndarray:
    return cv2.GaussianBlur(LEFT.astype(np.uint8) * 255, (5, 5), 0)


def test_of_numbers_of_several_objects_the_prompts_own_is_taken_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = (LEFT + 2 * RIGHT).astype(np.uint8)
    write_labels_png(tmp_path / "palette.png", numbers)
    cv2.imwrite(str(tmp_path / "gray.png"), numbers)
    for name in ("palette.png", "gray.png"):
        for object_id, expected in ((1, LEFT), (2, RIGHT)):
            pending = pointed(tmp_path / name, object_id)
            np.testing.assert_array_equal(pending.mask, expected)
            fit(pending, 40, 30)
            assert f"has 2 objects (1, 2): of it object {object_id} is taken" in caplog.text
        with pytest.raises(PromptError, match=r"2 objects \(1, 2\), and none of them is object 7"):
            pointed(tmp_path / name, 7)


def test_one_object_has_any_number_and_what_is_void_is_not_of_it(tmp_path: Path) -> None:
    write_labels_png(tmp_path / "void.png", (9 * LEFT + 255 * RIGHT).astype(np.uint8))
    np.testing.assert_array_equal(pointed(tmp_path / "void.png", 1).mask, LEFT)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_soft_edges_are_cut_at_half_and_that_is_said(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"soft.{suffix}"
    cv2.imwrite(str(path), soft())
    pending = pointed(path, 1)
    assert pending.mask is not None
    # Of a straight edge half of the blur is on each side; only corners differ.
    assert np.count_nonzero(pending.mask != LEFT) <= 8
    with caplog.at_level(logging.WARNING, "streamseg"):
        fit(pending, 40, 30)
    assert "levels of gray: the object is taken to be where it is 128 or more" in caplog.text


def test_a_palette_that_only_makes_the_file_small_has_no_numbers(tmp_path: Path) -> None:
    white_first = Image.fromarray((~LEFT).astype(np.uint8))
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    white_first.save(tmp_path / "white-first.png")
    np.testing.assert_array_equal(pointed(tmp_path / "white-first.png", 1).mask, LEFT)
    grays = Image.fromarray(soft())
    grays.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    grays.save(tmp_path / "grays.png")
    np.testing.assert_array_equal(pointed(tmp_path / "grays.png", 1).mask, soft() >= 128)


def test_several_colors_are_refused(tmp_path: Path) -> None:
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[LEFT], picture[RIGHT] = (200, 0, 0), (0, 200, 0)
    cv2.imwrite(str(tmp_path / "colors.png"), picture)
    with pytest.raises(PromptError, match="2 colors, so maybe several objects"):
        pointed(tmp_path / "colors.png", 1)


@pytest.mark.parametrize("color", [0, 255])
def test_what_is_transparent_is_not_the_object(tmp_path: Path, color: int) -> None:
    cut_out = np.dstack([np.full((30, 40, 3), color, np.uint8), LEFT.astype(np.uint8) * 255])
    cv2.imwrite(str(tmp_path / "cut-out.png"), cut_out)
    pending = pointed(tmp_path / "cut-out.png", 1)
    np.testing.assert_array_equal(pending.mask, LEFT)
    assert "transparent" in (pending.note or "")
