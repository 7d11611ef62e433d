"""The Kalman filter of a box, and what it says of the next frame, by hand."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import coast_motion, initial_motion, predict_box, predict_logits, update_motion
from streamseg.tracking.state import Memory, Motion, Track
from streamseg.types import Box

FRAME_SIZE = (200, 300)


def moved(box: Box, dx: float, dy: float) -> Box:
    return (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy)


def moving(box: Box, velocity: tuple[float, float], frames: int = 12) -> tuple[Motion, Box]:
    """The filter after so many frames, and the last box."""
    motion = initial_motion(box)
    for _ in range(frames):
        box = moved(box, *velocity)
        motion = update_motion(motion, box)
    return motion, box


def test_a_constant_velocity_is_learned() -> None:
    motion, box = moving((10.0, 20.0, 50.0, 60.0), (5.0, -1.0))
    assert motion.velocity == pytest.approx((5, -1), abs=0.2)
    assert motion.center == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=1)


def test_an_object_that_is_not_seen_coasts_ever_more_slowly_and_waits_at_the_edge() -> None:
    motion, _ = moving((80.0, 20.0, 120.0, 60.0), (12.0, 0.0))
    xs, speeds = [], []
    for _ in range(30):
        motion = coast_motion(motion, FRAME_SIZE)
        xs.append(motion.center[0])
        speeds.append(motion.velocity[0])
    assert xs[1] > xs[0]
    assert xs[-1] == FRAME_SIZE[1]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] < 1


def test_two_frames_on_is_where_the_next_frame_will_say_that_it_is_one_on() -> None:
    motion, box = moving((10.0, 20.0, 50.0, 60.0), (8.0, 2.0), frames=30)
    track = Track(id=1, label="", state="TRACKED", reason="", score=1.0, box=box, area_px=1600.0, motion=motion)
    a_frame_later = moved(box, 8, 2)
    later = msgspec.structs.replace(track, box=a_frame_later, motion=update_motion(motion, a_frame_later))
    for share in (0.5, 1.0):
        options = TrackingOptions(motion=share)
        assert predict_box(track, options, frames=2) == pytest.approx(predict_box(later, options), abs=0.2)


def test_the_last_mask_is_moved_with_the_predicted_box() -> None:
    motion, box = moving((10.0, 20.0, 50.0, 60.0), (8.0, 0.0))
    square = (box[0] - 12, box[1] - 12, box[2] + 12, box[3] + 12)
    logits = np.full((64, 64), -6.0, np.float32)
    logits[12:52, 12:52] = 6
    track = Track(
        id=1,
        label="",
        state="TRACKED",
        reason="",
        score=1.0,
        box=box,
        area_px=1600.0,
        motion=motion,
        memory=Memory.of(logits, square),
    )
    options = TrackingOptions(motion=1.0)
    x0, y0, x1, y1 = predict_box(track, options)
    assert (x0, y0, x1, y1) == pytest.approx(moved(box, 8, 0), abs=0.5)
    there = predict_logits(track, moved(square, x0 - box[0], y0 - box[1]), 64, options)
    assert there is not None
    np.testing.assert_array_equal(there > 0, logits > 0)
    still = predict_logits(track, square, 64, TrackingOptions(motion=0.0))
    assert still is not None
    np.testing.assert_array_equal(still > 0, logits > 0)
