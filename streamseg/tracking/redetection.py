"""Re-detection: where a lost object may be, in a view by features and colors, in a frame by colors alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from streamseg.masks.boxes import center_size
from streamseg.masks.roi import Window
from streamseg.tracking.appearance import Appearance, FrameColors
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.state import Track
from streamseg.types import Box

_SIZES = (0.7, 1.0, 1.4)
"""An object is searched in these multiples of its usual size."""
_LEAST_RING = 1e-3
_INNER = 0.5
"""What likeness itself counts for, beside its contrast to what is around."""


def in_turn(tracks: Sequence[Track], frames: int, options: TrackingOptions) -> set[int]:
    """Which of the lost objects are looked for in the next frame.

    Args:
        tracks: all of them, after a frame.
        frames: how many were followed by then.
        options: of the tracker.
    """
    lost = [track.id for track in tracks if track.state == "LOST"]
    count = options.search_objects
    if len(lost) <= count:
        return set(lost)
    # A turn has as many frames as there are from one view of the whole frame to the next.
    start = frames // options.search_every * count
    return {lost[(start + k) % len(lost)] for k in range(count)}


def search_view(
    features: np.ndarray,
    square: Box,
    region: Box,
    appearance: Appearance,
    size: tuple[float, float],
    colors: FrameColors,
    options: TrackingOptions,
) -> list[Box]:
    """The places in a view that look most like an object, frame pixels.

    Args:
        features: (C, n, n) over `square`.
        square: what the features cover, frame pixels.
        region: the part of it that is picture, not padding.
        appearance: of the object.
        size: its usual (width, height), pixels.
        colors: of the frame.
        options: of the tracker.
    """
    cells = features.shape[1]
    x0, y0, x1, y1 = square
    wide, high = (x1 - x0) / cells, (y1 - y0) / cells
    columns = min(cells, math.ceil((region[2] - x0) / wide))
    rows = min(cells, math.ceil((region[3] - y0) / high))
    similarity = similarity_map(features[:, :rows, :columns], appearance)
    similarity *= colors.cell_means(colors.back_project(appearance.color_vector), square, cells)[:rows, :columns]
    places = likely_places(similarity, (size[0] / wide, size[1] / high), count=options.search_places)
    return [
        (x0 + left * wide, y0 + top * high, x0 + right * wide, y0 + bottom * high)
        for (left, top, right, bottom), contrast in places
        if contrast >= options.place_contrast
    ]


def search_frame(
    appearance: Appearance,
    size: tuple[float, float],
    colors: FrameColors,
    within: Box | None,
    others: Iterable[tuple[np.ndarray, Window, np.ndarray]],
    options: TrackingOptions,
) -> Box | None:
    """Where in the whole frame the colors are most like an object's; None if nowhere clearly.

    Args:
        appearance: of the object.
        size: its usual (width, height), pixels.
        colors: of the frame.
        within: where its center can be; anywhere if None.
        others: logits and windows of the objects that were found in it, and which colors under them are theirs,
            (216,) bool: their masks may have grown over the object.
        options: of the tracker.
    """
    likelihood, step = colors.back_project(appearance.color_vector), colors.step
    free = np.ones_like(likelihood)
    for logits, (x0, y0, _, _), theirs in others:
        above, before = -y0 % step, -x0 % step
        inside = logits[above::step, before::step] > 0
        place = slice((y0 + above) // step, None), slice((x0 + before) // step, None)
        part = free[place][: inside.shape[0], : inside.shape[1]]
        rows, columns = part.shape
        part[inside[:rows, :columns] & theirs[colors.bins[place][:rows, :columns]]] = 0
    likelihood *= free
    centers = None if within is None else (within[0] / step, within[1] / step, within[2] / step, within[3] / step)
    places = likely_places(likelihood, (size[0] / step, size[1] / step), free=free, centers=centers)
    if not places or places[0][1] < options.glance_contrast:
        return None
    left, top, right, bottom = (edge * step for edge in _tight_box(likelihood, places[0][0]))
    return (left, top, right, bottom)


def _tight_box(likelihood: np.ndarray, window: Box) -> Box:
    """The box of what is like the object in a window and around it, if that is one thing of about that size."""
    x0, y0, x1, y1 = (int(edge) for edge in window)
    wide, high = x1 - x0, y1 - y0
    left, top = max(0, x0 - wide // 2), max(0, y0 - high // 2)
    around = likelihood[top : y1 + high // 2, left : x1 + wide // 2]
    like = around > likelihood[y0:y1, x0:x1].mean() / 2
    if not like.any():
        return window
    _, _, stats, _ = cv2.connectedComponentsWithStats(like.view(np.uint8), connectivity=8)
    x, y, columns, rows, _ = max(stats[1:].tolist(), key=lambda part: part[cv2.CC_STAT_AREA])
    if not (wide / 2 <= columns <= 1.9 * wide and high / 2 <= rows <= 1.9 * high):
        return window
    return (float(left + x), float(top + y), float(left + x + columns), float(top + y + rows))


def similarity_map(features: np.ndarray, appearance: Appearance) -> np.ndarray:
    """(h, w) float32, 0 to 1: the cosine of each cell of features (C, h, w) with an object's, where it is positive."""
    seen = features.astype(np.float32, copy=False)
    lengths = np.linalg.norm(seen, axis=0)
    cosines = np.tensordot(appearance.feature_vector, seen, 1) / np.maximum(lengths, 1e-6)
    return np.asarray(np.maximum(cosines, 0))


