"""One thing cannot be two objects: whose a mask is, or a part of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamseg.masks.boxes import box_iou
from streamseg.tracking.candidate import Candidate, covered, overlap, without
from streamseg.tracking.gating import growth_since, judge, likeness, new_colors
from streamseg.tracking.occlusion import are_exchanged, doubted, hiding, later, meeting
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import expected_box
from streamseg.tracking.state import Meeting, Track
from streamseg.types import ObjectState

_GROWN = 0.5
"""What growth of a mask counts, when two objects claim it, beside its place and its looks."""
_VANISHING = 1.0
"""What it counts that the object was seen less and less of."""
_BEHIND = 0.5
"""What it counts that it went behind the other one."""
_TOUCHING, _PART = 0.01, 0.85
"""How much of a mask lies on another one: with less they do not meet, with more it is a part of that one,"""
_STEADY = 0.3
"""if its area is about the usual one: the logarithm of how many times that."""
_HALF = 0.5
"""Of its usual area: with less an object is mostly hidden."""
_NOTED = 0.2
"""A smaller growth of a mask, as a logarithm, is none."""
_MOSTLY = 0.6
"""Share of a mask's pixels."""
_LESS = 0.7
"""How bad it is that a mask is too small, compared with too large, where another one may hide it."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found of an object, and how far to believe it."""

    state: ObjectState
    reason: str
    found: Candidate | None = None
    """What the verdict is about; None if there was no mask."""
    near_miss: bool = False
    """Whether what was found may be the lost object, seen too coarsely to tell."""
    cut: bool = False
    """Whether another scene has begun."""
    hider: int | None = None
    """The object that it is hidden by."""
    met: Meeting | None = None
    """How it moved against another object when their masks met, as long as that may be needed."""
    exchanged: bool = False
    """Whether what was found is the mask of an object that it was taken for."""


