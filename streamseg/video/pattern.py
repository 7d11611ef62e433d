"""A test pattern: shapes that move over a textured ground, and the exact mask of each in every frame.

::

    pattern = Pattern(parse_pattern("test://?size=640x480&fps=30&seconds=10&objects=3&seed=7"))
    pattern.draw(frame, image_rgb)
    labels = pattern.labels(frame)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import parse_qsl

import cv2
import numpy as np

from streamseg.errors import MediaError, nearest
from streamseg.masks.image_files import PIXELS_MAX

SCHEME = "test://"
_KEYS = ("size", "fps", "seconds", "objects", "seed")
_SIDE_MIN, _SIDE_MAX = 32, 1 << 14
_OBJECTS_MAX = 20
_RATE_MIN, _RATE_MAX = 0.1, 1000.0
_SECONDS_MAX = 1e6
_SMALLEST, _LARGEST = 0.08, 0.16
"""Of the shorter side of the frame: how far a shape reaches from its middle."""
_SLOWEST, _QUICKEST = 0.06, 0.2
"""Of the shorter side, in a second."""
_CORNERS = (3, 4, 6, 40)
"""Triangles, squares, hexagons, and disks."""


@dataclass(frozen=True)
class PatternSpec:
    """What ``test://`` is asked for."""

    width: int = 640
    height: int = 480
    fps: float = 25.0
    seconds: float | None = None
    """None: without an end."""
    objects: int = 3
    seed: int = 0

    @property
    def frames(self) -> int | None:
        """How many there are; None without an end."""
        return None if self.seconds is None else max(1, round(self.seconds * self.fps))


def parse_pattern(source: str) -> PatternSpec:
    """What a source ``test://?size=WxH&fps=N&seconds=S&objects=N&seed=N`` asks for; each may be left out.

    Raises:
        MediaError: a key is not known, or a value cannot be meant.
    """
    place, _, query = source.removeprefix(SCHEME).partition("?")
    if place.strip("/"):
        raise MediaError(
            f"expected a test pattern as test:// or test://?size=640x480&fps=25, got {source!r}; write what it "
            f"shall be behind a question mark"
        )
    given: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise MediaError(f"{source}: a test pattern has no {key!r}; {nearest(key, _KEYS)}")
        given[key] = value
    plain = PatternSpec()
    width, height = _size(source, given["size"]) if "size" in given else (plain.width, plain.height)
    seconds = _number(source, "seconds", given, 0.001, _SECONDS_MAX) if "seconds" in given else None
    return PatternSpec(
        width,
        height,
        _number(source, "fps", given, _RATE_MIN, _RATE_MAX) if "fps" in given else plain.fps,
        seconds,
        _whole(source, "objects", given, 0, _OBJECTS_MAX) if "objects" in given else plain.objects,
        _whole(source, "seed", given, 0, 2**32 - 1) if "seed" in given else plain.seed,
    )


@dataclass(frozen=True)
class _Shape:
    corners: np.ndarray
    """(N, 2) float, x and y from its middle in pixels, before it turns."""
    reach_px: float
    start_xy: tuple[float, float]
    speed_xy: tuple[float, float]
    """Pixels a second."""
    turns: float
    """Radians a second."""
    color: tuple[int, int, int]
    """RGB."""


