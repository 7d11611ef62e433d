"""What is asked of the decoder. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamseg.errors import PromptError


@dataclass(frozen=True, eq=False)
class DecoderPrompt:
    """Where one object is, in pixels of the picture that was handed to the encoder, as `SamPredictor` takes them.

    At least one of box, points and mask. Coordinates may lie outside the picture.
    """

    box_xyxy: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 with x0 < x1 and y0 < y1."""
    points_xy: np.ndarray | None = None
    """(K, 2) x, y."""
    point_labels: np.ndarray | None = None
    """(K,): 1 is on the object, 0 is not."""
    mask_logits: np.ndarray | None = None
    """(4h, 4w): low-resolution logits of an earlier answer for features (C, h, w)."""

    @property
    def signature(self) -> tuple[bool, int, bool]:
        """Has a box, number of points, has a mask: prompts of one signature can share a decoder call."""
        count = 0 if self.points_xy is None else len(self.points_xy)
        return self.box_xyxy is not None, count, self.mask_logits is not None


def as_points(prompt: DecoderPrompt) -> tuple[np.ndarray, np.ndarray]:
    """The prompt's points and box as SAM's networks take them.

    Returns:
        (K, 2) float64 x, y, and (K,) int64 labels: 0 and 1 for points as in `DecoderPrompt`, then 2 and 3 for the box's
        first and second corner, or, if there are points but no box, -1 for one that is not a point.
    """
    points_xy, labels = np.zeros((0, 2)), np.zeros(0, np.int64)
    if prompt.points_xy is not None and prompt.point_labels is not None:
        points_xy, labels = prompt.points_xy, prompt.point_labels
    corners, kinds = np.zeros((0, 2)), list[int]()
    if prompt.box_xyxy is not None:
        corners, kinds = np.reshape(prompt.box_xyxy, (2, 2)), [2, 3]
    elif len(points_xy):
        corners, kinds = np.zeros((1, 2)), [-1]
    return np.concatenate([points_xy, corners]).astype(np.float64), np.concatenate([labels, kinds]).astype(np.int64)


def check(prompt: DecoderPrompt, mask_side: int) -> None:
    """Raise unless the prompt can be meant.

    Args:
        prompt: the prompt.
        mask_side: side of the square of logits that a mask must have.

    Raises:
        PromptError: says which part is wrong and how.
    """
    if prompt.signature == (False, 0, False):
        raise PromptError("an empty prompt: expected a box, at least one point, or a mask")
    if prompt.box_xyxy is not None:
        _check_box(prompt.box_xyxy)
    _check_points(prompt.points_xy, prompt.point_labels)
    mask = prompt.mask_logits
    if mask is not None:
        if mask.shape != (mask_side, mask_side):
            raise PromptError(f"expected mask logits of shape ({mask_side}, {mask_side}), got {mask.shape}")
        if not np.isfinite(mask).all():
            raise PromptError("mask logits must be finite; got NaN or infinity")


def _check_box(box_xyxy: tuple[float, float, float, float]) -> None:
    if len(box_xyxy) != 4 or not np.isfinite(box_xyxy).all():
        raise PromptError(f"expected a box of four finite numbers x0, y0, x1, y1, got {tuple(box_xyxy)}")
    x0, y0, x1, y1 = box_xyxy
    if x0 >= x1 or y0 >= y1:
        raise PromptError(f"expected a box with x0 < x1 and y0 < y1, got {tuple(box_xyxy)}")


def _check_points(points_xy: np.ndarray | None, labels: np.ndarray | None) -> None:
    if points_xy is None:
        if labels is not None:
            raise PromptError("point labels without points: expected both or neither")
        return
    if points_xy.ndim != 2 or points_xy.shape[1] != 2 or not np.isfinite(points_xy).all():
        raise PromptError(f"expected points (K, 2) of finite x, y, got {points_xy.shape}: {points_xy.tolist()}")
    if labels is None or labels.shape != (len(points_xy),):
        got = "none" if labels is None else str(labels.shape)
        raise PromptError(f"expected {len(points_xy)} point labels, one a point, got {got}")
    if any(label not in (0, 1) for label in labels.tolist()):
        raise PromptError(f"expected point labels 1 (on the object) or 0 (not on it), got {labels.tolist()}")
