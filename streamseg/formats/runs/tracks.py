"""Tracks as arrays: a value for every object in every frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streamseg.formats.shape import Shape


@dataclass(frozen=True, eq=False)
class Tracks:
    """N entries each, in the order of the frames."""

    frame: np.ndarray
    """(N,) int64: number of the frame in the source."""
    pts_s: np.ndarray
    """(N,) float64: presentation time in seconds; NaN if it is not known."""
    id: np.ndarray
    """(N,) int64: of the object."""
    box_xyxy: np.ndarray
    """(N, 4) float64 in pixels, right and bottom edges exclusive; NaN where the mask is empty."""
    area_px: np.ndarray
    """(N,) int64."""
    score: np.ndarray
    """(N,) float64, 0 to 1; NaN if nobody said."""
    state: np.ndarray
    """(N,) text: TRACKED, UNCERTAIN, LOST or REACQUIRED."""
    label: np.ndarray
    """(N,) text."""

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(cls, entries: Iterable[tuple[int, float | None, Shape]]) -> Tracks:
        """The arrays of (frame, time in seconds, object)."""
        nan = float("nan")
        rows = [
            (
                frame,
                nan if pts_s is None else pts_s,
                shape.id,
                shape.box_xyxy or (nan,) * 4,
                shape.area_px,
                nan if shape.score is None else shape.score,
                shape.state,
                shape.label,
            )
            for frame, pts_s, shape in entries
        ]
        columns = list(zip(*rows, strict=True)) or [()] * 8
        return cls(
            np.array(columns[0], np.int64),
            np.array(columns[1], np.float64),
            np.array(columns[2], np.int64),
            np.array(columns[3], np.float64).reshape(-1, 4),
            np.array(columns[4], np.int64),
            np.array(columns[5], np.float64),
            np.array(columns[6], np.str_),
            np.array(columns[7], np.str_),
        )
