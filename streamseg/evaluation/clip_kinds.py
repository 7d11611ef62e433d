"""The kinds of made clip: what is hard about following, one thing at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from streamseg.errors import UsageError, nearest
from streamseg.evaluation.clips import BYSTANDER, HEIGHT, MARGIN_PX, WIDTH, Clip, Path, Scene, Thing
from streamseg.evaluation.drawing import Pose, blob, dead_leaves, pillar


def clip_names() -> list[str]:
    """All kinds of clip."""
    return list(_MAKERS)


def make_clip(name: str, seed: int = 0) -> Clip:
    """A clip.

    Args:
        name: of `clip_names`.
        seed: others give other things, grounds and paths.

    Raises:
        UsageError: there is no such clip.
    """
    if name not in _MAKERS:
        raise UsageError(f"there is no clip {name!r}; {nearest(name, list(_MAKERS))}")
    rng = np.random.default_rng((seed, list(_MAKERS).index(name)))
    frames, scenes = _MAKERS[name](rng)
    return Clip(name, frames, scenes, seed)


def crowd(count: int, seed: int = 0, frames: int = 60) -> Clip:
    """A clip of so many objects, for timing."""
    rng = np.random.default_rng((seed, 99))
    return Clip(f"crowd of {count}", frames, _crowd(rng, count), seed)


Made = tuple[int, tuple[Scene, ...]]


def _ground(rng: np.random.Generator, hue: float) -> np.ndarray:
    return dead_leaves((HEIGHT + 2 * MARGIN_PX, WIDTH + 2 * MARGIN_PX), hue, rng)


def _hues(rng: np.random.Generator, count: int) -> tuple[float, list[tuple[float, float]]]:
    """A hue for the ground and two for each of some things, apart from it and from each other."""
    ground = float(rng.random())
    steps = ground + 0.2 + 0.6 * (np.arange(count) + 0.5) / count
    return ground, [(float(hue), float(hue + rng.uniform(0.05, 0.12))) for hue in rng.permutation(steps)]


def _sway(rng: np.random.Generator) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Small movements up and down, and turning."""
    first, second, turn = rng.uniform(0, 6, 3)
    return (
        lambda t: 7 * math.sin(t / 7 + first) + 3 * math.sin(t / 3 + second),
        lambda t: 15 * math.sin(t / 13 + turn),
    )


def _line(
    rng: np.random.Generator, start_xy: tuple[float, float], speed_xy: tuple[float, float], size_px: float
) -> Path:
    up, turn = _sway(rng)
    return lambda t: Pose(start_xy[0] + speed_xy[0] * t, start_xy[1] + speed_xy[1] * t + up(t), size_px, turn(t))


def _occlusion(rng: np.random.Generator) -> Made:
    """One object passes behind a pillar, another behind the third, which stands."""
    hue, things = _hues(rng, 3)
    hide = rng.uniform(215, 235)
    return 90, (
        Scene(
            0,
            _ground(rng, hue),
            (
                Thing(1, blob(things[0], rng), _line(rng, (rng.uniform(60, 80), 90), (5, 0), 84)),
                Thing(None, pillar(hue + 0.5, rng), lambda t: Pose(hide, 100, 260)),
                Thing(2, blob(things[1], rng), _line(rng, (rng.uniform(560, 590), 260), (-4.4, 0), 76)),
                Thing(3, blob(things[2], rng), _line(rng, (380, 255), (0.2, 0), 150)),
            ),
        ),
    )


def _exit(rng: np.random.Generator) -> Made:
    """One object leaves and comes back where it left, another comes back on the other side."""
    hue, things = _hues(rng, 2)
    up, turn = _sway(rng)
    outside = rng.uniform(0.38, 0.44)

    def there_and_back(t: float) -> Pose:
        return Pose(150 - 330 * math.sin(math.pi * t / 90) ** 2 / outside * 0.42, 100 + up(t), 90, turn(t))

    other = _line(rng, (470, 255), (6.5, 0), 96)
    back = _line(rng, (-60 - 6.5 * 62, 225), (6.5, 0), 96)

    return 95, (
        Scene(
            0,
            _ground(rng, hue),
            (
                Thing(1, blob(things[0], rng), there_and_back),
                Thing(2, blob(things[1], rng), lambda t: other(t) if t < 55 else back(t)),
            ),
        ),
    )


