from __future__ import annotations

import pytest
import torch

from streamseg.training.losses import mask_loss, prompt_losses, true_iou


@pytest.fixture
def truth():
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, 4:12, 4:12] = True
    return mask


def as_logits(mask, sure=8.0):
    return torch.where(mask, sure, -sure)[:, None]


def test_a_right_mask_costs_next_to_nothing_and_a_wrong_one_more(truth):
    right = mask_loss(as_logits(truth), truth)
    half = mask_loss(as_logits(truth & (torch.arange(16) < 8)), truth)
    wrong = mask_loss(as_logits(~truth), truth)
    assert right.shape == (1, 1)
    assert right < 0.01 < half < wrong


def test_iou_is_with_the_whole_object(truth):
    inside = torch.tensor([64.0])
    assert true_iou(as_logits(truth), truth, inside).item() == 1
    assert true_iou(as_logits(truth), truth, 2 * inside).item() == 0.5
    assert true_iou(as_logits(truth), torch.zeros_like(truth), torch.zeros(1)).item() == 0


def test_a_box_asks_for_the_single_mask_and_a_click_for_the_best_of_three(truth):
    both = truth.repeat(2, 1, 1)
    logits = torch.cat([as_logits(mask) for mask in (~truth, ~truth, truth, ~truth)], 1).repeat(2, 1, 1, 1)
    logits.requires_grad_()
    scores = torch.zeros(2, 4)
    area = torch.full((2,), 64.0)
    judged = prompt_losses(logits, scores, both, area, torch.tensor([False, True]))
    assert judged.chosen.tolist() == [0, 2]
    assert judged.iou.tolist() == [0, 1]
    assert judged.loss[0] > judged.loss[1]
    judged.loss.sum().backward()
    touched = logits.grad.abs().sum((-1, -2)) > 0
    assert touched.tolist() == [[True, False, False, False], [False, False, True, False]]


def test_scores_learn_the_iou(truth):
    logits = as_logits(truth).expand(1, 4, 16, 16)
    area = torch.tensor([64.0])
    losses = [
        prompt_losses(logits, torch.full((1, 4), score), truth, area, torch.tensor([False])).loss.item()
        for score in (1.0, 0.2)
    ]
    assert losses[1] - losses[0] == pytest.approx(0.8**2, abs=1e-4)
