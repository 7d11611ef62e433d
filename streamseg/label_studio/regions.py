"""What people have drawn in Label Studio, as prompts of streamseg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamseg.errors import PromptError, UsageError

Regions = Sequence[Mapping[str, Any]]

_BOXES = ("rectangle", "rectanglelabels")
_POINTS = ("keypoint", "keypointlabels")


@dataclass(frozen=True)
class Drawn:
    """An object that was pointed at in a picture, in its pixels."""

    name: str
    """Of the region."""
    label: str
    box_xyxy: tuple[float, float, float, float] | None
    points_xy: np.ndarray
    """(N, 2)."""
    point_labels: np.ndarray
    """(N,): 1 on the object, 0 not on it."""


@dataclass(frozen=True)
class Track:
    """A rectangle in a video."""

    name: str
    label: str
    frames_count: int
    boxes: dict[int, tuple[float, float, float, float]]
    """Frame as Label Studio counts, but from 0 -> x0, y0, x1, y1 as shares of the frame's width and height."""
    keys: Sequence[Mapping[str, Any]]
    """All keyframes as they came, also those from which on it is off."""


def drawn_in(regions: Regions, size: tuple[int, int]) -> list[Drawn]:
    """The objects that boxes and clicks point at in a picture of `size` (height, width).

    Clicks make up one object, with a box or without; several boxes without clicks are an object each. A click that is
    not positive is on what is not the object.

    Raises:
        PromptError: clicks could belong to several boxes, or are all on what is not the object; a rectangle is turned.
    """
    height, width = size
    boxes = [each for each in regions if each.get("type") in _BOXES]
    points = [each for each in regions if each.get("type") in _POINTS]
    if len(boxes) > 1 and points:
        raise PromptError(f"clicks beside {len(boxes)} boxes could belong to any of them; draw one after the other")
    if any(_number(_value(each), "rotation", 0.0) for each in boxes):
        raise PromptError("expected upright rectangles, got one that is turned; draw it upright")
    found = [(_number(_value(each), "x") * width / 100, _number(_value(each), "y") * height / 100) for each in points]
    # Which is a bool in some versions, and a number in others.
    labels = [int(bool(each.get("is_positive", True))) for each in points]
    if points and not boxes and not any(labels):
        raise PromptError("expected a click on the object, got only clicks on what is not it")
    xy, kinds = np.array(found, float).reshape(-1, 2), np.array(labels, np.int64)
    if not boxes:
        return [Drawn(_name(points[0], 1), _label(points[0]), None, xy, kinds)] if points else []
    corners = [_corners(_value(each)) for each in boxes]
    return [
        Drawn(_name(each, number), _label(each), (x0 * width, y0 * height, x1 * width, y1 * height), xy, kinds)
        for number, (each, (x0, y0, x1, y1)) in enumerate(zip(boxes, corners, strict=True), 1)
    ]


def tracks_in(regions: Regions) -> list[Track]:
    """The rectangles in a video, with the boxes of their keyframes.

    Raises:
        UsageError: one is damaged.
    """
    found = []
    for number, each in enumerate((each for each in regions if each.get("type") == "videorectangle"), 1):
        value = _value(each)
        keys = value.get("sequence")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise UsageError(f"expected keyframes in the rectangle {_name(each, number)!r}, got {type(keys).__name__}")
        frames = [int(_number(key, "frame")) - 1 for key in keys]
        boxes = {at: _corners(key) for at, key in zip(frames, keys, strict=True) if key.get("enabled", True)}
        if any(frame < 0 for frame in frames):
            raise UsageError(f"expected frames counted from 1 in the rectangle {_name(each, number)!r}")
        if boxes:
            count = int(_number(value, "framesCount", 0.0))
            found.append(Track(_name(each, number), _label(each), count, boxes, keys))
    return found


def _corners(value: Mapping[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = (_number(value, name) / 100 for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def _value(region: Mapping[str, Any]) -> Mapping[str, Any]:
    found = region.get("value")
    if not isinstance(found, dict):
        raise UsageError(f"expected a value in each region, got {type(found).__name__}")
    return found


def _number(value: Mapping[str, Any], name: str, otherwise: float | None = None) -> float:
    found = value.get(name, otherwise)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not abs(found) < 1e9:
        raise UsageError(f"expected a number for {name!r} of a region, got {found!r}")
    return float(found)


def _name(region: Mapping[str, Any], number: int) -> str:
    return str(region.get("id") or f"object-{number}")


def _label(region: Mapping[str, Any]) -> str:
    value = _value(region)
    for key in ("labels", "rectanglelabels", "keypointlabels", "brushlabels"):
        if isinstance(given := value.get(key), list) and given:
            return str(given[0])
    return ""