def _lookalikes(rng: np.random.Generator) -> Made:
    """Two of one make cross, the one behind the other; a third that nobody points at stands by."""
    hue, things = _hues(rng, 1)
    twins = [blob(things[0], np.random.default_rng(int(seed))) for seed in rng.integers(1 << 30, size=3)]
    y = rng.uniform(150, 170)
    return 75, (
        Scene(
            0,
            _ground(rng, hue),
            (
                Thing(BYSTANDER, twins[2], _line(rng, (320, 300), (0.3, 0), 80)),
                Thing(1, twins[0], _line(rng, (90, y), (6, 0), 92)),
                Thing(2, twins[1], _line(rng, (560, y + 14), (-6, 0), 92)),
            ),
        ),
    )


def _cut(rng: np.random.Generator, *, stays: bool, returns: bool) -> Made:
    hue, things = _hues(rng, 3)
    first = Thing(1, blob(things[0], rng), _line(rng, (200, 190), (1.5, 0), 110))
    second = Thing(2, blob(things[1], rng), _line(rng, (450, 170), (-1, 0), 100))
    stranger = Thing(BYSTANDER, blob(things[2], rng), _line(rng, (230, 190), (1, 0), 110))
    here = Scene(0, _ground(rng, hue), (first, second))
    elsewhere_hue = hue + rng.uniform(0.35, 0.65)
    moved = Thing(1, first.sprite, _line(rng, (480, 230), (-1.5, 0), 100))
    there = Scene(30, _ground(rng, elsewhere_hue), (stranger, moved) if stays else (stranger,))
    again = Scene(55, here.ground, here.things)
    return 85 if returns else 60, (here, there, again) if returns else (here, there)


def _scale(rng: np.random.Generator) -> Made:
    """One object grows to four times its size, another shrinks to a quarter."""
    hue, things = _hues(rng, 2)
    up, turn = _sway(rng)
    frames = 80

    def growing(t: float) -> Pose:
        return Pose(170 + t * 0.4, 180 + up(t), 55 * 4 ** (t / frames), turn(t))

    def shrinking(t: float) -> Pose:
        return Pose(490 - t * 0.3, 180 - up(t), 230 * 4 ** (-t / frames), -turn(t))

    return frames, (
        Scene(
            0, _ground(rng, hue), (Thing(1, blob(things[0], rng), growing), Thing(2, blob(things[1], rng), shrinking))
        ),
    )


def _crowd(rng: np.random.Generator, count: int) -> tuple[Scene, ...]:
    """Objects on a grid, each wandering so far that it meets its neighbors."""
    hue, things = _hues(rng, count)
    columns = math.ceil(math.sqrt(count * WIDTH / HEIGHT))
    rows = math.ceil(count / columns)
    wide, high = WIDTH / columns, HEIGHT / rows
    size_px = min(0.62 * min(wide, high), 110.0)
    moving = []
    for k in range(count):
        x, y = (k % columns + 0.5) * wide, (k // columns + 0.5) * high
        moving.append(Thing(k + 1, blob(things[k], rng), _wander(rng, x, y, size_px)))
    return (Scene(0, _ground(rng, hue), tuple(moving)),)


def _wander(rng: np.random.Generator, x: float, y: float, size_px: float) -> Path:
    radius, phase, pace = size_px * rng.uniform(0.2, 0.4), rng.uniform(0, 2 * math.pi), rng.uniform(9, 16)
    return lambda t: Pose(
        x + radius * math.cos(t / pace + phase), y + radius * math.sin(t / pace + phase), size_px, 20 * math.sin(t / 19)
    )


_MAKERS: dict[str, Callable[[np.random.Generator], Made]] = {
    "occlusion": _occlusion,
    "exit": _exit,
    "lookalikes": _lookalikes,
    "cut": lambda rng: _cut(rng, stays=False, returns=False),
    "cut-kept": lambda rng: _cut(rng, stays=True, returns=False),
    "cut-back": lambda rng: _cut(rng, stays=False, returns=True),
    "scale": _scale,
    "crowd": lambda rng: (60, _crowd(rng, 20)),
}
