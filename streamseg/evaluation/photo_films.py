"""Films made of photos with true masks: the camera moves, things pass in front, leave, and meet others of their kind.

What is seen is real, and so are the outlines; how it moves is drawn at random. Nothing turns its other side to the
camera, so these are easier than real film in that, and harder in what is done to the objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamseg.errors import UsageError, nearest
from streamseg.evaluation.films import HEIGHT, Film
from streamseg.evaluation.photo_files import Photo, read_masks, read_rgb
from streamseg.masks.boxes import box_of_mask, center_size

WIDTH = 480
FRAMES = 26
_SMALLEST, _LARGEST = 0.015, 0.35
"""Share of its photo that an object covers."""
_NOISE = 3.0
"""Standard deviation of the camera's noise, of 255."""
_TRIES = 30

Place = Callable[[int], np.ndarray]
"""Frame number -> (3, 3) float64, from the photo's pixels to the frame's."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object and the photo it is on."""

    kind: str
    """The set it is of."""
    name: str
    rgb: np.ndarray
    """(h, w, 3) uint8."""
    mask: np.ndarray
    """(h, w) uint8, 0 or 255."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Middle x and y, width and height of the object."""
        return center_size(box_of_mask(self.mask > 0) or (0.0, 0.0, 1.0, 1.0))


@dataclass(frozen=True, eq=False)
class Layer:
    """A cut-out in motion; `id` is None if nobody follows it."""

    cutout: Cutout
    place: Place
    id: int | None = None


class PhotoFilm(Film):
    """A photo under a moving camera, and cut-outs in front of it.

    Args:
        name: of the film.
        group: its kind.
        ground: the photo, which may be that of the object.
        camera: where the photo lies in the frame.
        layers: from back to front.
        seed: of the camera's noise.
    """

    def __init__(
        self, name: str, group: str, ground: Cutout, camera: Place, layers: Sequence[Layer], origin: str, seed: int
    ) -> None:
        super().__init__(name, group, origin, FRAMES)
        self._ground, self._camera, self._layers, self._seed = ground, camera, layers, seed

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        canvas = _warped(self._ground.rgb, self._camera(index), cv2.BORDER_REFLECT_101)
        for layer in self._layers:
            place = layer.place(index)
            cover = cv2.GaussianBlur(_warped(layer.cutout.mask, place, cv2.BORDER_CONSTANT), (3, 3), 0)
            if cover.any():
                weight = (cover / np.float32(255))[..., None]
                painted = _warped(layer.cutout.rgb, place, cv2.BORDER_REPLICATE)
                canvas = (canvas * (1 - weight) + painted * weight).astype(np.uint8)
        noise = np.random.default_rng((self._seed, index)).normal(0, _NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32)
        return np.asarray(np.clip(np.rint(canvas + noise), 0, 255), np.uint8)

    def masks(self, index: int) -> dict[int, np.ndarray]:
        """What covers more than half of each pixel."""
        found: dict[int, np.ndarray] = {}
        for layer in self._layers:
            cover = _warped(layer.cutout.mask, layer.place(index), cv2.BORDER_CONSTANT) > 127
            found = {identity: mask & ~cover for identity, mask in found.items()}
            if layer.id is not None:
                found[layer.id] = cover
        return found


def kind_names() -> list[str]:
    """All kinds of film."""
    return list(_MAKERS)


def make_film(kind: str, photos: Sequence[Photo], seed: int) -> PhotoFilm:
    """A film.

    Args:
        kind: of `kind_names`.
        photos: that it may be made of; sets are drawn by the root of how many they have.
        seed: others give other photos and paths.

    Raises:
        UsageError: there is no such kind, or no photo has an object of a fitting size.
        MediaError: a photo cannot be read.
    """
    if kind not in _MAKERS:
        raise UsageError(f"there is no kind of film {kind!r}; {nearest(kind, list(_MAKERS))}")
    rng = np.random.default_rng((seed, list(_MAKERS).index(kind)))
    draw = _Drawing(photos, rng)
    target = draw.cutout()
    ground, camera, layers = _MAKERS[kind](target, draw, rng)
    return PhotoFilm(f"{kind}-{seed}", kind, ground, camera, layers, target.name, seed)


