"""Clicks that correct a mask: which of the model's answers does what they say, or the mask changed round them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.masks.roi import resample_logits, to_view
from streamseg.prompts.model import Fitted
from streamseg.tracking.candidate import Candidate, Pasted, measure
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.questions import Answer
from streamseg.tracking.state import Track

_TOUCHED = 0.2
"""How far round a click a mask is changed, in roots of its area."""
_RATHER_MENDED = 0.3
"""By this estimated IoU an altogether new mask has to be better than one that is changed round the clicks."""


def best_correction(
    prompt: Fitted, track: Track, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions
) -> Candidate | None:
    """The mask that does most of what the clicks say, of those the one with the best score; None if all are empty.

    Beside the model's own answers that is the mask as it was, changed round each click.
    """
    whole = [answer for answer in answers if answer.ask.part is None]
    possible = [(measure(answer, 0, None, image_rgb, options), 0.0) for answer in whole]
    if whole and track.memory is not None:
        view = whole[0].ask.seen
        logits = resample_logits(track.memory.logits, track.memory.region, view.square, view.mask_side)
        parts = [answer for answer in answers if answer.ask.part is not None]
        clicks = to_view(prompt.points_xy, view.square, view.mask_side)
        for part, click_xy in zip(parts, clicks, strict=True):
            logits = _mended(logits, part, click_xy)
        mended = Answer(whole[0].ask, logits[None], np.array([track.score], np.float32))
        possible.append((measure(mended, 0, None, image_rgb, options), _RATHER_MENDED))
    ranked = [(_clicks_held(prompt, mask.pasted), mask.score + more, mask) for mask, more in possible if mask]
    return max(ranked, key=lambda each: each[:2], default=(0, 0.0, None))[2]


def _mended(logits: np.ndarray, part: Answer, click_xy: np.ndarray) -> np.ndarray:
    """A mask with the smallest thing that a click is on added or taken away, as far as it is near the click.

    Args:
        logits: (side, side) float32 of the mask.
        part: (3, side, side) logits of what the click may be on.
        click_xy: the click in pixels of the logits.
    """
    (x, y), last = click_xy, len(logits) - 1
    row, column = min(max(int(y), 0), last), min(max(int(x), 0), last)
    things = [thing for thing in part.logits if thing[row, column] > 0]
    if not things:
        return logits
    thing = min(things, key=lambda each: int(np.count_nonzero(each > 0)))
    changed = np.maximum(logits, thing) if part.ask.part == "missing" else np.minimum(logits, -thing)
    rows, columns = np.ogrid[: last + 1, : last + 1]
    near = np.hypot(columns + 0.5 - x, rows + 0.5 - y) < _TOUCHED * np.count_nonzero(logits > 0) ** 0.5
    return np.asarray(np.where(near, changed, logits))


def how_corrected(prompt: Fitted, pasted: Pasted) -> str:
    """Whether the mask does what the clicks say: a model may know better."""
    held = _clicks_held(prompt, pasted)
    return "corrected" if held == len(prompt.points_xy) else f"corrected; {held} of {len(prompt.points_xy)} clicks hold"


def _clicks_held(prompt: Fitted, pasted: Pasted) -> int:
    """How many clicks have the mask on their side."""
    logits, (x0, y0, _, _) = pasted
    held = 0
    for (x, y), wanted in zip(prompt.points_xy.astype(int) - (x0, y0), prompt.point_labels, strict=True):
        inside = 0 <= x < logits.shape[1] and 0 <= y < logits.shape[0] and logits[y, x] > 0
        held += inside == bool(wanted)
    return held
