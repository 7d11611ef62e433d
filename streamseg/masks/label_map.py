"""Label maps: the masks of all objects of a frame in one picture.

(H, W) uint16: 0 is background, k is object number k counted from 1. Masks cannot overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.roi import Window
from streamseg.types import Box

MAX_ID = 65535
"""The largest object id a 16-bit PNG can hold."""


class Runs(NamedTuple):
    """The foreground of a label map as horizontal runs, in reading order: N of each, int64."""

    label: np.ndarray
    y: np.ndarray
    x0: np.ndarray
    x1: np.ndarray
    """Exclusive."""


def merge(windows: Sequence[tuple[np.ndarray, Window]], labels: np.ndarray) -> np.ndarray:
    """One label map of the logits of several objects: each pixel goes to the largest logit above 0.

    On a tie the earlier object keeps the pixel.

    Args:
        windows: per object, its logits (h, w) float32 and the window of the frame they belong to, as
            `streamseg.masks.roi.paste_logits` gives them. The first becomes label 1.
        labels: (H, W) uint16, of which everything is overwritten.

    Returns:
        `labels`.
    """
    labels.fill(0)
    best = np.zeros(labels.shape, np.float32) if len(windows) > 1 else None
    for label, (logits, (x0, y0, x1, y1)) in enumerate(windows, start=1):
        here = (slice(y0, y1), slice(x0, x1))
        if best is None:
            labels[here] = logits > 0
            continue
        wins = logits > best[here]
        np.maximum(best[here], logits, out=best[here])
        np.copyto(labels[here], np.uint16(label), where=wins)
    return labels


def around(windows: Sequence[tuple[np.ndarray, Window]]) -> Window | None:
    """The window round those of several objects; None if all are empty."""
    there = [window for logits, window in windows if logits.size]
    if not there:
        return None
    return (
        min(window[0] for window in there),
        min(window[1] for window in there),
        max(window[2] for window in there),
        max(window[3] for window in there),
    )


def runs_of(labels: np.ndarray) -> Runs:
    """The horizontal runs of equal label, background left out. One pass over the rows that have any foreground."""
    # The largest of a row costs a fraction of what its runs do.
    used = np.flatnonzero(labels.max(axis=1, initial=0))
    if len(used) == 0:
        return Runs(*(np.zeros(0, np.int64) for _ in range(4)))
    top = int(used[0])
    rows = labels[top : used[-1] + 1]
    starts_here = np.ones(rows.shape, bool)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=starts_here[:, 1:])
    starts = np.flatnonzero(starts_here)
    label = rows.reshape(-1)[starts].astype(np.int64)
    ends = np.append(starts[1:], rows.size)
    seen = label > 0
    starts, ends = starts[seen], ends[seen]
    width = labels.shape[1]
    y = starts // width
    return Runs(label[seen], y + top, starts - y * width, ends - y * width)


def areas_and_boxes(labels: np.ndarray, n: int, within: Window | None = None) -> list[tuple[int, Box | None]]:
    """Per object its area in pixels and its tight box, None if its mask is empty.

    Args:
        labels: (H, W) uint16.
        n: how many objects there are; the result has n entries, labels above n are ignored.
        within: beyond it there are no masks, as far as is known; None if nothing is.
    """
    left, top_row, right, bottom = within or (0, 0, labels.shape[1], labels.shape[0])
    here = labels[top_row:bottom, left:right]
    if n == 1 and here.size:
        mask = here == 1
        only = box_of_mask(mask)
        moved = only and (only[0] + left, only[1] + top_row, only[2] + left, only[3] + top_row)
        return [(int(np.count_nonzero(mask)), moved)]
    runs = runs_of(here)
    top = int(max(n, runs.label.max(initial=0))) + 1
    areas = np.bincount(runs.label, weights=runs.x1 - runs.x0, minlength=top).astype(np.int64)
    low = np.full((2, top), np.iinfo(np.int64).max)
    high = np.zeros((2, top), np.int64)
    np.minimum.at(low[0], runs.label, runs.x0)
    np.minimum.at(low[1], runs.label, runs.y)
    np.maximum.at(high[0], runs.label, runs.x1)
    np.maximum.at(high[1], runs.label, runs.y + 1)
    found: list[tuple[int, Box | None]] = []
    for k in range(1, n + 1):
        if not areas[k]:
            found.append((0, None))
            continue
        x0, y0, x1, y1 = (float(value) for value in (low[0, k], low[1, k], high[0, k], high[1, k]))
        found.append((int(areas[k]), (x0 + left, y0 + top_row, x1 + left, y1 + top_row)))
    return found
