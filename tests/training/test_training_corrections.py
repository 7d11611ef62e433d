from __future__ import annotations

import numpy as np
import pytest

from streamseg.training.tasks.corrections import correction_prompt
from streamseg.training.tasks.task import (
    BOTTOM_RIGHT,
    MASK_PX,
    NEGATIVE,
    NO_POINT,
    POSITIVE,
    TOP_LEFT,
    VIEW_PX,
    ViewTask,
    click_prompt,
    make_prompt,
)

SCALE = VIEW_PX / MASK_PX


def blob(x0, y0, x1, y1):
    mask = np.zeros((MASK_PX, MASK_PX), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def task(truth, prompt):
    picture = np.zeros((VIEW_PX, VIEW_PX, 3), np.uint8)
    return ViewTask(picture, (0, 0, VIEW_PX, VIEW_PX), prompt, truth, float(truth.sum()))


def logits(mask):
    return np.where(mask, np.float32(6), np.float32(-6))


def test_clicks_are_where_the_answer_is_wrong_and_say_so():
    truth, answer = blob(30, 30, 80, 80), blob(50, 30, 100, 80)
    prompt = make_prompt((60, 60, 160, 160))
    kinds = set()
    for seed in range(60):
        found = correction_prompt(task(truth, prompt), prompt, logits(answer), np.random.default_rng(seed))
        assert found is not None and not found.is_click
        for (x, y), label in zip(found.points_xy, found.labels, strict=True):
            if label in (POSITIVE, NEGATIVE):
                column, row = int(x / SCALE), int(y / SCALE)
                assert truth[row, column] != answer[row, column]
                assert truth[row, column] == (label == POSITIVE)
                kinds.add(int(label))
    assert kinds == {POSITIVE, NEGATIVE}


def test_mask_and_box_come_in_all_combinations_and_a_box_holds_the_clicks():
    truth, answer = blob(30, 30, 80, 80), blob(50, 40, 70, 70)
    prompt = make_prompt((60, 60, 160, 160))
    ways = set()
    for seed in range(60):
        found = correction_prompt(task(truth, prompt), prompt, logits(answer), np.random.default_rng(seed))
        labels = found.labels.tolist()
        ways.add((TOP_LEFT in labels, found.mask_logits is not None))
        if TOP_LEFT in labels:
            low, high = found.points_xy[labels.index(TOP_LEFT)], found.points_xy[labels.index(BOTTOM_RIGHT)]
            on = found.points_xy[found.labels == POSITIVE]
            assert (on >= low).all() and (on <= high).all()
        else:
            assert labels[-1] == NO_POINT
    assert ways == {(True, True), (True, False), (False, True)}


def test_several_clicks_may_be_all_there_is():
    truth, answer = blob(30, 30, 80, 80), blob(30, 30, 50, 80)
    prompt = click_prompt((70.0, 90.0))
    alone = first = 0
    for seed in range(60):
        found = correction_prompt(task(truth, prompt), prompt, logits(answer), np.random.default_rng(seed))
        if found.mask_logits is None and TOP_LEFT not in found.labels:
            alone += 1
            assert POSITIVE in found.labels
            first += found.points_xy[0].tolist() == [70.0, 90.0]
            assert np.isin(found.labels, (POSITIVE, NEGATIVE)).sum() >= 2
    assert alone > 10 and first > alone / 2


@pytest.mark.parametrize("extra_px", [0, 2])
def test_what_is_right_is_not_corrected(extra_px):
    truth = blob(30, 30, 80, 80)
    answer = blob(30, 30, 80, 80) | blob(80, 30, 80 + extra_px, 32)
    prompt = make_prompt((60, 60, 160, 160))
    assert correction_prompt(task(truth, prompt), prompt, logits(answer), np.random.default_rng(1)) is None
