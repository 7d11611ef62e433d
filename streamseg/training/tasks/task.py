"""What the model is trained on: a picture, a prompt, and the true mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamseg.masks.roi import to_view
from streamseg.sam.models import MODELS
from streamseg.types import Box

VIEW_PX = MODELS["tiny"].focus_size
"""Side of the picture of a view."""

MASK_PX = 4 * VIEW_PX // MODELS["tiny"].stride
"""Side of the mask of a view, as the decoder gives it and takes it."""

TEMPLATE_SIDE = VIEW_PX // MODELS["tiny"].stride // 2
"""Side of a template, in cells."""

NO_POINT, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
"""What a point of a prompt is, in the order of the prompt encoder's own embeddings."""


@dataclass(frozen=True, eq=False)
class Template:
    """An earlier view of the object, at half the resolution of the features."""

    features: np.ndarray
    """(C, T, T) float16."""
    covered: np.ndarray
    """(T, T) float32, 0 to 1: how much of each cell the object covers, as far as the model knows."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt, in pixels of the picture, as `streamseg.prompts.decoder` has them."""

    points_xy: np.ndarray
    """(K, 2) float32."""
    labels: np.ndarray
    """(K,) int64, what each point is."""
    mask_logits: np.ndarray | None
    """(M, M) float32, of an earlier mask."""
    is_click: bool
    """One click: the best of three masks counts, for it does not say how large the object is."""
    templates: tuple[Template, ...] = ()
    """Earlier views of the object."""


@dataclass(frozen=True, eq=False)
class ViewTask:
    """A view of a moment, with a prompt."""

    picture_rgb: np.ndarray
    """(VIEW_PX, VIEW_PX, 3) uint8."""
    region: Box
    """What the picture shows, scene pixels."""
    prompt: Prompt
    truth: np.ndarray
    """(MASK_PX, MASK_PX) bool."""
    object_px: float
    """Area of the whole object in pixels of `truth`, with what lies beyond the view; 0 if it is not there."""


def click_prompt(point_xy: tuple[float, float]) -> Prompt:
    """One click on the object, in the picture's pixels. The second point is what SAM fills up clicks with."""
    return Prompt(np.array([point_xy, (0, 0)], np.float32), np.array([POSITIVE, NO_POINT]), None, is_click=True)


def make_prompt(
    box: Box | None = None,
    point_xy: tuple[float, float] | None = None,
    mask_logits: np.ndarray | None = None,
    templates: tuple[Template, ...] = (),
    others_xy: Sequence[tuple[float, float]] = (),
) -> Prompt:
    """A box, a point with it, points on other objects, an earlier mask, earlier views: whichever there are, in the
    picture's pixels."""
    points = [*([] if point_xy is None else [point_xy]), *others_xy]
    labels = [POSITIVE] * (len(points) - len(others_xy)) + [NEGATIVE] * len(others_xy)
    if box is not None:
        points, labels = [*points, box[:2], box[2:]], [*labels, TOP_LEFT, BOTTOM_RIGHT]
    elif points:
        # As SAM fills up what has no box.
        points, labels = [*points, (0.0, 0.0)], [*labels, NO_POINT]
    return Prompt(
        np.array(points, np.float32).reshape(-1, 2),
        np.array(labels, np.int64),
        mask_logits,
        is_click=False,
        templates=templates,
    )


def box_to_view(box: Box, region: Box) -> Box:
    """A box from scene pixels to those of a view's picture."""
    x0, y0, x1, y1 = to_view(np.array(box), region, VIEW_PX)
    return (float(x0), float(y0), float(x1), float(y1))


def point_to_view(point_xy: tuple[float, float], region: Box) -> tuple[float, float]:
    """A point from scene pixels to those of a view's picture."""
    x, y = to_view(np.array(point_xy), region, VIEW_PX)
    return (float(x), float(y))
