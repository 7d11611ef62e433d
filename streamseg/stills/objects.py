"""The objects of a still picture that were pointed at, or all there are, in one label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.label_map import merge
from streamseg.masks.measures import mask_iou
from streamseg.prompts.model import FramePrompt, PendingPrompt
from streamseg.prompts.prepare import fit
from streamseg.sam.automatic_masks import AutomaticMaskOptions
from streamseg.stills.automatic import AutomaticMaskGenerator
from streamseg.stills.closer import CloserLook
from streamseg.stills.predictor import Predictor

_SAME_IOU = 0.5
"""A closer look that has no such IoU with what was looked at has seen something else."""


@dataclass(frozen=True, eq=False)
class PictureObjects:
    """What is in a picture."""

    labels: np.ndarray
    """(H, W) uint16: 0 is background, k is object number k counted from 1."""
    ids: list[int]
    """Of each object, in the order of the labels."""
    scores: list[float]
    """The model's own estimate of each mask's IoU."""


def everything_generator(predictor: Predictor, points_per_side: int | None = None) -> AutomaticMaskGenerator:
    """Finds what ``streamseg run --everything`` would follow: few objects, apart from each other.

    Args:
        predictor: what to ask.
        points_per_side: of the grid of points; None: what suits the model.

    Raises:
        UsageError: more than 256 points.
    """
    usual = AutomaticMaskOptions()
    return AutomaticMaskGenerator(
        predictor,
        points_per_side=points_per_side,
        min_area=usual.min_area,
        max_area=usual.max_area,
        one_part=usual.one_part,
        overlap=usual.overlap,
        max_objects=usual.max_objects,
    )


def find_everything(generator: AutomaticMaskGenerator, image_rgb: np.ndarray) -> PictureObjects:
    """All objects of a picture (H, W, 3) uint8 RGB; the largest is number 1, and smaller ones lie on top.

    What is found is looked at again, closely, if the model can (`streamseg.stills.closer`).

    Raises:
        DeviceError: out of memory.
    """
    found = [(each["segmentation"], float(each["predicted_iou"])) for each in generator.generate(image_rgb)]
    closer = generator.predictor.model.closer_look
    if closer is not None:
        found = [_closely(closer, image_rgb, mask, score) for mask, score in found]
    found.sort(key=lambda each: -np.count_nonzero(each[0]))
    labels = np.zeros(image_rgb.shape[:2], np.uint16)
    for number, (mask, _) in enumerate(found, 1):
        labels[mask] = number
    return PictureObjects(labels, list(range(1, len(found) + 1)), [score for _, score in found])


def _closely(closer: CloserLook, image_rgb: np.ndarray, mask: np.ndarray, score: float) -> tuple[np.ndarray, float]:
    """What a closer look makes of a mask (H, W) bool, and its score; the mask as it is if that sees something else."""
    looked = closer.look(image_rgb, _box_prompt(mask))
    again = np.asarray(looked.logits > 0)
    return (again, looked.score) if mask_iou(again, mask) >= _SAME_IOU else (mask, score)


def _box_prompt(mask: np.ndarray) -> FramePrompt:
    no_points, no_labels = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
    return FramePrompt(id=1, label="", box=box_of_mask(mask), points_xy=no_points, point_labels=no_labels, mask=None)


def find_pointed(
    predictor: Predictor, image_rgb: np.ndarray, prompts: Sequence[PendingPrompt], *, closely: bool = True
) -> PictureObjects:
    """The objects of a picture that prompts point at; a pixel goes to whom it belongs most.

    Args:
        predictor: what to ask.
        image_rgb: (H, W, 3) uint8 RGB.
        prompts: boxes and clicks.
        closely: look again, closely, if the model can (`streamseg.stills.closer`); if not, the whole picture is seen.

    Raises:
        PromptError: a prompt does not fit into the picture.
        DeviceError: out of memory.
    """
    height, width = image_rgb.shape[:2]
    fitted = [fit(pending, width, height) for pending in prompts]
    closer = predictor.model.closer_look if closely else None
    if closer is None:
        predictor.set_image(image_rgb)
        found = [_ask(predictor, prompt) for prompt in fitted]
    else:
        looked = [closer.look(image_rgb, prompt) for prompt in fitted]
        found = [(each.logits, each.score) for each in looked]
    labels = merge([(logits, (0, 0, width, height)) for logits, _ in found], np.empty((height, width), np.uint16))
    return PictureObjects(labels, [prompt.id for prompt in fitted], [score for _, score in found])


def _ask(predictor: Predictor, prompt: FramePrompt) -> tuple[np.ndarray, float]:
    """Logits (H, W) float32 of the mask that is meant, and its score."""
    several = prompt.box is None and (len(prompt.points_xy) == 1 or prompt.choice is not None)
    clicks = len(prompt.points_xy) > 0
    logits, scores, _ = predictor.predict(
        point_coords=prompt.points_xy if clicks else None,
        point_labels=prompt.point_labels if clicks else None,
        box=None if prompt.box is None else np.array(prompt.box),
        multimask_output=several,
        return_logits=True,
    )
    if prompt.choice is None or not several:
        best = int(scores.argmax())
    else:
        best = int(np.argsort([-np.count_nonzero(each > 0) for each in logits], kind="stable")[prompt.choice])
    return logits[best], float(scores[best])
