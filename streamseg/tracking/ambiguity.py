"""What a click may mean: up to three masks, from the whole to its smallest part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.masks.measures import mask_iou
from streamseg.tracking.candidate import Candidate, measure
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.questions import Answer

_MOST = 3
_SAME = 0.8
"""Two masks of at least this IoU mean the same thing."""


def choices(answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> list[Candidate]:
    """The masks among the answers to a click that mean different things, the largest first.

    Of masks that mean the same the one with the best score counts. Where fewer than three differ, the best of the
    others fill up.

    Args:
        answers: of the decoder to one prompt, several masks each.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.

    Returns:
        Three, or fewer if the model gave no more that are not empty.
    """
    frame_size = (image_rgb.shape[0], image_rgb.shape[1])
    measured = [measure(answer, k, None, image_rgb, options) for answer in answers for k in range(len(answer.scores))]
    ranked = sorted((each for each in measured if each is not None), key=lambda each: -each.score)
    different: list[Candidate] = []
    others: list[Candidate] = []
    for each in ranked:
        mask = full_mask(each, frame_size)
        alike = any(mask_iou(mask, full_mask(kept, frame_size)) >= _SAME for kept in different)
        (others if alike else different).append(each)
    # The sort is stable: of equal areas the better score comes first.
    return sorted([*different, *others][:_MOST], key=lambda each: -each.area_px)


def full_mask(candidate: Candidate, frame_size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of a candidate in the whole frame."""
    mask = np.zeros(frame_size, bool)
    logits, (x0, y0, x1, y1) = candidate.pasted
    mask[y0:y1, x0:x1] = logits > 0
    return mask
