"""Association: which of the decoder's masks, if any, each object of a frame gets; one thing cannot be two objects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from streamseg.masks.boxes import box_iou
from streamseg.tracking.candidate import Candidate, candidate_iou, coverage, measure, subtract, whole_view
from streamseg.tracking.gating import (
    area_ratio,
    filled_frame,
    foreign_colors,
    gate,
    gate_lost,
    has_usual_area,
    mean_similarity,
    reachable_box,
    still_fills_frame,
)
from streamseg.tracking.occlusion import advanced, are_switched, meeting_of, with_depth_order, with_doubt
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import predict_box
from streamseg.tracking.query import Answer
from streamseg.tracking.state import LOGIT_LIMIT, Meeting, Track
from streamseg.types import ObjectState

_GROWTH_WEIGHT = 0.5
"""What growth of a mask counts, when two objects claim it, beside its place and its looks."""
_VANISHING_WEIGHT = 1.0
"""What it counts that the object was seen less and less of."""
_BEHIND_WEIGHT = 0.5
"""What it counts that it went behind the other one."""
_TOUCHING, _PART = 0.01, 0.85
"""How much of a mask lies on another one: with less they do not meet, with more it is a part of that one,"""
_STEADY = 0.3
"""if its area is about the usual one: the logarithm of how many times that."""
_HALF = 0.5
"""Of its usual area: with less an object is mostly hidden."""
_LEAST_GROWTH = 0.2
"""A smaller growth of a mask, as a logarithm, is none."""
_MOSTLY = 0.6
"""Share of a mask's pixels."""
_SHRINKING_WEIGHT = 0.7
"""How bad it is that a mask is too small, compared with too large, where another one may hide it."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """The mask that an object gets in a frame, and how far to believe it."""

    state: ObjectState
    reason: str
    candidate: Candidate | None = None
    """What state and reason are about; None if there was no mask."""
    learned: bool = False
    """As of a `Decision`."""
    near_miss: bool = False
    """Whether the candidate may be the lost object, seen too coarsely to tell."""
    cut: bool = False
    """Whether another scene has begun."""
    occluder: int | None = None
    """The object that it is hidden by."""
    met: Meeting | None = None
    """How it moved against another object when their masks met, as long as that may be needed."""
    switched: bool = False
    """Whether the candidate is the mask of an object that it was taken for."""


def associate(
    tracks: Sequence[Track],
    answers: Mapping[int, Sequence[Answer]],
    image_rgb: np.ndarray,
    options: TrackingOptions,
    *,
    cut: bool,
) -> list[tuple[Track, Assignment]]:
    """An assignment for each track.

    Args:
        tracks: as they were in the frame before.
        answers: by object id.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
        cut: whether this frame is of another scene than the one before.
    """
    assigned: dict[int, Assignment] = {}
    searched = [track for track in tracks if options.gates and (cut or track.state == "LOST")]
    for track in tracks:
        if track not in searched:
            assigned[track.id] = _assign(track, answers.get(track.id, ()), image_rgb, options)
    if options.gates:
        _resolve_conflicts(tracks, assigned, image_rgb, options)
    for track in searched:
        taken = [
            (other, its.candidate)
            for other in tracks
            if (its := assigned.get(other.id)) and its.candidate and its.state != "LOST"
        ]
        assigned[track.id] = _assign_lost(track, answers.get(track.id, ()), image_rgb, taken, options, cut=cut)
        for other, _ in taken:
            _take_back(track, other, assigned, image_rgb, options)
    _undo_switches(tracks, assigned)
    return [(track, assigned[track.id]) for track in tracks]


def _assign(track: Track, answers: Sequence[Answer], image_rgb: np.ndarray, options: TrackingOptions) -> Assignment:
    if not answers:
        return Assignment("LOST", "its place is outside the frame")
    answer = _averaged(answers)
    candidate = measure(answer, 0, track, image_rgb, options)
    frame_size = (image_rgb.shape[0], image_rgb.shape[1])
    if candidate is None:
        assignment = Assignment("LOST", "the mask is empty")
    elif options.gates:
        state, reason, learned = gate(track, candidate, frame_size, options)
        assignment = Assignment(state, reason, candidate, learned)
    else:
        assignment = Assignment("TRACKED", f"score {candidate.score:.2f}, not judged", candidate, learned=True)
    if options.gates and assignment.state != "TRACKED" and filled_frame(track, frame_size, options):
        whole = whole_view(answer, image_rgb)
        if whole is not None and still_fills_frame(track, whole, frame_size, options):
            return Assignment(
                "UNCERTAIN", f"larger than the frame, of which the model says: {assignment.reason}", whole
            )
    return assignment


def _assign_lost(
    track: Track,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    taken: Sequence[tuple[Track, Candidate]],
    options: TrackingOptions,
    *,
    cut: bool,
) -> Assignment:
    """The most likely of the places that were asked about."""
    prefix = "scene cut: " if cut else "searching: "
    best = Assignment("LOST", prefix + "nothing looks like it", cut=cut)
    if cut:
        track = msgspec.structs.replace(track, displaced=True)
    occluder = next((its.box for other, its in taken if other.id == track.hidden_by), None)
    within = reachable_box(track, occluder, options)
    best_likelihood = -1.0
    for answer in answers:
        candidate = measure(answer, 0, track, image_rgb, options)
        if candidate is None:
            continue
        owner = next((other.id for other, its in taken if _belongs_to(other, its, track, candidate, options)), None)
        if owner is not None:
            if best.candidate is None:
                best = replace(best, reason=f"{prefix}what looks like it is object {owner}")
            continue
        state, reason, learned = gate_lost(track, candidate, image_rgb.shape[:2], within, options)
        fits = has_usual_area(track, candidate, options)
        likelihood = mean_similarity(track, candidate) + fits + (state == "REACQUIRED")
        if likelihood > best_likelihood:
            best_likelihood = likelihood
            reason = prefix + reason if state == "LOST" else reason
            best = Assignment(state, reason, candidate, learned, near_miss=fits, cut=cut)
    return best


def _averaged(answers: Sequence[Answer]) -> Answer:
    """One answer of several about the same object: logits weighted by the square of their scores."""
    if len(answers) == 1:
        return answers[0]
    scores = np.maximum([float(answer.scores[0]) for answer in answers], 0.05)
    weights = (scores**2 / (scores**2).sum()).astype(np.float32)
    logits = sum(
        weight * np.clip(answer.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
        for weight, answer in zip(weights, answers, strict=True)
    )
    return Answer(answers[0].query, np.asarray(logits), np.array([float(weights @ scores)], np.float32))


def _resolve_conflicts(
    tracks: Sequence[Track], assigned: dict[int, Assignment], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """Of two objects with one mask the one that fits it less has lost its own."""
    known = {track.id: track for track in tracks}
    claims = [(i, each.candidate) for i, each in assigned.items() if each.candidate and each.state != "LOST"]
    for first, second in _overlapping(claims):
        (i, mine), (j, its) = claims[first], claims[second]
        if "LOST" in (assigned[i].state, assigned[j].state):
            continue
        hidden = _is_hidden(known[i], mine, its, options)
        if hidden != _is_hidden(known[j], its, mine, options):
            loser, owner = (i, j) if hidden else (j, i)
            # It goes on behind the other one, at its own speed.
            assigned[loser] = replace(_lost_to(known[owner], known[loser]), occluder=None)
            continue
        if candidate_iou(mine, its) <= options.same_mask:
            _take_back(known[i], known[j], assigned, image_rgb, options)
            _take_back(known[j], known[i], assigned, image_rgb, options)
            _divide(known[i], known[j], assigned, image_rgb, options)
            continue
        affinities = _affinity(known[i], j, mine, options), _affinity(known[j], i, its, options)
        loser, owner = (i, j) if affinities[0] < affinities[1] else (j, i)
        assigned[loser] = _lost_to(known[owner], known[loser])


def _overlapping(claims: Sequence[tuple[int, Candidate]]) -> list[tuple[int, int]]:
    """Pairs of positions whose boxes meet."""
    boxes = np.array([candidate.box for _, candidate in claims]).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    first, second = np.nonzero(np.triu((low < high).all(2), 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _affinity(track: Track, other: int, candidate: Candidate, options: TrackingOptions) -> float:
    """How well a mask agrees with where the object should be, how it looked, and how large it is; one that went behind
    the other, or of which less and less was seen, is the one that is being hidden."""
    grown = abs(math.log(area_ratio(track, candidate.area_px)))
    vanishing = max(0.0, -math.log(area_ratio(track, track.area_px)))
    went_behind = track.met is not None and track.met.other == other and bool(track.met.behind)
    against = _GROWTH_WEIGHT * grown + _VANISHING_WEIGHT * vanishing + _BEHIND_WEIGHT * went_behind
    return box_iou(predict_box(track, options), candidate.box) + mean_similarity(track, candidate) - against


def _belongs_to(owner: Track, its: Candidate, track: Track, candidate: Candidate, options: TrackingOptions) -> bool:
    """Whether a mask is another object's, or a part of that one rather than the lost object."""
    if owner.state == "LOST" and coverage(its, candidate) > options.same_mask:
        # That one was found again in this frame, and seen in part.
        return True
    if coverage(candidate, its) <= options.same_mask:
        return False
    if candidate_iou(candidate, its) > options.same_mask:
        return True
    if mean_similarity(track, candidate) >= options.found_on_another or _has_grown_by(owner, its, candidate):
        return False
    return not _is_foreign(owner, candidate)


