"""How wrong an answer is: focal loss 20, dice 1, error of the predicted IoU 1 (Kirillov et al. 2023, appendix A)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

_FOCAL_WEIGHT = 20.0
_ALPHA, _GAMMA = 0.25, 2.0


class Judged(NamedTuple):
    """What N answers are worth."""

    loss: torch.Tensor
    """(N,)."""
    chosen: torch.Tensor
    """(N,) int64: which of the four masks counts."""
    iou: torch.Tensor
    """(N,): the IoU of that mask with the truth."""


def judge(
    logits: torch.Tensor, scores: torch.Tensor, truth: torch.Tensor, object_px: torch.Tensor, is_click: torch.Tensor
) -> Judged:
    """The single mask counts for a box or a mask, the best of the other three for a click.

    All three masks of a click learn how good they are; only the best one learns to be better.

    Args:
        logits: (N, 4, H, W) float32.
        scores: (N, 4) float32, the IoU the model says its masks have.
        truth: (N, H, W) bool.
        object_px: (N,) float32, area of the whole object, which may reach beyond the view.
        is_click: (N,) bool.
    """
    rows = torch.arange(len(logits), device=logits.device)
    # Only masks that may count are computed: three for a click, one otherwise.
    loss, iou = logits.new_zeros(len(logits)), logits.new_zeros(len(logits))
    chosen = torch.zeros_like(rows)
    for click, wanted in ((False, slice(0, 1)), (True, slice(1, None))):
        members = rows[is_click == click]
        if not len(members):
            continue
        shape, quality = (
            mask_loss(logits[members, wanted], truth[members]),
            true_iou(logits[members, wanted], truth[members], object_px[members]),
        )
        best = shape.detach().argmin(1)
        each = torch.arange(len(members), device=logits.device)
        error = (scores[members, wanted] - quality).square().mean(1)
        loss = loss.index_copy(0, members, shape[each, best] + error)
        iou = iou.index_copy(0, members, quality[each, best])
        chosen = chosen.index_copy(0, members, best + wanted.start)
    return Judged(loss, chosen, iou)


def mask_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N, K): focal loss (Lin et al. 2017) and dice of logits (N, K, H, W) against truth (N, H, W)."""
    wanted = truth[:, None].float().expand_as(logits)
    found = logits.sigmoid()
    crossed = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = found * wanted + (1 - found) * (1 - wanted)
    balance = _ALPHA * wanted + (1 - _ALPHA) * (1 - wanted)
    focal = (balance * (1 - right) ** _GAMMA * crossed).mean((-1, -2))
    shared = (found * wanted).sum((-1, -2))
    # The 1 keeps an object that is not there from dividing by nothing.
    dice = 1 - (2 * shared + 1) / (found.sum((-1, -2)) + wanted.sum((-1, -2)) + 1)
    return _FOCAL_WEIGHT * focal + dice


@torch.no_grad()
def true_iou(logits: torch.Tensor, truth: torch.Tensor, object_px: torch.Tensor) -> torch.Tensor:
    """(N, K): IoU with the whole object, so that a view of a part of it is not called perfect; 0 if there is none."""
    found = logits > 0
    shared = (found & truth[:, None]).sum((-1, -2)).float()
    whole = torch.maximum(object_px, truth.sum((-1, -2)).float())[:, None]
    return shared / (found.sum((-1, -2)) + whole - shared).clamp(min=1)
