"""What was pointed at in one frame, in a later one: clicks and boxes are carried along with what moved since.

Whoever clicks on a live picture sees it some frames late, and the prompt comes into force some frames later still. The
way in between is followed from frame to frame by the optical flow of Lucas and Kanade round each click.
"""

from __future__ import annotations

import itertools
from collections import deque

import cv2
import numpy as np

from streamseg.types import Box

_SIDE_PX = 360
"""About the longer side of the pictures that are kept."""
_KEPT = 90
_MOST_STEPS = 15
_AROUND_PX = (4.0, 10.0, 24.0)
"""So far round a click something to follow is looked for, the nearest first: within a plain thing there is nothing."""
_RING = np.array([(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)])
_FEWEST = 3
_WINDOW = (17, 17)
_LEVELS = 3


class FrameHistory:
    """The last frames of a stream, small and gray."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, np.ndarray]] = deque(maxlen=_KEPT)
        self._factor = 1
        self._size = (0, 0)

    def add(self, index: int, image_rgb: np.ndarray) -> None:
        """Keep a frame.

        Args:
            index: its number in the source.
            image_rgb: (H, W, 3) uint8.
        """
        height, width = image_rgb.shape[:2]
        if (width, height) != self._size:
            self._frames.clear()
            self._size = (width, height)
            self._factor = max(1, round(max(width, height) / _SIDE_PX))
        # Green alone, and few of the pixels: this is done for every frame, and asked for rarely.
        self._frames.append((index, np.ascontiguousarray(image_rgb[:: self._factor, :: self._factor, 1])))

    def carry_points(self, points_xy: list[list[float]], seen: int) -> list[list[float]]:
        """Clicks of an earlier frame in the last one.

        Args:
            points_xy: x, y each, pixels of the frame.
            seen: number of the frame that they were seen in.

        Returns:
            The same, moved; unmoved where that frame is not kept, or nothing there can be followed.
        """
        moved = []
        for x, y in points_xy:
            center = np.array([x, y]) / self._factor
            found = (self._displacement(center + reach * _RING, seen) for reach in _AROUND_PX)
            dx, dy = next((each for each in found if each is not None), (0.0, 0.0))
            moved.append([_within(x + dx, self._size[0]), _within(y + dy, self._size[1])])
        return moved

    def carry_box(self, box: Box, seen: int) -> Box:
        """A box of an earlier frame in the last one, of the same size, as far as that lies in it.

        Args:
            box: x0, y0, x1, y1, pixels of the frame.
            seen: number of the frame that it was seen in.
        """
        x0, y0, x1, y1 = box
        parts = np.linspace(0.2, 0.8, 6)
        inside = np.array([[x0 + (x1 - x0) * u, y0 + (y1 - y0) * v] for u in parts for v in parts]) / self._factor
        dx, dy = self._displacement(inside, seen) or (0.0, 0.0)
        width, height = self._size
        moved = (max(0.0, x0 + dx), max(0.0, y0 + dy), min(float(width), x1 + dx), min(float(height), y1 + dy))
        return moved if moved[2] - moved[0] > 1 and moved[3] - moved[1] > 1 else box

    def _displacement(self, places: np.ndarray, seen: int) -> tuple[float, float] | None:
        """How far most of (K, 2) places of the small pictures have moved, in pixels of the frame; None if none can be
        followed."""
        frames = [frame for index, frame in self._frames if index >= seen]
        if len(frames) < 2 or self._frames[0][0] > seen:
            return None
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MOST_STEPS + 1)).round().astype(int))
        start = at = places.astype(np.float32).reshape(-1, 1, 2)
        good = np.ones(len(at), bool)
        for before, after in itertools.pairwise(chosen):
            moved, status, _ = cv2.calcOpticalFlowPyrLK(
                frames[before], frames[after], at, at.copy(), winSize=_WINDOW, maxLevel=_LEVELS
            )
            at = np.asarray(moved, np.float32)
            good &= np.asarray(status).reshape(-1) == 1
        if good.sum() < _FEWEST:
            return None
        dx, dy = np.median((at - start).reshape(-1, 2)[good], axis=0) * self._factor
        return float(dx), float(dy)


def _within(value: float, size: int) -> float:
    return min(max(0.0, value), size - 1.0)