def _take_back(
    track: Track, owner: Track, assigned: dict[int, Assignment], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """What another object's mask has grown by, and is this one's, is taken out of it."""
    mine, its = assigned[track.id], assigned[owner.id]
    if "LOST" in (mine.state, its.state) or mine.candidate is None or its.candidate is None:
        return
    lies_on_it = coverage(mine.candidate, its.candidate) > options.same_mask
    if lies_on_it and _has_grown_by(owner, its.candidate, mine.candidate, _SHRINKING_WEIGHT):
        rest = subtract(its.candidate, mine.candidate, image_rgb)
        assigned[owner.id] = replace(its, candidate=rest or its.candidate)


def _has_grown_by(owner: Track, its: Candidate, candidate: Candidate, shrinking_weight: float = 1.0) -> bool:
    """Whether another object's mask has grown by a candidate: without it, it has more nearly its usual area.

    Args:
        owner: the other object.
        its: its mask.
        candidate: the candidate.
        shrinking_weight: how bad it is that a mask is too small, compared with too large.
    """
    grown = math.log(area_ratio(owner, its.area_px))
    left = math.log(area_ratio(owner, its.area_px - coverage(candidate, its) * candidate.area_px))
    return grown > _LEAST_GROWTH and (left if left > 0 else -shrinking_weight * left) < grown


def _is_foreign(owner: Track, candidate: Candidate) -> bool:
    """Whether most of a mask is of colors that another object did not have so much of, so that it is no part of it."""
    pixels = candidate.appearance.color_pixels(candidate.area_px)
    return float(pixels[foreign_colors(owner, pixels)].sum()) > _MOSTLY * candidate.area_px


def _divide(
    track: Track, other: Track, assigned: dict[int, Assignment], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """Where two masks meet, each pixel belongs to the one that is surer of it; unless one is a part of the other.

    An object whose mask is mostly another one's by that is being hidden by it.
    """
    mine, its = assigned[track.id].candidate, assigned[other.id].candidate
    if "LOST" in (assigned[track.id].state, assigned[other.id].state) or mine is None or its is None:
        return
    if coverage(mine, its) < _TOUCHING:
        assigned[track.id] = replace(assigned[track.id], met=_met(track, mine, other, its))
        assigned[other.id] = replace(assigned[other.id], met=_met(other, its, track, mine))
        return
    if _is_part(track, mine, its) or _is_part(other, its, mine):
        return
    rest: dict[int, Candidate] = {}
    for each, mask, of, rival in ((track, mine, other, its), (other, its, track, mine)):
        left = subtract(mask, rival, image_rgb, only_surer=True)
        if left is None or left.area_px < (1 - options.same_mask) * mask.area_px:
            assigned[each.id] = _lost_to(of, each)
            return
        rest[each.id] = left
    for each, of in ((track, other), (other, track)):
        left = rest[each.id]
        state, reason, learned = gate(each, left, image_rgb.shape[:2], options)
        met = _met(each, left, of, rest[of.id])
        # Which of them comes out again is not sure, if it is more than half hidden.
        met = with_doubt(met) if state == "LOST" or area_ratio(each, left.area_px) < _HALF else met
        judged = replace(assigned[each.id], state=state, reason=reason, learned=learned)
        assigned[each.id] = replace(judged, candidate=left, met=met)


def _met(track: Track, mine: Candidate, other: Track, its: Candidate) -> Meeting | None:
    """How an object has met another one, each seen in that mask now."""
    visible, other_visible = area_ratio(track, mine.area_px), area_ratio(other, its.area_px)
    return with_depth_order(meeting_of(track, other), visible, other_visible)


def _is_hidden(track: Track, mine: Candidate, other: Candidate, options: TrackingOptions) -> bool:
    """Whether little is left of an object, and most of that lies on another one's mask."""
    return area_ratio(track, mine.area_px) < _HALF and coverage(mine, other) > options.same_mask


def _is_part(track: Track, mine: Candidate, whole: Candidate) -> bool:
    """Whether a mask lies on another one because the object is a part of that one, rather than hidden by it."""
    return coverage(mine, whole) > _PART and abs(math.log(area_ratio(track, mine.area_px))) < _STEADY


def _lost_to(owner: Track, track: Track) -> Assignment:
    """Of an object whose mask is another one's."""
    met = with_doubt(meeting_of(track, owner))
    return Assignment("LOST", f"its mask is that of object {owner.id}", occluder=owner.id, met=met)


def _undo_switches(tracks: Sequence[Track], assigned: dict[int, Assignment]) -> None:
    """Objects whose masks had become one have two again: each gets its own, so that identities are not switched."""
    known = {track.id: track for track in tracks}
    for track in tracks:
        mine = assigned[track.id]
        met = mine.met or track.met
        if met is None or mine.cut or met.other not in assigned:
            continue
        its = assigned[met.other]
        mask, other_mask = mine.candidate, its.candidate
        if "LOST" in (mine.state, its.state) or mask is None or other_mask is None:
            assigned[track.id] = replace(mine, met=advanced(met))
            continue
        mine = replace(mine, met=None if box_iou(mask.box, other_mask.box) == 0 else advanced(met))
        if are_switched(track, mask, known[met.other], other_mask):
            why = "told from object {} by how they moved"
            mine = replace(mine, candidate=other_mask, reason=why.format(met.other), switched=True)
            assigned[met.other] = replace(its, candidate=mask, reason=why.format(track.id), switched=True)
        assigned[track.id] = mine
