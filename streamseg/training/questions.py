"""What is asked of the mask before: its box, itself, both, or a point in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from streamseg.training.tasks import VIEW_PX, Question, asking
from streamseg.types import Box

Mode = Literal["box", "mask", "both", "point"]


def draw_mode(rng: np.random.Generator, box_only: float) -> Mode:
    """What to ask with, when there is a mask; never `point`, which takes earlier views, too."""
    chance = rng.random()
    return "box" if chance < box_only else "mask" if chance > 0.9 else "both"


def composed(
    mode: Mode,
    box: Box,
    point: tuple[float, float] | None,
    logits: np.ndarray | None,
    others: Sequence[tuple[float, float]] = (),
) -> Question:
    """A mask alone, points alone, or a box and what else there is."""
    if mode == "mask":
        return asking(mask_logits=logits)
    point = in_picture(point)
    return asking(None if mode == "point" and point is not None else box, point, logits, others_xy=others)


def in_picture(point_xy: tuple[float, float] | None) -> tuple[float, float] | None:
    """The point, if it is in the picture."""
    return point_xy if point_xy is not None and min(point_xy) >= 0 and max(point_xy) < VIEW_PX else None
