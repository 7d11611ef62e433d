"""Prompts of segment-anything's shapes, made those that the decoder takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.errors import PromptError
from streamseg.prompts.decoder import DecoderPrompt


def make_prompts(
    points_xy: np.ndarray | None,
    point_labels: np.ndarray | None,
    boxes_xyxy: np.ndarray | None,
    masks: np.ndarray | None,
) -> list[DecoderPrompt]:
    """B prompts; the arrays that are given have one entry for each.

    Args:
        points_xy: (B, N, 2).
        point_labels: (B, N), 1 on the object, 0 not on it.
        boxes_xyxy: (B, 4), or any shape with as many numbers.
        masks: (B, 1, 4h, 4w) low-resolution logits.

    Raises:
        PromptError: nothing is given, or not the same number of each, or another shape.
    """
    if points_xy is not None and points_xy.ndim != 3:
        raise PromptError(f"expected points (B, N, 2), N for each of B objects, got {points_xy.shape}")
    if point_labels is not None and point_labels.ndim != 2:
        raise PromptError(f"expected point labels (B, N), N for each of B objects, got {point_labels.shape}")
    if boxes_xyxy is not None:
        if boxes_xyxy.ndim == 0 or boxes_xyxy.shape[-1] != 4:
            raise PromptError(f"expected boxes (B, 4) of x0, y0, x1, y1, got {boxes_xyxy.shape}")
        boxes_xyxy = boxes_xyxy.reshape(-1, 4)
    if masks is not None and (masks.ndim != 4 or masks.shape[1] != 1):
        raise PromptError(f"expected mask logits (B, 1, H, W), got {masks.shape}; give those of an earlier answer")
    named = {"points": points_xy, "point labels": point_labels, "boxes": boxes_xyxy, "masks": masks}
    given = {name: len(array) for name, array in named.items() if array is not None}
    if len(set(given.values())) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in given.items())
        raise PromptError(f"expected as many of each, one for each object, got {counts}")
    count = next(iter(given.values()), 0)
    if count == 0:
        raise PromptError("an empty prompt: expected a box, at least one point, or a mask")
    return [
        DecoderPrompt(
            box_xyxy=None if boxes_xyxy is None else _box(boxes_xyxy[i].tolist()),
            points_xy=None if points_xy is None else points_xy[i],
            point_labels=None if point_labels is None else point_labels[i],
            mask_logits=None if masks is None else np.asarray(masks[i, 0], np.float32),
        )
        for i in range(count)
    ]


def _box(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = numbers
    return x0, y0, x1, y1
