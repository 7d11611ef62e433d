"""Gating: whether to believe a mask by score, area, position, features and colors, and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamseg.masks.boxes import area, center_size, from_center_size
from streamseg.tracking.appearance import COLOR_BINS
from streamseg.tracking.candidate import Candidate
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import predict_box, usual_size
from streamseg.tracking.state import Track
from streamseg.tracking.trust import first_trust, signals_of, trust
from streamseg.types import Box, ObjectState

_NEAR = 0.5
"""In box sizes: how far from its last place an object may be that was lost a moment ago."""
_OCCLUDED = 0.25
"""How fast, compared with others, an object may get away from the one that hides it."""
_FEW = 0.5
"""Of pixels of a color: they are no part of an object that mostly has fewer than this share of them."""


class Decision(NamedTuple):
    """What becomes of a mask."""

    state: ObjectState
    reason: str
    learned: bool = False
    """Whether how the object looks, and how large it is, may be learned from it."""


def gate(track: Track, candidate: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> Decision:
    """How far to believe a mask of an object that was there in the frame before.

    Args:
        track: the object as it was.
        candidate: the mask.
        frame_size: (H, W).
        options: of the tracker.
    """
    growth = _area_change(track, candidate)
    change = max(growth, 1 / growth)
    jump = _jump(track, candidate, options)
    if _is_whole_frame(track, candidate, frame_size, options):
        return Decision("LOST", "the mask is the whole frame")
    if candidate.score < options.lost_score:
        return Decision("LOST", f"score {candidate.score:.2f} below {options.lost_score:g}")
    if change > options.lost_area:
        return Decision("LOST", f"area x{growth:.2f} against the frames before")
    if jump > options.lost_jump:
        return Decision("LOST", f"jumped by {jump:.1f} box sizes")
    similarity, color = similarities(track, candidate)
    few = min(track.area_px, candidate.area_px) < options.color_px
    usual = area_ratio(track, candidate.area_px)
    # What fills the frame has grown, and its features change where nothing else is seen.
    grown = usual > options.uncertain_area and not _was_large(track, frame_size, options)
    if similarity < options.lost_similarity and (few or color < options.lost_both or grown):
        return Decision("LOST", f"similarity {similarity:.2f} below {options.lost_similarity:g}")
    if color < options.lost_color and not few:
        return Decision("LOST", f"colors {color:.2f} below {options.lost_color:g}")
    doubt = _doubt(track, candidate, options)
    # Of what fills the frame no outline is to be seen that could agree with the first one.
    signals = None if filled_frame(track, frame_size, options) else signals_of(track, candidate)
    if signals is None or not options.uncertain_trust:
        known = f"score {candidate.score:.2f}"
        return Decision("UNCERTAIN", doubt) if doubt else Decision("TRACKED", known, learned=True)
    trusted, first = trust(signals), first_trust(track)
    if min(trusted, first) < options.uncertain_trust:
        of_first = "" if trusted < options.uncertain_trust else " in the mask it began with"
        reason = f"trust {min(trusted, first):.2f}{of_first} below {options.uncertain_trust:g}"
        return Decision("UNCERTAIN", reason, learned=doubt is None)
    return Decision("TRACKED", f"score {candidate.score:.2f}, trust {trusted:.2f}", learned=doubt is None)


def _doubt(track: Track, candidate: Candidate, options: TrackingOptions) -> str | None:
    """What speaks against learning from a mask; None if nothing does."""
    growth = _area_change(track, candidate)
    similarity, color = similarities(track, candidate)
    if candidate.score < options.uncertain_score:
        return f"score {candidate.score:.2f} below {options.uncertain_score:g}"
    if candidate.stability < options.uncertain_stability:
        return f"stability {candidate.stability:.2f} below {options.uncertain_stability:g}"
    if max(growth, 1 / growth) > options.uncertain_area:
        return f"area x{growth:.2f} against the frames before"
    if similarity < options.uncertain_similarity:
        return f"similarity {similarity:.2f} below {options.uncertain_similarity:g}"
    if color < options.uncertain_color and min(track.area_px, candidate.area_px) >= options.color_px:
        return f"colors {color:.2f} below {options.uncertain_color:g}"
    return None


def filled_frame(track: Track, frame_size: tuple[int, int], options: TrackingOptions) -> bool:
    """Whether the last box of an object was about the (H, W) frame."""
    return area(track.box) >= options.filled_frame * frame_size[0] * frame_size[1]


def still_fills_frame(track: Track, whole: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> bool:
    """Whether an object that `filled_frame` is larger than that: no outline of it is to be seen, so that the model's
    masks are noise, and colors have to tell.

    Args:
        track: the object as it was.
        whole: the mask of all there is to be seen.
        frame_size: (H, W).
        options: of the tracker.
    """
    _, color = similarities(track, whole)
    return whole.area_px >= frame_size[0] * frame_size[1] and color >= options.filled_color


def gate_lost(
    track: Track, candidate: Candidate, frame_size: tuple[int, int], within: Box | None, options: TrackingOptions
) -> Decision:
    """Whether a mask is the object that was lost: everything has to agree.

    Args:
        track: the object as it was when it was last seen.
        candidate: the mask.
        frame_size: (H, W).
        within: where its center can be; anywhere if None.
        options: of the tracker.
    """
    if _is_whole_frame(track, candidate, frame_size, options):
        return Decision("LOST", "the mask is the whole frame")
    if not has_usual_area(track, candidate, options):
        return Decision("LOST", f"area x{area_ratio(track, candidate.area_px):.2f}")
    if candidate.score < options.found_score:
        return Decision("LOST", f"score {candidate.score:.2f} below {options.found_score:g}")
    similarity, color = similarities(track, candidate)
    few = min(track.area_px, candidate.area_px) < options.color_px
    if similarity < options.found_similarity:
        return Decision("LOST", f"similarity {similarity:.2f} below {options.found_similarity:g}")
    least_color = options.found_color_after_cut if track.displaced else options.found_color
    if color < least_color and not few:
        return Decision("LOST", f"colors {color:.2f} below {least_color:g}")
    x, y, _, _ = center_size(candidate.box)
    if within is not None and not (within[0] <= x <= within[2] and within[1] <= y <= within[3]):
        return Decision("LOST", f"too far off for {track.unseen} frames")
    reason = f"score {candidate.score:.2f}, similarity {similarity:.2f}, colors {color:.2f}"
    return Decision("REACQUIRED", reason, learned=True)


def has_usual_area(track: Track, candidate: Candidate, options: TrackingOptions) -> bool:
    """Whether a mask has about the area that a lost object had."""
    ratio = area_ratio(track, candidate.area_px)
    return max(ratio, 1 / ratio) <= options.found_area


def reachable_box(track: Track, occluder: Box | None, options: TrackingOptions) -> Box | None:
    """Where the center of a lost object can be by now; None if anywhere, since a scene cut has come.

    Args:
        track: the object.
        occluder: the box of the object that hid it when it was lost, if that is still there: it stays with that one.
        options: of the tracker.
    """
    if track.displaced:
        return None
    x, y, _, _ = center_size(predict_box(track, options))
    box = occluder or from_center_size(x, y, *center_size(track.box)[2:])
    rate = options.found_reach * (_OCCLUDED if occluder else 1)
    far = (_NEAR + rate * track.unseen) * sum(usual_size(track)) / 2
    return (box[0] - far, box[1] - far, box[2] + far, box[3] + far)


def similarities(track: Track, candidate: Candidate) -> tuple[float, float]:
    """How similar a mask is to the object as it is now or was first: cosine of the features, agreement of the colors.

    Both are 1 for an object whose looks are not known yet.
    """
    known = [looks for looks in (track.first_appearance, track.appearance) if looks is not None]
    similarity = max((looks.similarity(candidate.appearance) for looks in known), default=1.0)
    return similarity, max((looks.color_similarity(candidate.appearance) for looks in known), default=1.0)


def mean_similarity(track: Track, candidate: Candidate) -> float:
    """Both in one number, 0 to 1, to compare masks by."""
    similarity, color = similarities(track, candidate)
    return max(0.0, similarity + color) / 2


def usual_color_pixels(track: Track) -> np.ndarray:
    """(216,) float32: of how many pixels of an object each color mostly is; of none if its looks are not known yet."""
    if track.appearance is None:
        return np.zeros(COLOR_BINS, np.float32)
    return track.appearance.color_pixels(track.usual_px or track.area_px)


def foreign_colors(track: Track, pixels: np.ndarray) -> np.ndarray:
    """(216,) bool: of which colors an object mostly has far fewer pixels than are given, so that these are no part of
    it; of none if its looks are not known yet."""
    return np.asarray((usual_color_pixels(track) < _FEW * pixels) & (track.appearance is not None))


def _area_change(track: Track, candidate: Candidate) -> float:
    return max(candidate.area_px, 1.0) / max(track.area_px, 1.0)


def area_ratio(track: Track, area_px: float) -> float:
    """An area against the one that the object mostly has."""
    return max(area_px, 1.0) / max(track.usual_px or track.area_px, 1.0)


def _is_whole_frame(track: Track, candidate: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> bool:
    whole_px = frame_size[0] * frame_size[1] * options.whole_frame
    return candidate.area_px > whole_px and not _was_large(track, frame_size, options)


def _was_large(track: Track, frame_size: tuple[int, int], options: TrackingOptions) -> bool:
    """By its last box: its area is a mean over many frames, which lags behind that of an object that comes closer."""
    return area(track.box) >= frame_size[0] * frame_size[1] * options.whole_frame / 2


def _jump(track: Track, candidate: Candidate, options: TrackingOptions) -> float:
    """How far the box's center is off the predicted one, in mean box sides."""
    x, y, _, _ = center_size(candidate.box)
    predicted_x, predicted_y, width, height = center_size(predict_box(track, options))
    return float(np.hypot(x - predicted_x, y - predicted_y) / max(1.0, (width + height) / 2))