class _Drawing:
    """Draws cut-outs."""

    def __init__(self, photos: Sequence[Photo], rng: np.random.Generator) -> None:
        self._sets: dict[str, list[Photo]] = {}
        for photo in photos:
            self._sets.setdefault(photo.kind, []).append(photo)
        self._rng = rng

    def cutout(self, kind: str | None = None, but: str = "") -> Cutout:
        """An object of a set, of any if None; of another photo than that named `but`."""
        names = sorted(self._sets)
        weights = np.sqrt([len(self._sets[name]) for name in names])
        for _ in range(_TRIES):
            drawn = kind if kind is not None else names[self._rng.choice(len(names), p=weights / weights.sum())]
            photo = self._sets[drawn][self._rng.integers(len(self._sets[drawn]))]
            if photo.image.stem == but:
                continue
            rgb = read_rgb(photo.image)
            fitting = [each.inside for each in read_masks(photo.mask, _SMALLEST) if each.inside.mean() < _LARGEST]
            if fitting:
                mask = fitting[self._rng.integers(len(fitting))]
                return Cutout(drawn, photo.image.stem, rgb, mask.astype(np.uint8) * np.uint8(255))
        raise UsageError(
            f"none of {_TRIES} photos has an object of {_SMALLEST:g} to {_LARGEST:g} of its area; give more photos"
        )


def _camera(target: Cutout, rng: np.random.Generator, speed: float = 1.0) -> Place:
    """A hand-held camera that looks about where the object is."""
    height, width = target.mask.shape
    x, y, object_width, object_height = target.box
    scale = max(WIDTH / width, HEIGHT / height) * rng.uniform(1.05, 1.35)
    scale = min(scale, 0.75 * WIDTH / object_width, 0.75 * HEIGHT / object_height)
    # The view stays on the photo where it can.
    half = np.minimum((WIDTH / 2 / scale, HEIGHT / 2 / scale), (width / 2, height / 2))
    start = np.clip((x, y) + rng.normal(0, 0.15, 2) * (WIDTH / scale, HEIGHT / scale), half, (width, height) - half)
    away = rng.normal(0, 0.35 * speed, 2) * (object_width, object_height)
    turn, zoom, tilt = rng.normal(0, 6 * speed), rng.normal(0, 0.2 * speed), rng.normal(0, 5)
    pace, phases = rng.uniform(5, 12), rng.uniform(0, 2 * math.pi, 3)
    shake = rng.normal(0, 1.2, (FRAMES, 2))

    def place(index: int) -> np.ndarray:
        there = math.sin(index / pace + phases[0]) - math.sin(phases[0])
        middle = np.clip(start + away * there, half, (width, height) - half)
        angle = tilt + turn * (math.sin(index / pace + phases[1]) - math.sin(phases[1]))
        growth = math.exp(zoom * (math.sin(index / pace + phases[2]) - math.sin(phases[2])))
        moved = _moved(shake[index] + (WIDTH / 2, HEIGHT / 2))
        return np.asarray(moved @ _turned(angle, scale * growth) @ _moved(-middle))

    return place


def _walk(
    cutout: Cutout, where: Callable[[int], np.ndarray], side_px: float, rng: np.random.Generator, growth: float = 0.15
) -> Place:
    """A cut-out along a path (frame number -> (x, y) of its middle) that turns, grows and is bent a little."""
    x, y, width, height = cutout.box
    scale = side_px / max(width, height)
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    turn, grow, bend, pace = rng.normal(0, 9), rng.normal(0, growth), rng.normal(0, 0.1), rng.uniform(5, 10)

    def place(index: int) -> np.ndarray:
        swing = math.sin(index / pace)
        bent = np.array([[1, bend * swing, 0], [0, 1, 0], [0, 0, 1]])
        turned = _turned(turn * swing, scale * math.exp(grow * index / FRAMES * 2))
        return np.asarray(_moved(where(index)) @ turned @ bent @ mirror @ _moved(np.array([-x, -y])))

    return place


Made = tuple[Cutout, Place, list[Layer]]


def _under_camera(target: Cutout, draw: _Drawing, rng: np.random.Generator) -> Made:
    """Nothing moves but the camera."""
    camera = _camera(target, rng, 1.5)
    return target, camera, [Layer(target, camera, 1)]


def _hidden(target: Cutout, draw: _Drawing, rng: np.random.Generator) -> Made:
    """Something passes in front, and hides about half of the object, or most."""
    camera = _camera(target, rng)
    side_px = _side_px(target, camera)
    occluder = draw.cutout(but=target.name)
    direction = _unit(rng.uniform(0, 2 * math.pi))
    off = rng.uniform(-0.45, 0.45) * side_px * direction[::-1] * (1, -1)

    def where(index: int) -> np.ndarray:
        return _middle(target, camera, index) + off + direction * side_px * 1.9 * (2 * index / (FRAMES - 1) - 1)

    passing = Layer(occluder, _walk(occluder, where, side_px * rng.uniform(0.7, 1.1), rng))
    return target, camera, [Layer(target, camera, 1), passing]


