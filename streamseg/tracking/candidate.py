"""Candidates: masks that the decoder gave for an object, cleaned and measured, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.roi import Window, paste_logits, resample_logits
from streamseg.tracking.appearance import Appearance, Template, appearance_under
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.query import Answer, EncodedView
from streamseg.tracking.state import LOGIT_LIMIT, Track
from streamseg.types import Box

Pasted = tuple[np.ndarray, Window]
"""Logits and the window of the frame they belong to."""

NO_MASK: Pasted = (np.zeros((0, 0), np.float32), (0, 0, 0, 0))
"""An empty mask."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask and what speaks for it."""

    logits: np.ndarray
    """(side, side) float32, far specks taken out."""
    view: EncodedView
    score: float
    """The model's own estimate of its IoU, 0 to 1."""
    stability: float
    """Area at logit +1 over area at logit -1."""
    pasted: Pasted
    box: Box
    """Tight, frame pixels."""
    area_px: float
    appearance: Appearance

    @cached_property
    def template(self) -> Template | None:
        """Its view with it, to compare others with; see `EncodedView.template`."""
        return self.view.template(self.logits)


def measure(
    answer: Answer, k: int, track: Track | None, image_rgb: np.ndarray, options: TrackingOptions
) -> Candidate | None:
    """Mask `k` of an answer; None if it is empty.

    Args:
        answer: of the decoder.
        k: which of its masks.
        track: the object as it was in the frame before, if it was there.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
    """
    view = answer.query.view
    logits = answer.logits[k]
    if options.speck > 0:
        logits = _drop_specks(logits, options.speck, lambda: _last_mask(track, view))
    return _measure(logits, view, float(np.clip(answer.scores[k], 0, 1)), image_rgb)


def whole_view(answer: Answer, image_rgb: np.ndarray) -> Candidate | None:
    """A mask of all that an answer's view shows, with the score of the answer.

    Args:
        answer: of the decoder.
        image_rgb: (H, W, 3) uint8, the frame.
    """
    view = answer.query.view
    logits = np.full((view.mask_side, view.mask_side), LOGIT_LIMIT, np.float32)
    return _measure(logits, view, float(np.clip(answer.scores[0], 0, 1)), image_rgb)


def subtract(
    candidate: Candidate, other: Candidate, image_rgb: np.ndarray, *, only_surer: bool = False
) -> Candidate | None:
    """What is left of a mask when another one is taken out of it; None if nothing is.

    Args:
        candidate: the mask.
        other: the other one.
        image_rgb: (H, W, 3) uint8, the frame.
        only_surer: take only the pixels of which the other one is surer.
    """
    view = candidate.view
    there = resample_logits(other.logits, other.view.square, view.square, view.mask_side)
    taken = (there > 0) & (there > candidate.logits) if only_surer else there > 0
    return _measure(np.where(taken, np.float32(-LOGIT_LIMIT), candidate.logits), view, candidate.score, image_rgb)


def _measure(logits: np.ndarray, view: EncodedView, score: float, image_rgb: np.ndarray) -> Candidate | None:
    pasted, window = paste_logits(logits, view.square, (image_rgb.shape[0], image_rgb.shape[1]))
    inside = pasted > 0
    box = box_of_mask(inside) if inside.size else None
    if box is None:
        return None
    wide = np.count_nonzero(logits > -1)
    return Candidate(
        logits=logits,
        view=view,
        score=score,
        stability=np.count_nonzero(logits > 1) / wide if wide else 0.0,
        pasted=(pasted, window),
        box=(box[0] + window[0], box[1] + window[1], box[2] + window[0], box[3] + window[1]),
        area_px=float(np.count_nonzero(inside)),
        appearance=appearance_under(view.features, logits, image_rgb, pasted, window),
    )


def full_mask(candidate: Candidate, frame_size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of a candidate in the whole frame."""
    mask = np.zeros(frame_size, bool)
    logits, (x0, y0, x1, y1) = candidate.pasted
    mask[y0:y1, x0:x1] = logits > 0
    return mask


def candidate_iou(first: Candidate, second: Candidate) -> float:
    """Intersection over union of two masks that need not have been seen in the same view."""
    shared = _shared_px(first, second)
    return shared / max(1.0, first.area_px + second.area_px - shared)


def coverage(first: Candidate, second: Candidate) -> float:
    """How much of the first mask lies on the second, 0 to 1."""
    return _shared_px(first, second) / max(1.0, first.area_px)


def _shared_px(first: Candidate, second: Candidate) -> int:
    (mine, (x0, y0, x1, y1)), (its, (u0, v0, u1, v1)) = first.pasted, second.pasted
    left, top, right, bottom = max(x0, u0), max(y0, v0), min(x1, u1), min(y1, v1)
    if left >= right or top >= bottom:
        return 0
    here = mine[top - y0 : bottom - y0, left - x0 : right - x0] > 0
    there = its[top - v0 : bottom - v0, left - u0 : right - u0] > 0
    return int(np.count_nonzero(here & there))


def without_specks(logits: np.ndarray, last: np.ndarray | None, fraction: float) -> np.ndarray:
    """Logits with small parts of the mask pushed below 0: those under `fraction` of the largest, off the last mask.

    Args:
        logits: (h, w) float32.
        last: (h, w) bool, the mask of the frame before; None if there is none.
        fraction: of the largest part's area.
    """
    return _drop_specks(logits, fraction, lambda: last)


def _drop_specks(logits: np.ndarray, fraction: float, last: Callable[[], np.ndarray | None]) -> np.ndarray:
    """`without_specks`; the last mask is fetched only if it is needed, which it seldom is."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((logits > 0).view(np.uint8), connectivity=8)
    if count <= 2:
        return logits
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.concatenate([[True], areas >= fraction * areas.max()])
    if keep.all():
        return logits
    before = last()
    if before is not None:
        keep[np.unique(parts[before])] = True
    if keep.all():
        return logits
    return np.where(keep[parts], logits, np.minimum(logits, -1.0)).astype(np.float32)


def _last_mask(track: Track | None, view: EncodedView) -> np.ndarray | None:
    if track is None or track.memory is None:
        return None
    return np.asarray(resample_logits(track.memory.logits, track.memory.region, view.square, view.mask_side) > 0)
