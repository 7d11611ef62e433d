"""How well held-out objects are found from their boxes, in focus views as in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from streamseg.evaluation.photo_files import read_rgb
from streamseg.masks.boxes import box_of_mask
from streamseg.masks.measures import mask_iou
from streamseg.masks.roi import focus_region, paste_logits, sample
from streamseg.training.data.annotated_images import AnnotatedImage, downscale
from streamseg.training.data.datasets import ImageSet
from streamseg.training.network import TrainingModel
from streamseg.training.tasks.task import VIEW_PX, box_to_view, make_prompt

_BATCH = 16


def choose_objects(sets: Sequence[ImageSet], count: int) -> list[tuple[AnnotatedImage, int]]:
    """Held-out photos and one of the objects on them, evenly from all there are; `count` at most."""
    everything = [(photo, number) for each in sets for photo in each.held_out for number in range(len(photo.objects))]
    if len(everything) <= count:
        return everything
    return [everything[i * len(everything) // count] for i in range(count)]


@torch.no_grad()
def mean_iou(model: TrainingModel, chosen: Sequence[tuple[AnnotatedImage, int]]) -> float:
    """Mean IoU of the masks for exact boxes, at the photos' resolution.

    Args:
        model: the network.
        chosen: at least one photo, and the number of an object on it.
    """
    found: list[float] = []
    for start in range(0, len(chosen), _BATCH):
        members = chosen[start : start + _BATCH]
        truths = [photo.mask(number) > 0 for photo, number in members]
        boxes = [box_of_mask(truth) or (0.0, 0.0, 1.0, 1.0) for truth in truths]
        regions = [focus_region(box) for box in boxes]
        views = [
            sample(downscale(read_rgb(photo.path), photo.size), region, VIEW_PX)
            for (photo, _), region in zip(members, regions, strict=True)
        ]
        prompts = [make_prompt(box_to_view(box, region)) for box, region in zip(boxes, regions, strict=True)]
        logits, _ = model.decode(model.encode_views(views), prompts)
        for mask, region, truth in zip(logits[:, 0].cpu().numpy(), regions, truths, strict=True):
            pasted, (x0, y0, x1, y1) = paste_logits(mask, region, (truth.shape[0], truth.shape[1]))
            inside = np.zeros(truth.shape, bool)
            inside[y0:y1, x0:x1] = pasted > 0
            found.append(mask_iou(inside, truth))
    return float(np.mean(found))
