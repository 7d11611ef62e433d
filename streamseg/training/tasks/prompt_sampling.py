"""How prompts are drawn from masks: boxes and points of an object, and which of them go together.

Masks of whole scenes are known at half the scene's size (`streamseg.training.data.scenes.Scene.half_size_mask`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.measures import depth_map
from streamseg.training.tasks.task import VIEW_PX, Prompt, make_prompt
from streamseg.types import Box

Mode = Literal["box", "mask", "both", "point"]
"""What of an earlier mask is in a prompt: its box, itself, both, or a point in it."""


def sample_point(half_size: np.ndarray, rng: np.random.Generator, *, anywhere: bool = False) -> tuple[float, float]:
    """x, y in scene pixels: on the object, half of the time well inside it."""
    inside = half_size > 0
    if not anywhere and rng.random() < 0.5:
        depth = depth_map(half_size)
        inside = depth >= 0.6 * depth.max()
    y, x = np.unravel_index(int(rng.choice(np.flatnonzero(inside))), half_size.shape)
    return 2 * float(x) + 1, 2 * float(y) + 1


def scene_box(half_size: np.ndarray) -> Box:
    """The box of an object in scene pixels, from its mask at half the size."""
    box = box_of_mask(half_size) or (0.0, 0.0, 1.0, 1.0)
    return (2 * box[0], 2 * box[1], 2 * box[2], 2 * box[3])


def sample_mode(rng: np.random.Generator, box_only: float) -> Mode:
    """What to prompt with, when there is a mask; never `point`, which takes earlier views, too."""
    chance = rng.random()
    return "box" if chance < box_only else "mask" if chance > 0.9 else "both"


def prompt_of_mode(
    mode: Mode,
    box: Box,
    point: tuple[float, float] | None,
    logits: np.ndarray | None,
    others: Sequence[tuple[float, float]] = (),
) -> Prompt:
    """A mask alone, points alone, or a box and what else there is."""
    if mode == "mask":
        return make_prompt(mask_logits=logits)
    point = if_in_view(point)
    return make_prompt(None if mode == "point" and point is not None else box, point, logits, others_xy=others)


def if_in_view(point_xy: tuple[float, float] | None) -> tuple[float, float] | None:
    """The point, if it is in the view's picture."""
    return point_xy if point_xy is not None and min(point_xy) >= 0 and max(point_xy) < VIEW_PX else None
