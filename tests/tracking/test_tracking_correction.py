"""Clicks that correct a mask."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg.prompts.model import FramePrompt
from streamseg.tracking.candidate import Candidate
from streamseg.tracking.correction import best_correction, correction_reason
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.query import Answer, EncodedView, Query
from streamseg.tracking.state import Memory, Track

SIDE = 64
IMAGE = np.zeros((SIDE, SIDE, 3), np.uint8)
VIEW = EncodedView((0, 0, SIDE, SIDE), (SIDE, SIDE), np.ones((4, SIDE // 4, SIDE // 4), np.float32), 1)
MASK = (10, 10, 40, 40)


def logits(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    found = np.full((SIDE, SIDE), np.float32(-6))
    for x0, y0, x1, y1 in boxes:
        found[y0:y1, x0:x1] = 6
    return found


def clicked(x: float, y: float, label: int) -> FramePrompt:
    labels = np.array([label], np.int32)
    return FramePrompt(id=1, label="", box=None, points_xy=np.array([[x, y]]), point_labels=labels, mask=None)


def corrected(
    prompt: FramePrompt, new_mask: np.ndarray, new_score: float, under_click: list[np.ndarray]
) -> tuple[Candidate, np.ndarray]:
    """The candidate, and its mask on the frame."""
    area = float((logits(MASK) > 0).sum())
    track = Track(
        id=1,
        label="",
        state="TRACKED",
        reason="",
        score=0.8,
        box=MASK,
        area_px=area,
        memory=Memory.of(logits(MASK), (0, 0, SIDE, SIDE)),
    )
    part = "missing" if prompt.point_labels[0] else "too much"
    answers = [
        Answer(Query(1, VIEW), new_mask[None], np.array([new_score], np.float32)),
        Answer(Query(1, VIEW, multimask=True, part=part), np.stack(under_click), np.full(len(under_click), 0.5)),
    ]
    found = best_correction(prompt, track, answers, IMAGE, TrackingOptions())
    assert found is not None
    full = np.zeros((SIDE, SIDE), bool)
    pasted, (x0, y0, x1, y1) = found.pasted
    full[y0:y1, x0:x1] = pasted > 0
    return found, full


def test_a_new_mask_that_does_what_the_click_says_is_taken_if_it_is_much_better() -> None:
    wider = logits((10, 10, 50, 40))
    found, mask = corrected(clicked(45, 20, 1), wider, 1.0, [logits(MASK)])
    assert mask[20, 45]
    assert found.score == pytest.approx(1.0)
    assert correction_reason(clicked(45, 20, 1), found.pasted) == "corrected"


def test_what_is_missing_is_added_near_the_click_and_nowhere_else() -> None:
    prompt = clicked(43, 20, 1)
    found, mask = corrected(prompt, logits(MASK), 0.9, [logits((40, 0, 64, 64)), logits((40, 10, 60, 60))])
    assert mask[20, 43] and mask[20, 12]
    assert not mask[55, 50], "far from the click nothing changes"
    assert found.score == pytest.approx(0.8), "the mask's own score, not one that was raised"
    assert correction_reason(prompt, found.pasted) == "corrected"


def test_what_is_too_much_is_taken_away() -> None:
    prompt = clicked(38, 20, 0)
    _, mask = corrected(prompt, logits(MASK), 0.9, [logits((35, 0, 64, 64))])
    assert not mask[20, 38]
    assert mask[20, 30] and mask[39, 38], "the rest of the mask stays"


def test_a_click_on_nothing_known_leaves_the_model_its_way() -> None:
    prompt = clicked(55, 55, 1)
    found, mask = corrected(prompt, logits(MASK), 0.9, [logits((0, 0, 5, 5))])
    assert not mask[55, 55]
    assert correction_reason(prompt, found.pasted) == "corrected; 0 of 1 clicks hold"
