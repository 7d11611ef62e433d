"""Clicks and boxes of an earlier frame, carried to a later one along with what moved."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamseg.tracking import FrameHistory

WIDTH, HEIGHT, SIDE = 640, 360, 80
_rng = np.random.default_rng(3)
_GROUND = cv2.GaussianBlur(_rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), (9, 9), 2)
_THING = cv2.GaussianBlur(_rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8), (9, 9), 2)


def corner(index: int) -> tuple[int, int]:
    return 100 + 6 * index, 60 + 3 * index


def scene(index: int) -> np.ndarray:
    """A thing that goes to the right and down, over ground that stands still."""
    image = _GROUND.copy()
    x, y = corner(index)
    image[y : y + SIDE, x : x + SIDE] = _THING
    return image


def history(frames: int) -> FrameHistory:
    found = FrameHistory()
    for index in range(frames):
        found.add(index, scene(index))
    return found


def test_a_click_stays_on_what_moves_and_on_what_does_not() -> None:
    seen, last = 4, 29
    (x0, y0), (x1, y1) = corner(seen), corner(last)
    on_thing, on_ground = history(last + 1).carry_points([[x0 + 30, y0 + 45], [600, 20]], seen)
    assert on_thing == pytest.approx([x1 + 30, y1 + 45], abs=6)
    assert on_ground == pytest.approx([600, 20], abs=2)


def test_a_box_stays_round_what_moves() -> None:
    seen, last = 0, 20
    (x0, y0), (x1, y1) = corner(seen), corner(last)
    box = history(last + 1).carry_box((x0, y0, x0 + SIDE, y0 + SIDE), seen)
    assert box == pytest.approx((x1, y1, x1 + SIDE, y1 + SIDE), abs=6)


def test_nothing_is_moved_that_was_seen_now_or_long_ago_or_not_at_all() -> None:
    frames = history(8)
    for seen in (7, 50):
        assert frames.carry_points([[130.0, 100.0]], seen) == [[130.0, 100.0]]
    for index in range(8, 120):
        frames.add(index, scene(20))
    assert frames.carry_points([[130.0, 100.0]], 2) == [[130.0, 100.0]], "that frame is kept no longer"
    assert FrameHistory().carry_points([], 2) == []


def test_what_leaves_the_frame_is_held_at_its_edge() -> None:
    frames = FrameHistory()
    for index in range(30):
        frames.add(index, np.roll(_GROUND, 12 * index, axis=1))
    ((x, y),) = frames.carry_points([[610.0, 100.0]], 0)
    assert 0 <= x < WIDTH
    assert 0 <= y < HEIGHT
    frames.add(31, np.zeros((64, 64, 3), np.uint8))
    assert frames.carry_points([[10.0, 10.0]], 30) == [[10.0, 10.0]], "a frame of another size says nothing"
