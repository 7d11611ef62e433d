"""Where an object should be in the next frame, and how large."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.masks.boxes import box_iou, center_size, from_center_size, has
from streamseg.masks.measures import deepest_point
from streamseg.masks.roi import resample_logits, to_frame
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.questions import Seen
from streamseg.tracking.state import Track
from streamseg.types import Box


def expected_box(track: Track, options: TrackingOptions) -> Box:
    """Where the object should be in the next frame, by its speed so far."""
    if track.motion is None:
        return track.box
    if track.unseen:
        return from_center_size(*track.motion.middle, *usual_size(track))
    x0, y0, x1, y1 = track.box
    dx, dy = (speed * options.motion for speed in track.motion.velocity)
    return (x0 + dx, y0 + dy, x1 + dx, y1 + dy)


def usual_size(track: Track) -> tuple[float, float]:
    """(width, height) in pixels of the object as it mostly is: it may have been half hidden when it was lost."""
    return track.usual_size or center_size(track.box)[2:]


def around_clicks(track: Track, clicks: Sequence[Sequence[float]] | np.ndarray, options: TrackingOptions) -> Box:
    """The expected box, widened so that clicks (x, y) lie in it."""
    x0, y0, x1, y1 = expected_box(track, options)
    xs, ys = [float(x) for x, _ in clicks], [float(y) for _, y in clicks]
    return (min([x0, *xs]), min([y0, *ys]), max([x1, *xs]), max([y1, *ys]))


def expected_point(track: Track, options: TrackingOptions) -> np.ndarray | None:
    """(1, 2) frame pixels: the point furthest inside the last mask, where it is expected now."""
    if track.memory is None:
        return None
    inner_xy = deepest_point(track.memory.logits > 0)
    moved = _moved(track.memory.region, expected_box(track, options), track.box)
    return to_frame(np.array([inner_xy]), moved, track.memory.side)


def points_on_others(track: Track, tracks: Sequence[Track], region: Box, options: TrackingOptions) -> np.ndarray:
    """(K, 2) frame pixels: points well inside the other objects whose boxes meet an object's, the nearest first.

    Args:
        track: the object.
        tracks: all of them.
        region: the points have to lie in it.
        options: of the tracker.
    """
    mine = expected_box(track, options)
    near: list[tuple[float, np.ndarray]] = []
    for other in tracks:
        if other.id == track.id or other.state == "LOST" or box_iou(expected_box(other, options), mine) == 0:
            continue
        point = expected_point(other, options)
        if point is not None and has(region, point):
            near.append((float(np.hypot(*(point[0] - center_size(mine)[:2]))), point))
    near.sort(key=lambda entry: entry[0])
    return np.concatenate([np.zeros((0, 2)), *(point for _, point in near[: options.other_points])])


def expected_logits(track: Track, view: Seen, options: TrackingOptions) -> np.ndarray | None:
    """The last mask's logits where the object is expected now, as the view sees them."""
    if track.memory is None:
        return None
    moved = _moved(track.memory.region, expected_box(track, options), track.box)
    return resample_logits(track.memory.logits, moved, view.square, view.mask_side)


def _moved(region: Box, to: Box, origin: Box) -> Box:
    dx, dy = to[0] - origin[0], to[1] - origin[1]
    return (region[0] + dx, region[1] + dy, region[2] + dx, region[3] + dy)