def _exit(target: Cutout, draw: _Drawing, rng: np.random.Generator) -> Made:
    """The object leaves the frame on one side and comes back."""
    ground = draw.cutout(but=target.name)
    side_px = rng.uniform(70, 160)
    y, slope, side = rng.uniform(110, 250), rng.normal(0, 40), rng.choice([-1.0, 1.0])
    reach = WIDTH / 2 + rng.uniform(0.8, 1.1) * side_px
    begin = rng.uniform(0, 0.15)

    def where(index: int) -> np.ndarray:
        far = math.sin(math.pi * (begin + (1 - 2 * begin) * index / (FRAMES - 1))) ** 0.7
        return np.array([WIDTH / 2 + side * reach * (1.25 * far - 0.25), y + slope * far])

    return ground, _camera(ground, rng, 0.5), [Layer(target, _walk(target, where, side_px, rng), 1)]


def _twin(target: Cutout, draw: _Drawing, rng: np.random.Generator) -> Made:
    """Another one of its kind, or one just like it, comes close and passes behind the object or in front of it."""
    return _with_twin(target, draw, rng, None)


def _pair(target: Cutout, draw: _Drawing, rng: np.random.Generator) -> Made:
    """The same, and both are followed."""
    return _with_twin(target, draw, rng, 2)


def _with_twin(target: Cutout, draw: _Drawing, rng: np.random.Generator, identity: int | None) -> Made:
    camera = _camera(target, rng)
    side_px = _side_px(target, camera)
    other = draw.cutout(target.kind) if rng.random() < 0.6 else target
    direction, nearest_to = _unit(rng.uniform(0, 2 * math.pi)), rng.uniform(0.35, 0.9) * side_px
    aside = direction[::-1] * (1, -1) * nearest_to

    def where(index: int) -> np.ndarray:
        return _middle(target, camera, index) + aside + direction * side_px * (1.3 - 2.4 * index / (FRAMES - 1))

    twin = Layer(other, _walk(other, where, side_px * rng.uniform(0.8, 1.15), rng), identity)
    own = Layer(target, camera, 1)
    return target, camera, [twin, own] if rng.random() < 0.5 else [own, twin]


def _moving(target: Cutout, draw: _Drawing, rng: np.random.Generator) -> Made:
    """The object crosses another photo, growing or shrinking, past something that moves too."""
    ground, other = draw.cutout(but=target.name), draw.cutout(but=target.name)
    side_px = rng.uniform(60, 150)
    begin, end = (rng.uniform((90, 80), (WIDTH - 90, HEIGHT - 80)) for _ in range(2))
    first, last = (rng.uniform((60, 60), (WIDTH - 60, HEIGHT - 60)) for _ in range(2))
    layers = [
        Layer(other, _walk(other, _line(first, last), side_px * rng.uniform(0.6, 1.2), rng)),
        Layer(target, _walk(target, _line(begin, end), side_px, rng, 0.35), 1),
    ]
    return ground, _camera(ground, rng), layers


_MAKERS: dict[str, Callable[[Cutout, _Drawing, np.random.Generator], Made]] = {
    "camera": _under_camera,
    "hidden": _hidden,
    "exit": _exit,
    "twin": _twin,
    "pair": _pair,
    "moving": _moving,
}


def _line(begin: np.ndarray, end: np.ndarray) -> Callable[[int], np.ndarray]:
    return lambda index: begin + (end - begin) * (index / (FRAMES - 1))


def _unit(angle: float) -> np.ndarray:
    return np.array([math.cos(angle), math.sin(angle)])


def _middle(cutout: Cutout, place: Place, index: int) -> np.ndarray:
    """(2,) where the middle of the object is in a frame."""
    x, y, _, _ = cutout.box
    return np.asarray((place(index) @ (x, y, 1))[:2])


def _side_px(cutout: Cutout, place: Place) -> float:
    """Longer side of the object in the first frame."""
    return float(math.sqrt(abs(np.linalg.det(place(0)[:2, :2]))) * max(cutout.box[2:]))


def _moved(by: np.ndarray) -> np.ndarray:
    return np.array([[1, 0, by[0]], [0, 1, by[1]], [0, 0, 1]], np.float64)


def _turned(degrees: float, scale: float) -> np.ndarray:
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float64)


def _warped(picture: np.ndarray, place: np.ndarray, border: int) -> np.ndarray:
    return np.asarray(cv2.warpAffine(picture, place[:2], (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=border))
