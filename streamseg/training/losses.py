"""How wrong masks are: focal loss 20, dice 1, error of the predicted IoU 1 (Kirillov et al. 2023, appendix A).

Unlike theirs, the focal loss weighs object and background alike. With 0.25 and 0.75 a small, unsure model draws every
mask too small (0.83 of the true area was seen), and a roll-out compounds that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

_FOCAL_WEIGHT = 20.0
_BALANCE, _GAMMA = 0.5, 2.0


class PromptLosses(NamedTuple):
    """Loss, and which mask it is of, of N prompts."""

    loss: torch.Tensor
    """(N,)."""
    chosen: torch.Tensor
    """(N,) int64: which of the four masks counts."""
    iou: torch.Tensor
    """(N,): the IoU of that mask with the truth."""


def prompt_losses(
    logits: torch.Tensor, scores: torch.Tensor, truth: torch.Tensor, object_px: torch.Tensor, is_click: torch.Tensor
) -> PromptLosses:
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
    loss, iou = logits.new_zeros(len(logits)), logits.new_zeros(len(logits))
    chosen = torch.zeros_like(rows)
    # Only masks that may count are computed: three for a click, one otherwise.
    for clicks, first, end in ((False, 0, 1), (True, 1, 4)):
        members = rows[is_click == clicks]
        if not len(members):
            continue
        asked, true = logits[members, first:end], truth[members]
        wrong, quality = mask_loss(asked, true), true_iou(asked, true, object_px[members])
        best = wrong.detach().argmin(1)
        each = rows[: len(members)]
        error = (scores[members, first:end] - quality).square().mean(1)
        loss = loss.index_copy(0, members, wrong[each, best] + error)
        iou = iou.index_copy(0, members, quality[each, best])
        chosen = chosen.index_copy(0, members, best + first)
    return PromptLosses(loss, chosen, iou)


def mask_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N, K): focal loss (Lin et al. 2017) and dice of logits (N, K, H, W) against truth (N, H, W)."""
    wanted = truth[:, None].float().expand_as(logits)
    found = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = found * wanted + (1 - found) * (1 - wanted)
    focal = _BALANCE * ((1 - right) ** _GAMMA * cross_entropy).mean((-1, -2))
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
