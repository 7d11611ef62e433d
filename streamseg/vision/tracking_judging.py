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
    if found.score < options.uncertain_score:
        return "UNCERTAIN", f"score {found.score:.2f} below {options.uncertain_score:g}"
    if found.stability < options.uncertain_stability:
        return "UNCERTAIN", f"stability {found.stability:.2f} below {options.uncertain_stability:g}"
    if change > options.uncertain_area:
        return "UNCERTAIN", f"area x{growth:.2f} against the frames before"
    return "TRACKED", f"score {found.score:.2f}"


def judge_lost(track: Track, found: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> Verdict:
    """Whether a mask is the object that was lost: everything has to agree.

    Args:
        track: the object as it was when it was last seen.
        found: the mask.
        frame_size: (H, W).
        options: of the tracker.
    """
    growth = _growth(track, found)
    if _is_whole_frame(track, found, frame_size, options):
        return "LOST", "searching: the mask is the whole frame"
    if found.score < options.found_score:
        return "LOST", f"searching: score {found.score:.2f} below {options.found_score:g}"
    if max(growth, 1 / growth) > options.found_area:
        return "LOST", f"searching: area x{growth:.2f}"
    if track.appearance is None:
        return "REACQUIRED", f"score {found.score:.2f}"
    similarity = track.appearance.similarity(found.appearance)
    if similarity < options.found_similarity:
        return "LOST", f"searching: similarity {similarity:.2f} below {options.found_similarity:g}"
    colour = track.appearance.colour_similarity(found.appearance)
    if colour < options.found_colour:
        return "LOST", f"searching: colours {colour:.2f} below {options.found_colour:g}"
    return "REACQUIRED", f"score {found.score:.2f}, similarity {similarity:.2f}, colours {colour:.2f}"


def _growth(track: Track, found: Candidate) -> float:
    return max(found.area_px, 1.0) / max(track.area_px, 1.0)


def _is_whole_frame(track: Track, found: Candidate, frame_size: tuple[int, int], options: TrackingOptions) -> bool:
    whole_px = frame_size[0] * frame_size[1] * options.whole_frame
    return found.area_px > whole_px and track.area_px < whole_px / 2


def _jump(track: Track, found: Candidate, options: TrackingOptions) -> float:
    """How far the box's middle is off the expected one, in mean box sides."""
    x, y, _, _ = center_size(found.box)
    expected_x, expected_y, width, height = center_size(expected_box(track, options))
    return float(np.hypot(x - expected_x, y - expected_y) / max(1.0, (width + height) / 2))
