"""How an object's box moves: a Kalman filter of constant speed, whose state is a value.

The state is middle, size and speed of the box: x, y, width, height, dx, dy, in pixels and pixels a frame. The noise is
in proportion to the box's size, as in DeepSORT (Wojke, Bewley and Paulus 2017).
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np

from streamseg.masks.boxes import center_size
from streamseg.types import Box

_STATES, _SEEN = 6, 4
_PLACE_NOISE = 0.05
"""Standard deviation of a box that is measured, and of how far an object strays in a frame, in mean box sides."""
_SPEED_NOISE = 0.025
"""Standard deviation of how much its speed changes in a frame, in mean box sides a frame."""
_FIRST_SPEED = 0.1
"""Standard deviation of the speed it may have at first."""
_FADES = 0.9
"""What is left of the speed after a frame in which the object was not seen."""

_STEP = np.eye(_STATES)
_STEP[0, 4] = _STEP[1, 5] = 1.0
_LOOK = np.eye(_SEEN, _STATES)


class Motion(msgspec.Struct, frozen=True):
    """The filter between two frames, after the last one."""

    mean: bytes
    """(6,) float64."""
    spread: bytes
    """(6, 6) float64: the covariance."""

    @property
    def middle(self) -> tuple[float, float]:
        """Of the box, pixels."""
        values = np.frombuffer(self.mean)
        return (float(values[0]), float(values[1]))

    @property
    def velocity(self) -> tuple[float, float]:
        """Of the box's middle, pixels a frame."""
        values = np.frombuffer(self.mean)
        return (float(values[4]), float(values[5]))


def standing(box: Box) -> Motion:
    """Of an object that was seen once."""
    x, y, width, height = center_size(box)
    side = _side(width, height)
    deviation = np.array([_PLACE_NOISE] * _SEEN + [_FIRST_SPEED] * 2) * side
    return Motion(np.array([x, y, width, height, 0.0, 0.0]).tobytes(), np.diag(deviation**2).tobytes())


def seen(motion: Motion, box: Box) -> Motion:
    """A frame later, the object having been seen in a box."""
    width, height = np.frombuffer(motion.mean)[2:4]
    side = _side(float(width), float(height))
    kalman = cv2.KalmanFilter(_STATES, _SEEN, 0, cv2.CV_64F)
    kalman.transitionMatrix = _STEP
    kalman.measurementMatrix = _LOOK
    kalman.processNoiseCov = np.diag((np.array([_PLACE_NOISE] * _SEEN + [_SPEED_NOISE] * 2) * side) ** 2)
    kalman.measurementNoiseCov = np.eye(_SEEN) * (_PLACE_NOISE * side) ** 2
    kalman.statePost = np.frombuffer(motion.mean).reshape(_STATES, 1).copy()
    kalman.errorCovPost = np.frombuffer(motion.spread).reshape(_STATES, _STATES).copy()
    kalman.predict()
    found = kalman.correct(np.array(center_size(box)).reshape(_SEEN, 1))
    return Motion(found.tobytes(), kalman.errorCovPost.tobytes())


def unseen(motion: Motion, frame_size: tuple[int, int]) -> Motion:
    """A frame later, the object not having been seen: it goes on, ever more slowly, and waits at the edge of the frame.

    Args:
        motion: before.
        frame_size: (H, W).
    """
    values = np.frombuffer(motion.mean).copy()
    values[:2] = np.clip(values[:2] + values[4:], 0, (frame_size[1], frame_size[0]))
    values[4:] *= _FADES
    return Motion(values.tobytes(), motion.spread)


def _side(width: float, height: float) -> float:
    return max(1.0, (width + height) / 2)
