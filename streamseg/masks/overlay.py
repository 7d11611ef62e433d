"""Showing masks on the picture: a translucent color, an outline and a tag for each object."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from streamseg.masks.label_map import areas_and_boxes
from streamseg.types import Box

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAD_PX = 3
_MIN_TAGGED_PX = 20
"""A tag on an object smaller than this would hide it."""

Color = tuple[int, int, int]


@cache
def color_of(object_id: int) -> Color:
    """The RGB color of an object id: always the same, bright, far from those of the neighboring ids.

    Hues go round by the golden angle, which spreads any number of successive ids evenly; lightness and saturation
    alternate so that hues that come close differ in these.
    """
    hue = (0.58 + object_id * 0.6180339887498949) % 1.0
    lightness = (0.55, 0.70, 0.45)[object_id % 3]
    saturation = (0.95, 0.75)[object_id // 3 % 2]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw(
    image_rgb: np.ndarray,
    labels: np.ndarray,
    ids: Sequence[int],
    names: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    alpha: float = 0.5,
) -> np.ndarray:
    """The picture with every object in the color of its id, outlined, tagged "id name state" where there is room.

    Objects whose state is LOST are listed in the lower left corner.

    Args:
        image_rgb: (H, W, 3) uint8; not changed.
        labels: (H, W) uint16, k being the mask of ``ids[k - 1]``.
        ids: object ids, in label order.
        names: one an object; "" for none.
        states: one an object.
        alpha: how much of the color covers the picture, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    drawn = image_rgb.copy()
    tags: list[tuple[str, Color, Box]] = []
    lost: list[tuple[str, Color]] = []
    for position, (object_id, (_, box)) in enumerate(zip(ids, areas_and_boxes(labels, len(ids)), strict=True)):
        color = color_of(object_id)
        name = names[position] if names else ""
        state = states[position] if states else ""
        text = " ".join(part for part in (str(object_id), name, state) if part)
        if state == "LOST":
            lost.append((text, color))
        if box is not None:
            x0, y0, x1, y1 = (int(edge) for edge in box)
            _tint(drawn[y0:y1, x0:x1], (labels[y0:y1, x0:x1] == position + 1).view(np.uint8), color, alpha)
            tags.append((text, color, box))
    _draw_tags(drawn, tags)
    _draw_list(drawn, lost)
    return drawn


def _tint(window_rgb: np.ndarray, mask: np.ndarray, color: Color, alpha: float) -> None:
    # A table of 256 entries a channel blends faster than arithmetic on every pixel.
    levels = np.arange(256)[:, None] * (1 - alpha) + np.array(color) * alpha
    blended = cv2.LUT(window_rgb, np.rint(levels).astype(np.uint8)[None])
    cv2.copyTo(blended, mask, window_rgb)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(window_rgb, contours, -1, color, 2)


def _draw_tags(drawn: np.ndarray, tags: Sequence[tuple[str, Color, Box]]) -> None:
    height, width = drawn.shape[:2]
    taken: list[tuple[int, int, int, int]] = []
    for text, color, box in tags:
        if min(box[2] - box[0], box[3] - box[1]) < _MIN_TAGGED_PX:
            continue
        tag_width, tag_height, _ = _text_size(text, _text_scale(height))
        x = min(max(0, int(box[0])), width - tag_width)
        y = int(box[1]) - tag_height if box[1] >= tag_height else int(box[1])
        place = (x, y, x + tag_width, y + tag_height)
        fits = place[0] >= 0 and place[3] <= height
        if fits and not any(_overlap(place, other) for other in taken):
            _draw_text(drawn, text, x, y, color)
            taken.append(place)


def _draw_list(drawn: np.ndarray, entries: Sequence[tuple[str, Color]]) -> None:
    y = drawn.shape[0]
    for text, color in reversed(entries):
        y -= _text_size(text, _text_scale(drawn.shape[0]))[1]
        _draw_text(drawn, text, 0, y, color)


def _draw_text(drawn: np.ndarray, text: str, x: int, y: int, color: Color) -> None:
    scale = _text_scale(drawn.shape[0])
    width, height, below_px = _text_size(text, scale)
    cv2.rectangle(drawn, (x, y), (x + width - 1, y + height - 1), color, cv2.FILLED)
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 128
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(drawn, text, (x + _PAD_PX, y + height - _PAD_PX - below_px), _FONT, scale, ink, 1, cv2.LINE_AA)


def _text_scale(frame_height: int) -> float:
    return min(max(frame_height / 1440, 0.35), 1.0)


@cache
def _text_size(text: str, scale: float) -> tuple[int, int, int]:
    """Width and height of a tag, and how far its letters reach below their base line, in pixels."""
    (width, height), below_px = cv2.getTextSize(text, _FONT, scale, 1)
    return width + 2 * _PAD_PX, height + below_px + 2 * _PAD_PX, below_px


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
