"""An object's first frame: from a prompt and its answers to a track and a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.masks.boxes import area, box_of_mask
from streamseg.masks.roi import resample_logits
from streamseg.prompts.model import Fitted
from streamseg.tracking.ambiguity import choices
from streamseg.tracking.candidate import NOWHERE, Candidate, Pasted, measure
from streamseg.tracking.motion import standing
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.questions import Answer, Seen
from streamseg.tracking.state import Memory, Track, mask_as_logits
from streamseg.tracking.templates import Template

_GIVEN_SIDE = 256
"""Side of the logits that are made of a mask prompt."""


def start(
    prompt: Fitted,
    known: Track | None,
    view: Seen | None,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> tuple[Track, Pasted]:
    """The track that a prompt begins, or begins anew; LOST if nothing was found there.

    Args:
        prompt: what was pointed at.
        known: the object as it was, if there was one.
        view: the view of an object whose mask was given.
        answers: of the decoder to the prompt.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
    """
    label = prompt.label or (known.label if known else "")
    if prompt.mask is not None:
        return _start_from_mask(prompt, prompt.mask, view, label)
    best = _choose(answers, image_rgb, options, prompt.choice)
    if best is None:
        x, y = prompt.points_xy[0].tolist() if len(prompt.points_xy) else (0.0, 0.0)
        box = prompt.box or (x, y, x, y)
        reason = "nothing found at the prompt"
        return Track(
            id=prompt.id, label=label, state="LOST", reason=reason, score=0.0, box=box, area_px=area(box), unseen=1
        ), NOWHERE
    return Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        motion=standing(best.box),
        memory=Memory.of(best.logits, best.seen.square),
        first_appearance=best.appearance,
        appearance=best.appearance,
        first_view=template_of(best.seen, best.logits),
    ), _cut_out(best)


def _cut_out(found: Candidate) -> Pasted:
    """Only what is round the mask: of many objects that begin in a view of the whole frame, all takes gigabytes."""
    logits, (left, top, _, _) = found.pasted
    x0, y0, x1, y1 = (int(edge) for edge in found.box)
    return logits[y0 - top : y1 - top, x0 - left : x1 - left].copy(), (x0, y0, x1, y1)


def _choose(
    answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions, choice: int | None = None
) -> Candidate | None:
    """The mask that was chosen, or that with the best score, of all that were given; None if every one is empty."""
    if choice is not None:
        possible = choices(answers, image_rgb, options)
        return possible[min(choice, len(possible) - 1)] if possible else None
    ranked = [(answer, k) for answer in answers for k in range(len(answer.scores))]
    ranked.sort(key=lambda entry: -float(entry[0].scores[entry[1]]))
    candidates = (measure(answer, k, None, image_rgb, options) for answer, k in ranked)
    return next((candidate for candidate in candidates if candidate is not None), None)


def _start_from_mask(prompt: Fitted, mask: np.ndarray, view: Seen | None, label: str) -> tuple[Track, Pasted]:
    """A given mask is the answer; which colors the object has is learned in the next frame."""
    height, width = mask.shape
    side = float(max(width, height))
    logits = mask_as_logits(mask)
    box = box_of_mask(mask) or (0.0, 0.0, float(width), float(height))
    region = (0.0, 0.0, float(width), float(height))
    small = resample_logits(logits, region, (0.0, 0.0, side, side), _GIVEN_SIDE)
    seen_so = None if view is None else resample_logits(logits, region, view.square, view.mask_side)
    track = Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=1.0,
        box=box,
        motion=standing(box),
        area_px=float(np.count_nonzero(mask)),
        memory=Memory.of(small, (0.0, 0.0, side, side)),
        first_view=None if view is None or seen_so is None else template_of(view, seen_so),
    )
    return track, (logits, (0, 0, width, height))


def template_of(view: Seen, logits: np.ndarray) -> Template | None:
    """A view and the mask in it; None if the model cannot compare, or the view was not made for the object."""
    if view.keys is None or view.object_id is None:
        return None
    return Template.of(view.keys, logits)
