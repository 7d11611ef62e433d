"""Prediction: a Kalman filter of constant velocity for each object's box, and what it says of the next frame.

The filter's state is center, size and velocity of the box: x, y, width, height, dx, dy, in pixels and pixels a frame.
The noise is in proportion to the box's size, as in DeepSORT (Wojke, Bewley and Paulus 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np

from streamseg.masks.boxes import box_iou, center_size, from_center_size, has
from streamseg.masks.measures import deepest_point
from streamseg.masks.roi import resample_logits, to_frame
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.state import Memory, Motion, Track
from streamseg.types import Box

_STATES, _MEASURED = 6, 4
_POSITION_NOISE = 0.05
"""Standard deviation of a box that is measured, and of how far an object strays in a frame, in mean box sides."""
_VELOCITY_NOISE = 0.025
"""Standard deviation of how much its velocity changes in a frame, in mean box sides a frame."""
_FIRST_VELOCITY = 0.1
"""Standard deviation of the velocity it may have at first."""
_COASTING_DECAY = 0.9
"""What is left of the velocity after a frame in which the object was not seen."""

_TRANSITION = np.eye(_STATES)
_TRANSITION[0, 4] = _TRANSITION[1, 5] = 1.0
_MEASUREMENT = np.eye(_MEASURED, _STATES)


def initial_motion(box: Box) -> Motion:
    """Of an object that was seen once."""
    x, y, width, height = center_size(box)
    side = _mean_side(width, height)
    deviation = np.array([_POSITION_NOISE] * _MEASURED + [_FIRST_VELOCITY] * 2) * side
    return Motion(np.array([x, y, width, height, 0.0, 0.0]).tobytes(), np.diag(deviation**2).tobytes())


def update_motion(motion: Motion, box: Box) -> Motion:
    """A frame later, the object having been measured in a box."""
    width, height = np.frombuffer(motion.mean)[2:4]
    side = _mean_side(float(width), float(height))
    kalman = cv2.KalmanFilter(_STATES, _MEASURED, 0, cv2.CV_64F)
    kalman.transitionMatrix = _TRANSITION
    kalman.measurementMatrix = _MEASUREMENT
    kalman.processNoiseCov = np.diag((np.array([_POSITION_NOISE] * _MEASURED + [_VELOCITY_NOISE] * 2) * side) ** 2)
    kalman.measurementNoiseCov = np.eye(_MEASURED) * (_POSITION_NOISE * side) ** 2
    kalman.statePost = np.frombuffer(motion.mean).reshape(_STATES, 1).copy()
    kalman.errorCovPost = np.frombuffer(motion.spread).reshape(_STATES, _STATES).copy()
    kalman.predict()
    corrected = kalman.correct(np.array(center_size(box)).reshape(_MEASURED, 1))
    return Motion(corrected.tobytes(), kalman.errorCovPost.tobytes())


def coast_motion(motion: Motion, frame_size: tuple[int, int]) -> Motion:
    """A frame later, without a measurement: it goes on, ever more slowly, and waits at the edge of the frame.

    Args:
        motion: before.
        frame_size: (H, W).
    """
    values = np.frombuffer(motion.mean).copy()
    values[:2] = np.clip(values[:2] + values[4:], 0, (frame_size[1], frame_size[0]))
    values[4:] *= _COASTING_DECAY
    return Motion(values.tobytes(), motion.spread)


def _mean_side(width: float, height: float) -> float:
    return max(1.0, (width + height) / 2)


def predict_box(track: Track, options: TrackingOptions, frames: int = 1) -> Box:
    """Where the object should be in the next frame, by part of its velocity so far; in so many frames, if it is seen.

    Of frames before the last all of the velocity counts: then a box is what that of the next frame will be, a frame on.
    """
    if track.motion is None:
        return track.box
    if track.unseen:
        return from_center_size(*track.motion.center, *usual_size(track))
    x0, y0, x1, y1 = track.box
    dx, dy = (velocity * (frames - 1 + options.motion) for velocity in track.motion.velocity)
    return (x0 + dx, y0 + dy, x1 + dx, y1 + dy)


def usual_size(track: Track) -> tuple[float, float]:
    """(width, height) in pixels of the object as it mostly is: it may have been half hidden when it was lost."""
    return track.usual_size or center_size(track.box)[2:]


def box_around_clicks(track: Track, clicks: Sequence[Sequence[float]] | np.ndarray, options: TrackingOptions) -> Box:
    """The predicted box, widened so that clicks (x, y) lie in it."""
    x0, y0, x1, y1 = predict_box(track, options)
    xs, ys = [float(x) for x, _ in clicks], [float(y) for _, y in clicks]
    return (min([x0, *xs]), min([y0, *ys]), max([x1, *xs]), max([y1, *ys]))


def predict_point(track: Track, options: TrackingOptions) -> np.ndarray | None:
    """(1, 2) frame pixels: the point furthest inside the last mask, where it is expected now."""
    if track.memory is None:
        return None
    inner_xy = _deepest(track.memory)
    moved = _moved(track.memory.region, predict_box(track, options), track.box)
    return to_frame(np.array([inner_xy]), moved, track.memory.side)


@lru_cache(maxsize=256)
def _deepest(memory: Memory) -> tuple[float, float]:
    """The point furthest inside a mask: it is a prompt of its own object and of those that it meets."""
    return deepest_point(memory.logits > 0)


def background_points(
    track: Track, tracks: Sequence[Track], boxes: Mapping[int, Box], region: Box, options: TrackingOptions
) -> np.ndarray:
    """(K, 2) frame pixels: points well inside the other objects whose boxes meet an object's, the nearest first.

    Args:
        track: the object.
        tracks: all of them.
        boxes: by id, where each should be now (`predict_box`).
        region: the points have to lie in it.
        options: of the tracker.
    """
    mine = boxes[track.id]
    near: list[tuple[float, np.ndarray]] = []
    for other in tracks:
        if other.id == track.id or other.state == "LOST" or box_iou(boxes[other.id], mine) == 0:
            continue
        point = predict_point(other, options)
        if point is not None and has(region, point):
            near.append((float(np.hypot(*(point[0] - center_size(mine)[:2]))), point))
    near.sort(key=lambda entry: entry[0])
    return np.concatenate([np.zeros((0, 2)), *(point for _, point in near[: options.other_points])])


def predict_logits(track: Track, square: Box, mask_side: int, options: TrackingOptions) -> np.ndarray | None:
    """The last mask's logits where the object is expected now.

    Args:
        track: the object.
        square: what the result covers, frame pixels.
        mask_side: of the result.
        options: of the tracker.

    Returns:
        (mask_side, mask_side) float32; None if there is no last mask.
    """
    if track.memory is None:
        return None
    moved = _moved(track.memory.region, predict_box(track, options), track.box)
    return resample_logits(track.memory.logits, moved, square, mask_side)


def _moved(region: Box, to: Box, origin: Box) -> Box:
    dx, dy = to[0] - origin[0], to[1] - origin[1]
    return (region[0] + dx, region[1] + dy, region[2] + dx, region[3] + dy)
