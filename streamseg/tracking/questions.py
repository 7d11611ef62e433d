"""What passes between the steps of following: where to look, what was seen, what is asked and what is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from streamseg.prompts.model import Fitted
from streamseg.tracking.templates import Template
from streamseg.types import Box


@dataclass(frozen=True, eq=False)
class Seen:
    """A view as the image encoder saw it."""

    region: Box
    image_size: tuple[int, int]
    """(height, width) of the picture made of the region; its longer side fills the model's square."""
    features: np.ndarray
    """(C, h, w) over `square`."""
    object_id: int | None
    keys: np.ndarray | None = None
    """(K, h, w) float32 over `square`, what cells are compared by; None if the model cannot."""

    @property
    def square(self) -> Box:
        """The region with the model's padding to the right and below, frame pixels; what features and logits cover."""
        height, width = self.image_size
        x0, y0, x1, y1 = self.region
        longer = max(height, width)
        return (x0, y0, x0 + (x1 - x0) * longer / width, y0 + (y1 - y0) * longer / height)

    @property
    def mask_side(self) -> int:
        """Side of the square of logits."""
        return 4 * int(self.features.shape[1])


@dataclass(frozen=True, eq=False)
class Ask:
    """A question to the decoder, in pixels of the view's picture."""

    object_id: int
    seen: Seen
    box_xyxy: Box | None = None
    points_xy: np.ndarray | None = None
    point_labels: np.ndarray | None = None
    mask_logits: np.ndarray | None = None
    multimask: bool = False
    prompted: bool = False
    """Asked because of a prompt. Such asks go to the decoder apart from the others, which it therefore answers as if
    there were no prompt: rounding depends on what is decoded together."""
    templates: tuple[Template, ...] = ()
    """Earlier views of the object that this one is to be compared with."""
    part: Literal["missing", "too much"] | None = None
    """Not the object is asked for, but what a click on it says is missing from its mask, or too much in it."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the decoder said to one `Ask`."""

    ask: Ask
    logits: np.ndarray
    """(M, side, side) float32 over ``ask.seen.square``."""
    scores: np.ndarray
    """(M,) float32."""


@dataclass(frozen=True, eq=False)
class Questions:
    """All that is asked of one frame."""

    asks: list[Ask] = field(default_factory=list)
    prompts: dict[int, Fitted] = field(default_factory=dict)
    """By object id, the prompts that came into force."""
    views: dict[int, Seen] = field(default_factory=dict)
    """By object id, the view of an object whose mask was given."""
    prompts_taken: int = 0
    """How many of the stream's planned prompts that were."""
