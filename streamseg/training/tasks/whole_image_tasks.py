"""Whole images with several prompts each: how the model is used without focus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.roi import fit
from streamseg.training.data.camera_augmentation import CameraAugmentation
from streamseg.training.data.scene_sampler import SceneSampler
from streamseg.training.tasks.prompt_noise import jitter_box
from streamseg.training.tasks.task import Prompt, click_prompt, make_prompt
from streamseg.types import Box

SIDES_PX, _SIDE_SHARES = (384, 448, 512), (0.4, 0.3, 0.3)
"""Longer sides of the images; the packaged model is given 512."""

PROMPTS = 5
"""For each image; of fewer objects some are pointed at again, in another way."""

_CLICK_SHARE = 0.6
_LEAST_PX = 20


@dataclass(frozen=True, eq=False)
class WholeImageTask:
    """An image and its prompts."""

    picture_rgb: np.ndarray
    """(h, w, 3) uint8; its longer side is that of the square."""
    square_px: int
    """Side of the square the prompts are placed in; the image lies in its upper left corner."""
    prompts: list[Prompt]
    truth: np.ndarray
    """(N, square_px / 2, square_px / 2) bool."""


def sample_task(sampler: SceneSampler, rng: np.random.Generator) -> WholeImageTask | None:
    """An image at one of the sizes, perhaps mirrored; None if all its objects have become too small."""
    square_px = int(rng.choice(SIDES_PX, p=_SIDE_SHARES))
    rgb, masks = sampler.sample_image(rng, PROMPTS)
    height, width = (max(1, side) for side in fit(rgb.shape[1], rgb.shape[0], square_px))
    picture = CameraAugmentation(rng).apply(cv2.resize(rgb, (width, height)), rng)
    mirrored = rng.random() < 0.5
    if mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
    prompts, truths = [], []
    for mask in (masks * PROMPTS)[:PROMPTS]:
        covered = cv2.resize(mask * np.uint8(255), (width, height))
        covered = covered[:, ::-1] if mirrored else covered
        box = box_of_mask(covered > 127)
        if box is None or np.count_nonzero(covered > 127) < _LEAST_PX:
            continue
        prompts.append(_sample_prompt(covered > 127, box, rng))
        square = np.zeros((square_px, square_px), np.uint8)
        square[:height, :width] = covered
        truths.append(cv2.resize(square, (square_px // 2, square_px // 2), interpolation=cv2.INTER_AREA) > 127)
    return WholeImageTask(picture, square_px, prompts, np.stack(truths)) if prompts else None


def _sample_prompt(mask: np.ndarray, box: Box, rng: np.random.Generator) -> Prompt:
    if rng.random() < _CLICK_SHARE:
        y, x = np.unravel_index(int(rng.choice(np.flatnonzero(mask))), mask.shape)
        return click_prompt((float(x) + 0.5, float(y) + 0.5))
    return make_prompt(jitter_box(box, rng.uniform(0, 0.12), rng))
