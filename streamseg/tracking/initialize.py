"""Initialization: which detections become objects, which of several masks a prompt means, and the track it begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.masks.boxes import area, box_iou, box_of_mask, shared_area
from streamseg.masks.roi import resample_logits
from streamseg.prompts.model import FramePrompt
from streamseg.tracking.candidate import NO_MASK, Candidate, Pasted, candidate_iou, measure
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import initial_motion
from streamseg.tracking.query import Answer, EncodedView
from streamseg.tracking.state import LOGIT_LIMIT, Memory, Track
from streamseg.types import Box

_GIVEN_SIDE = 256
"""Side of the logits that are made of a mask prompt."""
_CHOICES = 3
_SAME_IOU = 0.8
"""Two masks of at least this IoU mean the same thing."""


def new_detections(
    boxes: Sequence[Box],
    scores: Sequence[float],
    known: Sequence[Box],
    *,
    min_score: float,
    same_iou: float,
    inside: float,
    room: int,
) -> list[int]:
    """Positions of the detections that become objects, the most certain first.

    Args:
        boxes: of the detections.
        scores: one a box.
        known: boxes of the objects that there are.
        min_score: as `DetectionOptions` has it, and so are the next two.
        same_iou: see there.
        inside: see there.
        room: how many there may be at most.
    """
    taken = list(known)
    new: list[int] = []
    for position in sorted(range(len(boxes)), key=lambda position: -scores[position]):
        box = boxes[position]
        if len(new) >= room:
            break
        if scores[position] >= min_score and not any(_same(box, other, same_iou, inside) for other in taken):
            taken.append(box)
            new.append(position)
    return new


def _same(first: Box, second: Box, same_iou: float, inside: float) -> bool:
    smaller = min(area(first), area(second))
    return box_iou(first, second) >= same_iou or (smaller > 0 and shared_area(first, second) / smaller >= inside)


def choices(answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> list[Candidate]:
    """What an ambiguous click may mean: the masks among its answers that mean different things, the largest first.

    Of masks that mean the same the one with the best score counts. Where fewer than three differ, the best of the
    others fill up.

    Args:
        answers: of the decoder to one prompt, several masks each.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.

    Returns:
        Three, from the whole to its smallest part, or fewer if the model gave no more that are not empty.
    """
    measured = [measure(answer, k, None, image_rgb, options) for answer in answers for k in range(len(answer.scores))]
    ranked = sorted((each for each in measured if each is not None), key=lambda each: -each.score)
    different: list[Candidate] = []
    others: list[Candidate] = []
    for each in ranked:
        alike = any(candidate_iou(each, kept) >= _SAME_IOU for kept in different)
        (others if alike else different).append(each)
    # The sort is stable: of equal areas the better score comes first.
    return sorted([*different, *others][:_CHOICES], key=lambda each: -each.area_px)


def likeliest(answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> list[Candidate]:
    """The mask with the best score, as `choices` has it but found quicker; none if every one is empty."""
    best = _best_candidate(answers, image_rgb, options)
    return [] if best is None else [best]


def initialize_track(
    prompt: FramePrompt,
    known: Track | None,
    view: EncodedView | None,
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
        return _track_of_mask(prompt, prompt.mask, view, label)
    best = _best_candidate(answers, image_rgb, options, prompt.choice)
    if best is None:
        x, y = prompt.points_xy[0].tolist() if len(prompt.points_xy) else (0.0, 0.0)
        box = prompt.box or (x, y, x, y)
        reason = "nothing found at the prompt"
        return Track(
            id=prompt.id, label=label, state="LOST", reason=reason, score=0.0, box=box, area_px=area(box), unseen=1
        ), NO_MASK
    return Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        motion=initial_motion(best.box),
        memory=Memory.of(best.logits, best.view.square),
        first_appearance=best.appearance,
        appearance=best.appearance,
        first_view=best.template,
        first_score=None if prompt.box is None else best.score,
    ), _cropped_to_box(best)


def _cropped_to_box(candidate: Candidate) -> Pasted:
    """Only what is round the mask: of many objects that begin in a view of the whole frame, all takes gigabytes."""
    logits, (left, top, _, _) = candidate.pasted
    x0, y0, x1, y1 = (int(edge) for edge in candidate.box)
    return logits[y0 - top : y1 - top, x0 - left : x1 - left].copy(), (x0, y0, x1, y1)


def _best_candidate(
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


def _track_of_mask(prompt: FramePrompt, mask: np.ndarray, view: EncodedView | None, label: str) -> tuple[Track, Pasted]:
    """A given mask is the answer; which colors the object has is learned in the next frame."""
    height, width = mask.shape
    side = float(max(width, height))
    logits = np.where(mask, np.float32(LOGIT_LIMIT), np.float32(-LOGIT_LIMIT))
    box = box_of_mask(mask) or (0.0, 0.0, float(width), float(height))
    region = (0.0, 0.0, float(width), float(height))
    small = resample_logits(logits, region, (0.0, 0.0, side, side), _GIVEN_SIDE)
    in_view = None if view is None else resample_logits(logits, region, view.square, view.mask_side)
    track = Track(
        id=prompt.id,
        label=label,
        state="TRACKED",
        reason="prompted",
        score=1.0,
        box=box,
        motion=initial_motion(box),
        area_px=float(np.count_nonzero(mask)),
        memory=Memory.of(small, (0.0, 0.0, side, side)),
        first_view=None if view is None or in_view is None else view.template(in_view),
    )
    return track, (logits, (0, 0, width, height))
