"""Fewer boxes: those between which a straight line says the others, for tools that interpolate."""

from __future__ import annotations

import numpy as np


def visible_runs(frames: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) position in ``frames`` of each stretch of frames that follow one another.

    Args:
        frames: (N,) ascending numbers of the frames in which an object can be seen.
    """
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) != 1)
    firsts = [0, *(breaks + 1).tolist()]
    lasts = [*breaks.tolist(), len(frames) - 1]
    return list(zip(firsts, lasts, strict=True))


def thinned(boxes: np.ndarray, tolerance_px: float) -> list[int]:
    """Positions of boxes between which linear interpolation gives all others.

    Args:
        boxes: (N, 4) of frames that follow one another.
        tolerance_px: how far an edge may be off; 0 leaves out only what is exactly on the line.

    Returns:
        Ascending; the first and the last are always among them.
    """
    kept = [0]
    while kept[-1] < len(boxes) - 1:
        kept.append(_farthest(boxes, kept[-1], tolerance_px + 1e-9))
    return kept


def _farthest(boxes: np.ndarray, begin: int, tolerance: float) -> int:
    """The last box to which a line from one at `begin` can be drawn with all between within the tolerance."""
    best = begin + 1
    low, high = np.full(4, -np.inf), np.full(4, np.inf)
    for at in range(begin + 1, len(boxes)):
        away, steps = boxes[at] - boxes[begin], at - begin
        slope = away / steps
        if ((slope >= low) & (slope <= high)).all():
            best = at
        low = np.maximum(low, (away - tolerance) / steps)
        high = np.minimum(high, (away + tolerance) / steps)
        if (low > high).any():
            break
    return best
