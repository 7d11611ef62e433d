"""How good masks are: region similarity J and boundary accuracy F of the DAVIS benchmark.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016. The
conventions are those of the DAVIS 2017 evaluation; numbers agree with its code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from streamseg.errors import UsageError
from streamseg.masks.measures import mask_iou


class Summary(NamedTuple):
    """One measure over one object of one sequence."""

    mean: float
    recall: float
    """Share of frames above 0.5."""
    decay: float
    """Mean of the first quarter of the frames less that of the last: what is lost over time."""


def region_similarity(truth: np.ndarray, found: np.ndarray) -> float:
    """J: intersection over union of two (H, W) bool masks; 1 if both are empty.

    Raises:
        UsageError: the masks differ in shape.
    """
    _same_shape(truth, found)
    return mask_iou(truth, found)


def boundary_accuracy(truth: np.ndarray, found: np.ndarray, tolerance: float = 0.008) -> float:
    """F: harmonic mean of the shares of each outline that lie close to the other one.

    Args:
        truth: (H, W) bool.
        found: (H, W) bool.
        tolerance: how far apart still counts as close: a share of the picture's diagonal, or pixels from 1 on.

    Raises:
        UsageError: the masks differ in shape.
    """
    _same_shape(truth, found)
    radius_px = int(tolerance) if tolerance >= 1 else math.ceil(tolerance * math.hypot(*truth.shape))
    offsets = np.arange(-radius_px, radius_px + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius_px**2).astype(np.uint8)
    true_outline, found_outline = _outline(truth), _outline(found)
    true_px, found_px = np.count_nonzero(true_outline), np.count_nonzero(found_outline)
    if true_px == 0 or found_px == 0:
        return 1.0 if true_px == found_px else 0.0
    precision = np.count_nonzero(found_outline & cv2.dilate(true_outline, disk)) / found_px
    recall = np.count_nonzero(true_outline & cv2.dilate(found_outline, disk)) / true_px
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def summarize(values: Sequence[float]) -> Summary:
    """Mean, recall and decay of a measure over the frames of a sequence.

    The benchmark leaves out the first frame, which was given, and the last; that is for the caller to do.

    Raises:
        UsageError: there are no values.
    """
    if len(values) == 0:
        raise UsageError("expected the values of at least one frame, got none")
    per_frame = np.asarray(values, np.float64)
    # Quarters share their border frames, as in the benchmark's code.
    edges = (np.round(np.linspace(1, len(per_frame), 5) + 1e-10) - 1).astype(int)
    first, last = per_frame[edges[0] : edges[1] + 1], per_frame[edges[3] : edges[4] + 1]
    return Summary(float(per_frame.mean()), float((per_frame > 0.5).mean()), float(first.mean()) - float(last.mean()))


def _outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 1 where a pixel differs from its right, lower or lower right neighbor."""
    inside = mask.astype(bool)
    outline = np.zeros(inside.shape, bool)
    outline[:, :-1] |= inside[:, :-1] ^ inside[:, 1:]
    outline[:-1, :] |= inside[:-1, :] ^ inside[1:, :]
    outline[:-1, :-1] |= inside[:-1, :-1] ^ inside[1:, 1:]
    return outline.view(np.uint8)


def _same_shape(truth: np.ndarray, found: np.ndarray) -> None:
    if truth.shape != found.shape or truth.ndim != 2:
        raise UsageError(f"expected two masks of one shape (H, W), got {truth.shape} and {found.shape}")