def settle_claims(
    tracks: Sequence[Track], verdicts: dict[int, Judged], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """Of two objects with one mask the one that fits it less has lost its own."""
    known = {track.id: track for track in tracks}
    claims = [(i, each.found) for i, each in verdicts.items() if each.found is not None and each.state != "LOST"]
    for first, second in _meeting(claims):
        (i, mine), (j, its) = claims[first], claims[second]
        if "LOST" in (verdicts[i].state, verdicts[j].state):
            continue
        hidden = _is_hidden(known[i], mine, its, options)
        if hidden != _is_hidden(known[j], its, mine, options):
            loser, owner = (i, j) if hidden else (j, i)
            # It goes on behind the other one, at its own speed.
            verdicts[loser] = replace(_taken(known[loser], known[owner]), hider=None)
            continue
        if overlap(mine, its) <= options.same_mask:
            give_back(known[i], known[j], verdicts, image_rgb, options)
            give_back(known[j], known[i], verdicts, image_rgb, options)
            _divide(known[i], known[j], verdicts, image_rgb, options)
            continue
        fits = _fit(known[i], j, mine, options), _fit(known[j], i, its, options)
        loser, owner = (i, j) if fits[0] < fits[1] else (j, i)
        verdicts[loser] = _taken(known[loser], known[owner])


def is_of(track: Track, found: Candidate, owner: Track, its: Candidate, options: TrackingOptions) -> bool:
    """Whether a mask is another object's, or a part of that one rather than the lost object."""
    if owner.state == "LOST" and covered(its, found) > options.same_mask:
        # That one was found again in this frame, and seen in part.
        return True
    if covered(found, its) <= options.same_mask:
        return False
    if overlap(found, its) > options.same_mask:
        return True
    if likeness(track, found) >= options.found_on_another or _swallowed(found, owner, its):
        return False
    return not _is_new(found, owner)


def give_back(
    track: Track, owner: Track, verdicts: dict[int, Judged], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """What another object's mask has grown by, and is this one's, is taken out of it."""
    mine, its = verdicts[track.id], verdicts[owner.id]
    if "LOST" in (mine.state, its.state) or mine.found is None or its.found is None:
        return
    if covered(mine.found, its.found) > options.same_mask and _swallowed(mine.found, owner, its.found, _LESS):
        verdicts[owner.id] = replace(its, found=without(its.found, mine.found, image_rgb) or its.found)


def _swallowed(found: Candidate, owner: Track, its: Candidate, less: float = 1.0) -> bool:
    """Whether another object's mask has grown by what was found: without it, it has more nearly its usual area.

    Args:
        found: what was found.
        owner: the other object.
        its: its mask.
        less: how bad it is that a mask is too small, compared with too large.
    """
    grown = math.log(growth_since(owner, its.area_px))
    left = math.log(growth_since(owner, its.area_px - covered(found, its) * found.area_px))
    return grown > _NOTED and (left if left > 0 else -less * left) < grown


def _is_new(found: Candidate, owner: Track) -> bool:
    """Whether most of a mask is of colors that another object did not have so much of, so that it is no part of it."""
    pixels = found.appearance.pixels(found.area_px)
    return float(pixels[new_colors(owner, pixels)].sum()) > _MOSTLY * found.area_px


def _divide(
    track: Track, other: Track, verdicts: dict[int, Judged], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """Where two masks meet, each pixel belongs to the one that is surer of it; unless one is a part of the other.

    An object whose mask is mostly another one's by that is being hidden by it.
    """
    mine, its = verdicts[track.id].found, verdicts[other.id].found
    if "LOST" in (verdicts[track.id].state, verdicts[other.id].state) or mine is None or its is None:
        return
    if covered(mine, its) < _TOUCHING:
        verdicts[track.id] = replace(verdicts[track.id], met=_met(track, mine, other, its))
        verdicts[other.id] = replace(verdicts[other.id], met=_met(other, its, track, mine))
        return
    if _is_part(track, mine, its) or _is_part(other, its, mine):
        return
    rest: dict[int, Candidate] = {}
    for each, mask, of, rival in ((track, mine, other, its), (other, its, track, mine)):
        left = without(mask, rival, image_rgb, only_surer=True)
        if left is None or left.area_px < (1 - options.same_mask) * mask.area_px:
            verdicts[each.id] = _taken(each, of)
            return
        rest[each.id] = left
    for each, of in ((track, other), (other, track)):
        left = rest[each.id]
        state, reason = judge(each, left, image_rgb.shape[:2], options)
        met = _met(each, left, of, rest[of.id])
        # Which of them comes out again is not sure, if it is more than half hidden.
        met = doubted(met) if state == "LOST" or growth_since(each, left.area_px) < _HALF else met
        verdicts[each.id] = replace(verdicts[each.id], state=state, reason=reason, found=left, met=met)


def _met(track: Track, mask: Candidate, other: Track, its: Candidate) -> Meeting | None:
    """How an object has met another one, each seen in that mask now."""
    return hiding(meeting(track, other), growth_since(track, mask.area_px), growth_since(other, its.area_px))


def _is_hidden(track: Track, mask: Candidate, other: Candidate, options: TrackingOptions) -> bool:
    """Whether little is left of an object, and most of that lies on another one's mask."""
    return growth_since(track, mask.area_px) < _HALF and covered(mask, other) > options.same_mask


def _is_part(track: Track, mask: Candidate, whole: Candidate) -> bool:
    """Whether a mask lies on another one because the object is a part of that one, rather than hidden by it."""
    return covered(mask, whole) > _PART and abs(math.log(growth_since(track, mask.area_px))) < _STEADY


def _taken(track: Track, owner: Track) -> Judged:
    """The verdict on an object whose mask is another one's."""
    met = doubted(meeting(track, owner))
    return Judged("LOST", f"its mask is that of object {owner.id}", hider=owner.id, met=met)


def tell_apart(tracks: Sequence[Track], verdicts: dict[int, Judged]) -> None:
    """Objects whose masks had become one have two again: each gets its own."""
    known = {track.id: track for track in tracks}
    for track in tracks:
        mine = verdicts[track.id]
        met = mine.met or track.met
        if met is None or mine.cut or met.other not in verdicts:
            continue
        its = verdicts[met.other]
        mask, other_mask = mine.found, its.found
        if "LOST" in (mine.state, its.state) or mask is None or other_mask is None:
            verdicts[track.id] = replace(mine, met=later(met))
            continue
        mine = replace(mine, met=None if box_iou(mask.box, other_mask.box) == 0 else later(met))
        if are_exchanged(track, mask, known[met.other], other_mask):
            why = "told from object {} by how they moved"
            mine = replace(mine, found=other_mask, reason=why.format(met.other), exchanged=True)
            verdicts[met.other] = replace(its, found=mask, reason=why.format(track.id), exchanged=True)
        verdicts[track.id] = mine


def _meeting(claims: Sequence[tuple[int, Candidate]]) -> list[tuple[int, int]]:
    """Pairs of positions whose boxes meet."""
    boxes = np.array([found.box for _, found in claims]).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    first, second = np.nonzero(np.triu((low < high).all(2), 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _fit(track: Track, other: int, found: Candidate, options: TrackingOptions) -> float:
    """How well a mask agrees with where the object should be, how it looked, and how large it is; one that went behind
    the other, or of which less and less was seen, is the one that is being hidden."""
    grown = abs(math.log(growth_since(track, found.area_px)))
    vanishing = max(0.0, -math.log(growth_since(track, track.area_px)))
    went_behind = track.met is not None and track.met.other == other and bool(track.met.behind)
    against = _GROWN * grown + _VANISHING * vanishing + _BEHIND * went_behind
    return box_iou(expected_box(track, options), found.box) + likeness(track, found) - against
