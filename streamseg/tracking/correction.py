"""Correction of a mask by clicks: the model's answer that does what they say, or the mask changed round them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from streamseg.masks.boxes import center_size
from streamseg.masks.roi import resample_logits, to_view
from streamseg.prompts.model import FramePrompt
from streamseg.tracking.candidate import Candidate, Pasted, measure
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import initial_motion
from streamseg.tracking.query import Answer
from streamseg.tracking.state import Memory, Track

_REACH = 0.2
"""How far round a click a mask is changed, in roots of its area."""
_PREFER_CHANGED = 0.3
"""By this estimated IoU an altogether new mask has to be better than one that is changed round the clicks."""


def correct_track(
    prompt: FramePrompt,
    track: Track,
    pasted: Pasted,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> tuple[Track, Pasted]:
    """The track and its mask after clicks; as they would be without them if they leave nothing.

    Args:
        prompt: the clicks.
        track: as it is in this frame without them.
        pasted: its mask without them.
        answers: of the decoder to the prompt.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
    """
    track = msgspec.structs.replace(track, label=track.label or prompt.label)
    best = best_correction(prompt, track, answers, image_rgb, options)
    if best is None:
        return msgspec.structs.replace(track, reason=f"the correction left no mask; {track.reason}"), pasted
    corrected = msgspec.structs.replace(
        track,
        state="TRACKED",
        reason=correction_reason(prompt, best.pasted),
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        usual_px=best.area_px,
        usual_size=center_size(best.box)[2:],
        motion=initial_motion(best.box),
        memory=Memory.of(best.logits, best.view.square),
        first_appearance=best.appearance,
        appearance=best.appearance,
        first_view=best.template,
        first_score=None,
        last_view=None,
        unseen=0,
        displaced=False,
        hint=None,
        hidden_by=None,
        met=None,
    )
    return corrected, best.pasted


def best_correction(
    prompt: FramePrompt, track: Track, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions
) -> Candidate | None:
    """The mask that does most of what the clicks say, of those the one with the best score; None if all are empty.

    Beside the model's own answers that is the mask as it was, changed round each click.
    """
    whole = [answer for answer in answers if answer.query.part is None]
    possible = [(measure(answer, 0, None, image_rgb, options), 0.0) for answer in whole]
    if whole and track.memory is not None:
        view = whole[0].query.view
        logits = resample_logits(track.memory.logits, track.memory.region, view.square, view.mask_side)
        parts = [answer for answer in answers if answer.query.part is not None]
        clicks = to_view(prompt.points_xy, view.square, view.mask_side)
        for part, click_xy in zip(parts, clicks, strict=True):
            logits = _changed(logits, part, click_xy)
        changed = Answer(whole[0].query, logits[None], np.array([track.score], np.float32))
        possible.append((measure(changed, 0, None, image_rgb, options), _PREFER_CHANGED))
    ranked = [(_clicks_satisfied(prompt, mask.pasted), mask.score + more, mask) for mask, more in possible if mask]
    return max(ranked, key=lambda each: each[:2], default=(0, 0.0, None))[2]


def _changed(logits: np.ndarray, part: Answer, click_xy: np.ndarray) -> np.ndarray:
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
    changed = np.maximum(logits, thing) if part.query.part == "missing" else np.minimum(logits, -thing)
    rows, columns = np.ogrid[: last + 1, : last + 1]
    near = np.hypot(columns + 0.5 - x, rows + 0.5 - y) < _REACH * np.count_nonzero(logits > 0) ** 0.5
    return np.asarray(np.where(near, changed, logits))


def correction_reason(prompt: FramePrompt, pasted: Pasted) -> str:
    """Whether the mask does what the clicks say: a model may know better."""
    satisfied = _clicks_satisfied(prompt, pasted)
    return (
        "corrected"
        if satisfied == len(prompt.points_xy)
        else f"corrected; {satisfied} of {len(prompt.points_xy)} clicks hold"
    )


def _clicks_satisfied(prompt: FramePrompt, pasted: Pasted) -> int:
    """How many clicks have the mask on their side."""
    logits, (x0, y0, _, _) = pasted
    satisfied = 0
    for (x, y), wanted in zip(prompt.points_xy.astype(int) - (x0, y0), prompt.point_labels, strict=True):
        inside = 0 <= x < logits.shape[1] and 0 <= y < logits.shape[0] and logits[y, x] > 0
        satisfied += inside == bool(wanted)
    return satisfied
