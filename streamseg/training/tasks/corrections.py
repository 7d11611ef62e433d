"""Corrective clicks: where a mask is wrong, as a person gives them who looks at it."""

from __future__ import annotations

import numpy as np

from streamseg.masks.boxes import box_of_mask, expand
from streamseg.masks.measures import depth_map
from streamseg.tracking.state import LOGIT_LIMIT
from streamseg.training.tasks.task import MASK_PX, NEGATIVE, NO_POINT, POSITIVE, VIEW_PX, Prompt, ViewTask, make_prompt
from streamseg.types import Box

_LEAST_WRONG_PX = 12
"""Pixels of the mask; who would see less?"""
_SCALE = VIEW_PX / MASK_PX


def correction_prompt(task: ViewTask, prompt: Prompt, logits: np.ndarray, rng: np.random.Generator) -> Prompt | None:
    """One or two clicks on what a mask has wrong, with the mask, its box, both, or the first click alone.

    Args:
        task: whose mask it is; the object has to be there.
        prompt: the one that gave the mask.
        logits: (MASK_PX, MASK_PX) float32, the mask.
        rng: of the step.

    Returns:
        The next prompt; None if the mask is right, or there is nothing to go on from.
    """
    inside = logits > 0
    wrong = task.truth != inside
    clicks: list[tuple[float, float]] = []
    labels: list[int] = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        if np.count_nonzero(wrong) < _LEAST_WRONG_PX:
            break
        x, y = _sample_click(wrong, rng)
        clicks.append(((x + 0.5) * _SCALE, (y + 0.5) * _SCALE))
        labels.append(POSITIVE if task.truth[y, x] else NEGATIVE)
        wrong = wrong & (_distance_to(x, y) > MASK_PX / 10)
    if not clicks:
        return None
    if prompt.is_click and rng.random() < 0.8:
        clicks, labels = [tuple(prompt.points_xy[0].tolist()), *clicks], [POSITIVE, *labels]
    return _sample_correction(prompt, clicks, labels, logits, rng)


def _sample_correction(
    prompt: Prompt,
    clicks: list[tuple[float, float]],
    labels: list[int],
    logits: np.ndarray,
    rng: np.random.Generator,
) -> Prompt | None:
    way = rng.random()
    if prompt.is_click and len(clicks) > 1 and POSITIVE in labels and way < 0.5:
        # Several clicks at once, before there is any mask.
        return _compose(clicks, labels, None, None, prompt)
    mask = np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT) if way < 0.75 else None
    box = None
    if mask is None or way < 0.45:
        found = box_of_mask(logits > 0)
        if found is None:
            return None
        wanted = [click for click, label in zip(clicks, labels, strict=True) if label == POSITIVE]
        box = expand(_around(found, wanted), rng.uniform(0, 0.1))
    return _compose(clicks, labels, box, mask, prompt)


def _compose(
    clicks: list[tuple[float, float]],
    labels: list[int],
    box: Box | None,
    mask: np.ndarray | None,
    prompt: Prompt,
) -> Prompt:
    corners = make_prompt(box)
    points = np.array([*clicks, *([] if box is not None else [(0.0, 0.0)])], np.float32).reshape(-1, 2)
    kinds = np.array([*labels, *([] if box is not None else [NO_POINT])], np.int64)
    return Prompt(
        np.concatenate([points, corners.points_xy]),
        np.concatenate([kinds, corners.labels]),
        mask,
        is_click=False,
        templates=prompt.templates,
    )


def _around(mask_box: Box, clicks: list[tuple[float, float]]) -> Box:
    """A box of the mask, in the picture's pixels, with clicks in it."""
    x0, y0, x1, y1 = (edge * _SCALE for edge in mask_box)
    xs, ys = [x for x, _ in clicks], [y for _, y in clicks]
    return (min([x0, *xs]), min([y0, *ys]), max([x1, *xs]), max([y1, *ys]))


def _sample_click(wrong: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """x, y of a pixel that is wrong, mostly well inside the largest piece of them."""
    depth = depth_map(wrong)
    of = depth >= 0.6 * depth.max() if rng.random() < 0.6 else wrong
    y, x = np.unravel_index(int(rng.choice(np.flatnonzero(of))), of.shape)
    return int(x), int(y)


def _distance_to(x: int, y: int) -> np.ndarray:
    rows, columns = np.ogrid[:MASK_PX, :MASK_PX]
    return np.asarray(np.hypot(columns - x, rows - y))
