"""Taking crumbs and pinholes out of masks.

A model's mask has specks beside the object and pinholes in it. Here each object of a label map is cleaned inside
its own box, and never at the cost of another: only background is ever given to an object.

Pixels of an object that touch at a corner belong together (8-connectivity), so the holes between them are
4-connected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np

from streamseg.errors import UsageError
from streamseg.masks.label_map import areas_and_boxes
from streamseg.structs import Option


class CleanupRules(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as dirt. None leaves a step out.

    Fractions are of the object's own area. Where both a limit in pixels and a fraction are given, the larger holds.
    """

    keep: Annotated[
        Literal["largest", "all"],
        Option("of the parts large enough only the largest, or all: an object behind a pole has two", flag="--keep"),
    ] = "all"
    min_area_px: Annotated[
        int | None, Option("drop parts smaller than this", flag="--min-area-px", metavar="N", rare=True)
    ] = None
    min_area_fraction: Annotated[float | None, Option("drop parts smaller than this share of the object")] = 0.02
    fill_holes_px: Annotated[
        int | None,
        Option(
            "fill holes up to this area; whatever lies inside a hole counts as part of it",
            flag="--fill-holes-px",
            metavar="N",
            rare=True,
        ),
    ] = None
    fill_holes_fraction: Annotated[float | None, Option("fill holes up to this share of the object")] = 0.01
    open_radius_px: Annotated[int | None, Option("opening: take off what is thinner than twice this")] = None
    close_radius_px: Annotated[int | None, Option("closing: bridge gaps narrower than twice this")] = None
    smooth_radius_px: Annotated[
        int | None,
        Option(
            "majority vote in a square of this radius: rounds off a ragged outline",
            flag="--smooth-radius-px",
            metavar="N",
            rare=True,
        ),
    ] = None
    grow_radius_px: Annotated[
        int | None,
        Option(
            "in the end, widen each object by so many pixels of background, say to blur it out",
            flag="--grow-radius-px",
            metavar="N",
            rare=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.keep not in ("largest", "all"):
            raise UsageError(f"cleanup: keep is 'largest' or 'all', got {self.keep!r}")
        for name in (name for name in self.__struct_fields__ if name.endswith("_fraction")):
            fraction = getattr(self, name)
            if fraction is not None and not 0 <= fraction <= 1:
                raise UsageError(f"cleanup: {name} is from 0 to 1 (a share of the object), got {fraction}")
        for name in (name for name in self.__struct_fields__ if name.endswith("_px")):
            pixels = getattr(self, name)
            if pixels is not None and pixels < 0:
                raise UsageError(f"cleanup: {name} is a number of pixels from 0, got {pixels}")


DEFAULT_RULES = CleanupRules()


def clean(labels: np.ndarray, n: int, rules: CleanupRules = DEFAULT_RULES) -> np.ndarray:
    """The label map with each object's mask cleaned, as a new array; a mask of nothing but dirt ends up empty.

    First all objects lose their dirt, then all are filled, so the result depends little on their order. With the
    default rules, cleaning what is clean changes nothing.

    Args:
        labels: (H, W) uint16; not changed.
        n: number of objects.
        rules: what counts as dirt.
    """
    cleaned = labels.copy()
    found = [(k, area_px, box) for k, (area_px, box) in enumerate(areas_and_boxes(labels, n), start=1)]
    # Smoothing, opening and closing with symmetric shapes stay within an object's box, and so do its holes.
    windows = [
        (k, area_px, cleaned[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])])
        for k, area_px, box in found
        if box is not None
    ]
    for k, area_px, window in windows:
        _remove_dirt(window, k, area_px, rules)
    for k, area_px, window in windows:
        _fill(window, k, area_px, rules)
    if rules.grow_radius_px and cleaned.any():
        _grow(cleaned, rules.grow_radius_px)
    return cleaned


def _remove_dirt(window: np.ndarray, k: int, area_px: int, rules: CleanupRules) -> None:
    mask = (window == k).view(np.uint8)
    wanted = mask
    if rules.smooth_radius_px:
        wanted = _padded(wanted, rules.smooth_radius_px, _majority) & ((window == 0) | (window == k))
    if rules.open_radius_px:
        wanted = _padded(wanted, rules.open_radius_px, _opened)
    smallest_px = _limit(rules.min_area_px, rules.min_area_fraction, area_px)
    wanted = _without_small_parts(wanted, smallest_px, only_largest=rules.keep == "largest")
    if wanted is not mask:
        np.copyto(window, 0, where=(mask > wanted))
        np.copyto(window, np.uint16(k), where=(wanted > mask))


