"""How well held-out objects are found from their boxes, as streamseg looks at them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from streamseg.evaluation.pictures import read_rgb
from streamseg.masks.boxes import box_of_mask
from streamseg.masks.measures import mask_iou
from streamseg.masks.roi import focus_region, paste_logits, sample
from streamseg.training.annotated_images import Photo, reduced
from streamseg.training.datasets import PhotoSet
from streamseg.training.network import Learner
from streamseg.training.tasks import VIEW_PX, asking, box_to_view

_BATCH = 16


def choose(sets: Sequence[PhotoSet], count: int) -> list[tuple[Photo, int]]:
    """Held-out photos and one of the things on them, evenly from all there are; `count` at most."""
    everything = [(photo, number) for each in sets for photo in each.held_out for number in range(len(photo.things))]
    if len(everything) <= count:
        return everything
    return [everything[i * len(everything) // count] for i in range(count)]


@torch.no_grad()
def mean_iou(learner: Learner, chosen: Sequence[tuple[Photo, int]]) -> float:
    """Mean IoU of the answers to exact boxes, at the photos' resolution.

    Args:
        learner: the network.
        chosen: at least one photo and thing.
    """
    found: list[float] = []
    for start in range(0, len(chosen), _BATCH):
        members = chosen[start : start + _BATCH]
        truths = [photo.mask(number) > 0 for photo, number in members]
        boxes = [box_of_mask(truth) or (0.0, 0.0, 1.0, 1.0) for truth in truths]
        regions = [focus_region(box) for box in boxes]
        views = [
            sample(reduced(read_rgb(photo.path), photo.size), region, VIEW_PX)
            for (photo, _), region in zip(members, regions, strict=True)
        ]
        questions = [asking(box_to_view(box, region)) for box, region in zip(boxes, regions, strict=True)]
        logits, _ = learner.answer(learner.encode_views(views), questions)
        for mask, region, truth in zip(logits[:, 0].cpu().numpy(), regions, truths, strict=True):
            pasted, (x0, y0, x1, y1) = paste_logits(mask, region, (truth.shape[0], truth.shape[1]))
            inside = np.zeros(truth.shape, bool)
            inside[y0:y1, x0:x1] = pasted > 0
            found.append(mask_iou(inside, truth))
    return float(np.mean(found))