class Pattern:
    """Shapes that fly straight on, are thrown back by the edges and turn; those with higher ids fly in front.

    A frame depends on nothing but what was asked for and its number, and places on nothing but the time, so the same
    pattern at another rate shows the same film.

    Args:
        spec: what was asked for.
    """

    def __init__(self, spec: PatternSpec) -> None:
        self.spec = spec
        random = np.random.default_rng(spec.seed)
        self._ground = _ground(random, spec.width, spec.height)
        self._shapes = [_shape(random, spec, number) for number in range(spec.objects)]

    def draw(self, frame: int, out: np.ndarray) -> None:
        """Draw a frame.

        Args:
            frame: its number, from 0.
            out: (height, width, 3) uint8, becomes RGB.
        """
        np.copyto(out, self._ground)
        for shape in self._shapes:
            cv2.fillPoly(out, [self._corners(shape, frame)], shape.color)

    def labels(self, frame: int) -> np.ndarray:
        """(height, width) uint8: the id of the shape that is seen at each pixel, from 1; 0 is the ground.

        Args:
            frame: its number, from 0.
        """
        labels = np.zeros((self.spec.height, self.spec.width), np.uint8)
        for number, shape in enumerate(self._shapes, 1):
            cv2.fillPoly(labels, [self._corners(shape, frame)], number)
        return labels

    def _corners(self, shape: _Shape, frame: int) -> np.ndarray:
        """(N, 1, 2) int32 corners in the frame."""
        time_s = frame / self.spec.fps
        angle = shape.turns * time_s
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        middle = [
            _thrown_back(start + speed * time_s, shape.reach_px, side - 1 - shape.reach_px)
            for start, speed, side in zip(
                shape.start_xy, shape.speed_xy, (self.spec.width, self.spec.height), strict=True
            )
        ]
        return np.asarray(np.rint(shape.corners @ turn.T + middle).astype(np.int32)[:, None])


def _thrown_back(place: float, lowest: float, highest: float) -> float:
    """Where something is that flies straight on between two walls."""
    span = highest - lowest
    inside = (place - lowest) % (2 * span)
    return lowest + (inside if inside <= span else 2 * span - inside)


def _shape(random: np.random.Generator, spec: PatternSpec, number: int) -> _Shape:
    shorter = min(spec.width, spec.height)
    reach = shorter * random.uniform(_SMALLEST, _LARGEST)
    corners = _CORNERS[number % len(_CORNERS)]
    around = np.arange(corners) * (2 * math.pi / corners)
    direction, speed = random.uniform(0, 2 * math.pi), shorter * random.uniform(_SLOWEST, _QUICKEST)
    return _Shape(
        np.stack([np.cos(around), np.sin(around)], axis=1) * reach,
        reach,
        (random.uniform(reach, spec.width - 1 - reach), random.uniform(reach, spec.height - 1 - reach)),
        (speed * math.cos(direction), speed * math.sin(direction)),
        random.uniform(-1.0, 1.0),
        _color(spec.seed * 31 + number * 67, random),
    )


def _color(hue: int, random: np.random.Generator) -> tuple[int, int, int]:
    """A strong color, which the gray ground has nowhere."""
    hsv = np.array([[[hue % 180, random.integers(190, 256), random.integers(190, 256)]]], np.uint8)
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def _ground(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: soft gray clouds with a fine grain."""
    coarse = random.uniform(70, 150, (9, 12)).astype(np.float32)
    clouds = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 6, (height, width)).astype(np.float32)
    gray = np.clip(clouds + grain, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB))


def _size(source: str, text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if width.isdecimal() and height.isdecimal():
        sides = int(width), int(height)
        if all(_SIDE_MIN <= side <= _SIDE_MAX for side in sides) and sides[0] * sides[1] <= PIXELS_MAX:
            return sides
    raise MediaError(
        f"{source}: expected size as WIDTHxHEIGHT from {_SIDE_MIN} to {_SIDE_MAX} pixels, say 1280x720, got {text!r}"
    )


def _whole(source: str, key: str, given: dict[str, str], lowest: int, highest: int) -> int:
    text = given[key]
    if text.isdecimal() and lowest <= int(text) <= highest:
        return int(text)
    raise MediaError(f"{source}: expected {key} as a whole number from {lowest} to {highest}, got {text!r}")


def _number(source: str, key: str, given: dict[str, str], lowest: float, highest: float) -> float:
    try:
        value = float(given[key])
    except ValueError:
        value = math.nan
    if lowest <= value <= highest:
        return value
    raise MediaError(f"{source}: expected {key} as a number from {lowest:g} to {highest:g}, got {given[key]!r}")
