"""Whether to believe a mask, and why."""

from __future__ import annotations

import numpy as np

from streamseg.vision.boxes import center_size
from streamseg.vision.tracking_asking import expected_box
from streamseg.vision.tracking_measuring import Candidate
from streamseg.vision.tracking_options import TrackingOptions
from streamseg.vision.tracking_state import State, Track

Verdict = tuple[State, str]
"""The new state and the reason for it."""


def judge(track: Track, found: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> Verdict:
    """How far to believe a mask of an object that was there in the frame before.

    Args:
        track: the object as it was.
        found: the mask.
        frame_size: (H, W).
        options: of the tracker.
    """
    growth = _growth(track, found)
    change = max(growth, 1 / growth)
    jump = _jump(track, found, options)
    if _is_whole_frame(track, found, frame_size, options):
        return "LOST", "the mask is the whole frame"
    if found.score < options.lost_score:
        return "LOST", f"score {found.score:.2f} below {options.lost_score:g}"
    if change > options.lost_area:
        return "LOST", f"area x{growth:.2f} against the frames before"
    if jump > options.lost_jump:
        return "LOST", f"jumped by {jump:.1f} box sizes"
    similarity, colour = alike(track, found)
    if similarity < options.lost_similarity:
        return "LOST", f"similarity {similarity:.2f} below {options.lost_similarity:g}"
    if colour < options.lost_colour:
        return "LOST", f"colours {colour:.2f} below {options.lost_colour:g}"
    if found.score < options.uncertain_score:
        return "UNCERTAIN", f"score {found.score:.2f} below {options.uncertain_score:g}"
    if found.stability < options.uncertain_stability:
        return "UNCERTAIN", f"stability {found.stability:.2f} below {options.uncertain_stability:g}"
    if change > options.uncertain_area:
        return "UNCERTAIN", f"area x{growth:.2f} against the frames before"
    if similarity < options.uncertain_similarity:
        return "UNCERTAIN", f"similarity {similarity:.2f} below {options.uncertain_similarity:g}"
    if colour < options.uncertain_colour:
        return "UNCERTAIN", f"colours {colour:.2f} below {options.uncertain_colour:g}"
    return "TRACKED", f"score {found.score:.2f}"


def judge_lost(track: Track, found: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> Verdict:
    """Whether a mask is the object that was lost: everything has to agree.

    Args:
        track: the object as it was when it was last seen.
        found: the mask.
        frame_size: (H, W).
        options: of the tracker.
    """
    if _is_whole_frame(track, found, frame_size, options):
        return "LOST", "the mask is the whole frame"
    if not of_its_size(track, found, options):
        return "LOST", f"area x{_growth_since(track, found):.2f}"
    if found.score < options.found_score:
        return "LOST", f"score {found.score:.2f} below {options.found_score:g}"
    similarity, colour = alike(track, found)
    if similarity < options.found_similarity:
        return "LOST", f"similarity {similarity:.2f} below {options.found_similarity:g}"
    if colour < options.found_colour:
        return "LOST", f"colours {colour:.2f} below {options.found_colour:g}"
    return "REACQUIRED", f"score {found.score:.2f}, similarity {similarity:.2f}, colours {colour:.2f}"


def of_its_size(track: Track, found: Candidate, options: TrackingOptions) -> bool:
    """Whether a mask has about the area that a lost object had."""
    growth = _growth_since(track, found)
    return max(growth, 1 / growth) <= options.found_area


def alike(track: Track, found: Candidate) -> tuple[float, float]:
    """How like the object a mask is, now or as it was first: cosine of the features, agreement of the colours.

    Both are 1 for an object whose looks are not known yet.
    """
    known = [looks for looks in (track.first_appearance, track.appearance) if looks is not None]
    similarity = max((looks.similarity(found.appearance) for looks in known), default=1.0)
    return similarity, max((looks.colour_similarity(found.appearance) for looks in known), default=1.0)


def likeness(track: Track, found: Candidate) -> float:
    """Both in one number, 0 to 1, to compare masks by."""
    similarity, colour = alike(track, found)
    return max(0.0, similarity + colour) / 2


def _growth(track: Track, found: Candidate) -> float:
    return max(found.area_px, 1.0) / max(track.area_px, 1.0)


def _growth_since(track: Track, found: Candidate) -> float:
    """Against the area of a lost object while it was followed."""
    return max(found.area_px, 1.0) / max(track.usual_px or track.area_px, 1.0)


def _is_whole_frame(track: Track, found: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> bool:
    whole_px = frame_size[0] * frame_size[1] * options.whole_frame
    return found.area_px > whole_px and track.area_px < whole_px / 2


def _jump(track: Track, found: Candidate, options: TrackingOptions) -> float:
    """How far the box's middle is off the expected one, in mean box sides."""
    x, y, _, _ = center_size(found.box)
    expected_x, expected_y, width, height = center_size(expected_box(track, options))
    return float(np.hypot(x - expected_x, y - expected_y) / max(1.0, (width + height) / 2))
