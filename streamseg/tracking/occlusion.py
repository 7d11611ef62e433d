"""Occlusion: of two objects that meet, which goes behind the other, and which is which once there are two masks again.

Behind is the one of which less was seen first, before their masks ran together. Afterwards looks say which is which, if
they differ. If not, it is taken that both have gone on as they moved when they met.
"""

from __future__ import annotations

import msgspec
import numpy as np

from streamseg.masks.boxes import center_size
from streamseg.tracking.candidate import Candidate
from streamseg.tracking.gating import area_ratio, mean_similarity
from streamseg.tracking.state import Meeting, Track

_LONGEST = 60
"""Frames after which how they moved says nothing any more."""
_TELLING = 0.1
"""A difference of similarity that says which is which."""
_HALF = 0.5
"""Of its usual area: a smaller piece of an object does not say where it is."""
_WHOLE, _CLEARLY = 0.92, 0.05
"""Of its usual area: an object of which no less is seen is not hidden; by how much less than of the other one."""
_FAR = 0.2
"""In box sizes: how far from each other they have to be for their places to say it."""


def meeting_of(track: Track, other: Track) -> Meeting | None:
    """How an object and another one moved when their masks met; None if that is not known."""
    if track.met is not None and track.met.other == other.id:
        return track.met
    if track.motion is None or other.motion is None:
        return None
    offset = np.subtract(track.motion.center, other.motion.center)
    velocity = np.subtract(track.motion.velocity, other.motion.velocity)
    return Meeting(other=other.id, offset_xy=_pair(offset), speed_xy=_pair(velocity))


def with_depth_order(met: Meeting | None, visible: float, other_visible: float) -> Meeting | None:
    """The same, with which of them went behind the other, once that shows. Later their masks run together.

    Args:
        met: how they moved when they met.
        visible: how much of its usual area the object's mask has.
        other_visible: the same of the other one.
    """
    if met is None or met.behind is not None:
        return met
    if min(visible, other_visible) > _WHOLE or abs(visible - other_visible) < _CLEARLY:
        return met
    return msgspec.structs.replace(met, behind=visible < other_visible)


def advanced(met: Meeting | None) -> Meeting | None:
    """A frame later; None once it is too long ago."""
    if met is None or met.frames >= _LONGEST:
        return None
    x, y = np.add(met.offset_xy, met.speed_xy).tolist()
    return msgspec.structs.replace(met, offset_xy=(x, y), frames=met.frames + 1)


def are_switched(track: Track, mine: Candidate, other: Track, its: Candidate) -> bool:
    """Whether each of two masks is the other object's.

    Args:
        track: the object that has met the other one.
        mine: the mask it has now.
        other: the other one.
        its: its mask.
    """
    met = advanced(track.met)
    if met is None or not met.doubted:
        return False
    if min(area_ratio(track, mine.area_px), area_ratio(other, its.area_px)) < _HALF:
        return False
    as_they_are = mean_similarity(track, mine) + mean_similarity(other, its)
    if mean_similarity(track, its) + mean_similarity(other, mine) < as_they_are - _TELLING:
        return False
    boxes = [center_size(box) for box in (mine.box, its.box, track.box)]
    offset = np.subtract(boxes[0][:2], boxes[1][:2])
    far = _FAR * sum(boxes[2][2:]) / 2
    if min(np.hypot(*offset), np.hypot(*met.offset_xy)) < far:
        return False
    return float(offset @ met.offset_xy) < 0


def with_doubt(met: Meeting | None) -> Meeting | None:
    """The same, but from now on it is not sure which is which."""
    return None if met is None else msgspec.structs.replace(met, doubted=True)


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