def _fill(window: np.ndarray, k: int, area_px: int, rules: CleanupRules) -> None:
    mask = (window == k).view(np.uint8)
    if rules.close_radius_px:
        mask = _padded(mask, rules.close_radius_px, _closed) & ((window == 0) | (window == k))
        np.copyto(window, np.uint16(k), where=mask.view(bool))
    largest_px = _limit(rules.fill_holes_px, rules.fill_holes_fraction, area_px)
    if largest_px < 1:
        return
    contours, parents = _contours(mask)
    for contour, parent in zip(contours, parents, strict=True):
        if parent < 0 or _hole_area(contour) > largest_px:
            continue
        x, y, width, height = cv2.boundingRect(contour)
        inside = np.zeros((height, width), np.uint8)
        cv2.drawContours(inside, [contour], 0, (1,), cv2.FILLED, offset=(-x, -y))
        here = window[y : y + height, x : x + width]
        here[(inside > 0) & (here == 0)] = k


def _grow(labels: np.ndarray, radius_px: int) -> None:
    """Give background to the nearest object, if that is within the radius."""
    free = labels == 0
    distances_px, nearest = cv2.distanceTransformWithLabels(
        free.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owners = np.zeros(int(nearest.max()) + 1, np.uint16)
    owners[nearest[~free]] = labels[~free]
    near = free & (distances_px <= radius_px)
    labels[near] = owners[nearest[near]]


def _without_small_parts(mask: np.ndarray, smallest_px: float, *, only_largest: bool) -> np.ndarray:
    """The very same array if there is nothing to take away, else a new one."""
    contours, parents = _contours(mask)
    outlines: list[int] = np.flatnonzero(parents < 0).tolist()
    if len(outlines) == 0 or (len(outlines) == 1 and smallest_px <= 1):
        return mask
    areas = np.zeros(len(contours))
    for position, (contour, parent) in enumerate(zip(contours, parents, strict=True)):
        if parent < 0:
            areas[position] += _filled_area(contour)
        else:
            areas[parent] -= _hole_area(contour)
    largest = max(outlines, key=areas.__getitem__)
    kept = mask
    for position in outlines:
        if areas[position] >= smallest_px and (position == largest or not only_largest):
            continue
        if kept is mask:
            kept = mask.copy()
        x, y, width, height = cv2.boundingRect(contours[position])
        start_x, start_y = contours[position][0, 0].tolist()
        part = kept[y : y + height, x : x + width]
        cv2.floodFill(part, None, (start_x - x, start_y - y), (0,), flags=8)
    return kept


def _contours(mask: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The outlines of the parts of a mask and of their holes; per outline its parent, -1 if it is a part's own.

    Following outlines takes a fortieth of the time of labeling every pixel.
    """
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return list(contours), hierarchy[0, :, 3] if len(contours) else np.zeros(0, np.int32)


def _filled_area(contour: np.ndarray) -> float:
    """Pixels within an outline and on it (Pick's theorem; an outline goes twice along a part one pixel thin)."""
    if len(contour) == 1:
        return 1.0
    return float(cv2.contourArea(contour)) + len(contour) / 2 + 1


def _hole_area(contour: np.ndarray) -> float:
    """Pixels within a hole's outline, which runs on the pixels round it (Pick's theorem)."""
    return float(cv2.contourArea(contour)) - len(contour) / 2 + 1


def _limit(pixels: int | None, fraction: float | None, area_px: int) -> float:
    return max(pixels or 0, (fraction or 0) * area_px)


def _padded(mask: np.ndarray, radius_px: int, operation: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """The operation on the mask as if nothing but background lay outside, same shape."""
    pad = 2 * radius_px + 1
    padded = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    return np.ascontiguousarray(operation(padded, radius_px)[pad:-pad, pad:-pad])


def _majority(mask: np.ndarray, radius_px: int) -> np.ndarray:
    side = 2 * radius_px + 1
    votes = cv2.boxFilter(mask, cv2.CV_32F, (side, side), normalize=False)
    return (votes * 2 > side * side).view(np.uint8)


def _opened(mask: np.ndarray, radius_px: int) -> np.ndarray:
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disk(radius_px))


def _closed(mask: np.ndarray, radius_px: int) -> np.ndarray:
    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disk(radius_px))


def _disk(radius_px: int) -> np.ndarray:
    side = 2 * radius_px + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
