"""What to make of the answers for all objects of a frame together: one thing cannot be two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from streamseg.vision.boxes import iou
from streamseg.vision.tracking_expecting import expected_box
from streamseg.vision.tracking_judging import growth_since, judge, judge_lost, likeness, of_its_size, reachable
from streamseg.vision.tracking_measuring import Candidate, covered, measure, overlap
from streamseg.vision.tracking_options import TrackingOptions
from streamseg.vision.tracking_questions import Answer
from streamseg.vision.tracking_state import LOGIT_LIMIT, State, Track

_GROWN = 0.5
"""What growth of a mask counts, when two objects claim it, beside its place and its looks."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found of an object, and how far to believe it."""

    state: State
    reason: str
    found: Candidate | None = None
    """What the verdict is about; None if there was no mask."""
    near_miss: bool = False
    """Whether what was found may be the lost object, seen too coarsely to tell."""
    cut: bool = False
    """Whether another scene has begun."""
    hider: int | None = None
    """The object that it is hidden by."""


def judge_all(
    tracks: Sequence[Track],
    answers: Mapping[int, Sequence[Answer]],
    image_rgb: np.ndarray,
    options: TrackingOptions,
    *,
    cut: bool,
) -> list[tuple[Track, Judged]]:
    """A verdict for each track.

    Args:
        tracks: as they were in the frame before.
        answers: by object id.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
        cut: whether this frame is of another scene than the one before.
    """
    verdicts: dict[int, Judged] = {}
    searched = [track for track in tracks if options.gates and (cut or track.state == "LOST")]
    for track in tracks:
        if track not in searched:
            verdicts[track.id] = _judge(track, answers.get(track.id, ()), image_rgb, options)
    if options.gates:
        _settle_claims(tracks, verdicts, options)
    for track in searched:
        taken = [
            (other, verdict.found)
            for other in tracks
            if (verdict := verdicts.get(other.id)) and verdict.found and verdict.state != "LOST"
        ]
        verdicts[track.id] = _judge_lost(track, answers.get(track.id, ()), image_rgb, taken, options, cut=cut)
    return [(track, verdicts[track.id]) for track in tracks]


def _judge(track: Track, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> Judged:
    found = measure(_averaged(answers), 0, track, image_rgb, options) if answers else None
    if found is None:
        return Judged("LOST", "the mask is empty" if answers else "its place is outside the frame")
    if not options.gates:
        return Judged("TRACKED", f"score {found.score:.2f}, not judged", found)
    return Judged(*judge(track, found, image_rgb.shape[:2], options), found)


def _judge_lost(
    track: Track,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    taken: Sequence[tuple[Track, Candidate]],
    options: TrackingOptions,
    *,
    cut: bool,
) -> Judged:
    """The most likely of the places that were asked about."""
    prefix = "scene cut: " if cut else "searching: "
    best = Judged("LOST", prefix + "nothing looks like it", cut=cut)
    if cut:
        track = msgspec.structs.replace(track, displaced=True)
    hider = next((its.box for other, its in taken if other.id == track.hidden_by), None)
    within = reachable(track, hider, options)
    best_likeness = -1.0
    for answer in answers:
        found = measure(answer, 0, track, image_rgb, options)
        if found is None:
            continue
        owner = next((other.id for other, its in taken if _is_of(track, found, other, its, options)), None)
        if owner is not None:
            if best.found is None:
                best = replace(best, reason=f"{prefix}what looks like it is object {owner}")
            continue
        state, reason = judge_lost(track, found, image_rgb.shape[:2], within, options)
        fits = of_its_size(track, found, options)
        how_like = likeness(track, found) + fits + (state == "REACQUIRED")
        if how_like > best_likeness:
            best_likeness = how_like
            best = Judged(state, prefix + reason if state == "LOST" else reason, found, near_miss=fits, cut=cut)
    return best


def _is_of(track: Track, found: Candidate, owner: Track, its: Candidate, options: TrackingOptions) -> bool:
    """Whether a mask is another object's, or a part of that one rather than the lost object."""
    if owner.state == "LOST" and covered(its, found) > options.same_mask:
        # That one was found again in this frame, and seen in part.
        return True
    if covered(found, its) <= options.same_mask:
        return False
    if overlap(found, its) > options.same_mask:
        return True
    return likeness(track, found) < options.found_on_another and not _swallowed(found, owner, its)


def _swallowed(found: Candidate, owner: Track, its: Candidate) -> bool:
    """Whether another object's mask has grown by what was found: without it, it has more nearly its usual area."""
    left_px = its.area_px - covered(found, its) * found.area_px
    return abs(math.log(growth_since(owner, left_px))) < abs(math.log(growth_since(owner, its.area_px)))


def _settle_claims(tracks: Sequence[Track], verdicts: dict[int, Judged], options: TrackingOptions) -> None:
    """Of two objects with one mask the one that fits it less has lost its own."""
    known = {track.id: track for track in tracks}
    claims = [(i, each.found) for i, each in verdicts.items() if each.found is not None and each.state != "LOST"]
    for first, second in _meeting(claims):
        (i, mine), (j, its) = claims[first], claims[second]
        if "LOST" in (verdicts[i].state, verdicts[j].state) or overlap(mine, its) <= options.same_mask:
            continue
        loser, owner = (i, j) if _fit(known[i], mine, options) < _fit(known[j], its, options) else (j, i)
        verdicts[loser] = Judged("LOST", f"its mask is that of object {owner}", hider=owner)


def _meeting(claims: Sequence[tuple[int, Candidate]]) -> list[tuple[int, int]]:
    """Pairs of positions whose boxes meet."""
    boxes = np.array([found.box for _, found in claims]).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    first, second = np.nonzero(np.triu((low < high).all(2), 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _fit(track: Track, found: Candidate, options: TrackingOptions) -> float:
    """How well a mask agrees with where the object should be, how it looked, and how large it is."""
    grown = abs(math.log(growth_since(track, found.area_px)))
    return iou(expected_box(track, options), found.box) + likeness(track, found) - _GROWN * grown


def _averaged(answers: Sequence[Answer]) -> Answer:
    """One answer of several to the same question: logits weighted by the square of their scores."""
    if len(answers) == 1:
        return answers[0]
    scores = np.maximum([float(answer.scores[0]) for answer in answers], 0.05)
    weights = (scores**2 / (scores**2).sum()).astype(np.float32)
    logits = sum(
        weight * np.clip(answer.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
        for weight, answer in zip(weights, answers, strict=True)
    )
    return Answer(answers[0].ask, np.asarray(logits), np.array([float(weights @ scores)], np.float32))