def likely_places(
    similarity: np.ndarray,
    size: tuple[float, float],
    *,
    count: int = 1,
    free: np.ndarray | None = None,
    centers: Box | None = None,
) -> list[tuple[Box, float]]:
    """Where an object of a size most likely is.

    Args:
        similarity: (h, w) float32, how similar to the object each cell is.
        size: its usual (width, height) in cells.
        count: how many places.
        free: (h, w) float32, 0 for cells that are known to be something else, of which `similarity` is 0, else 1.
        centers: where the center of a place may be, in cells; anywhere if None.

    Returns:
        The best boxes in cells, the center of none in another, and how much more like the object each is than its
        surroundings (difference of means); none if no box of a plausible size fits in.
    """
    sizes = [(round(size[0] * scale), round(size[1] * scale)) for scale in _SIZES]
    found = [place for wide, high in sizes for place in _best_windows(similarity, wide, high, count, free, centers)]
    chosen: list[tuple[Box, float]] = []
    for _, box, contrast in sorted(found, key=lambda place: -place[0]):
        if len(chosen) < count and not any(_overlap(box, other) for other, _ in chosen):
            chosen.append((box, contrast))
    return chosen


def overlaps_any(box: Box, others: Sequence[Box]) -> bool:
    """Whether a box has the center of one of the others in it, or the other way round."""
    return any(_overlap(box, other) for other in others)


def _overlap(first: Box, second: Box) -> bool:
    """Whether the center of one lies in the other."""
    (x, y, _, _), (u, v, _, _) = center_size(first), center_size(second)
    return (first[0] < u < first[2] and first[1] < v < first[3]) or (
        second[0] < x < second[2] and second[1] < y < second[3]
    )


def _best_windows(
    similarity: np.ndarray, width: int, height: int, count: int, free: np.ndarray | None, centers: Box | None
) -> list[tuple[float, Box, float]]:
    """Windows of that size: value, box, and contrast of their mean with that of a ring as wide as half the window."""
    rows, columns = similarity.shape
    width, height = max(1, width), max(1, height)
    if width > columns or height > rows:
        return []
    inner = _window_means(similarity, width, height)
    dx, dy = max(1, width // 2), max(1, height // 2)
    inner_share = width * height / ((width + 2 * dx) * (height + 2 * dy))
    ring = _around(similarity, width, height, dx, dy) - inner_share * inner
    if free is None:
        contrast = inner - ring / (1 - inner_share)
    else:
        seen = _around(free, width, height, dx, dy) - inner_share * _window_means(free, width, height)
        contrast = inner - ring / np.maximum(seen, _LEAST_RING)
    value = contrast + _INNER * inner
    if centers is not None:
        x, y = np.arange(value.shape[1]) + width / 2, np.arange(value.shape[0]) + height / 2
        value[(y < centers[1]) | (y > centers[3])] = -np.inf
        value[:, (x < centers[0]) | (x > centers[2])] = -np.inf
    found = []
    for _ in range(count):
        top, left = (int(k) for k in np.unravel_index(int(value.argmax()), value.shape))
        if not np.isfinite(value[top, left]):
            break
        box = (float(left), float(top), float(left + width), float(top + height))
        found.append((float(value[top, left]), box, float(contrast[top, left])))
        rows_near, columns_near = (
            slice(max(0, k - half), k + half + 1) for k, half in ((top, height // 2), (left, width // 2))
        )
        value[rows_near, columns_near] = -np.inf
    return found


def _around(values: np.ndarray, width: int, height: int, dx: int, dy: int) -> np.ndarray:
    """Means of windows with what is around them, the borders mirrored."""
    wider = cv2.copyMakeBorder(values, dy, dy, dx, dx, cv2.BORDER_REFLECT_101)
    return _window_means(wider, width + 2 * dx, height + 2 * dy)


def _window_means(values: np.ndarray, width: int, height: int) -> np.ndarray:
    sums = cv2.integral(values.astype(np.float32))
    total = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return np.asarray(total / (width * height))
