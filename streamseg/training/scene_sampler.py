"""The world a model is trained in: draws scenes, and things on photos, by the weights of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamseg.errors import UsageError
from streamseg.training.annotated_images import Film, Photo, PictureCache
from streamseg.training.collages import Collage, Cutout
from streamseg.training.datasets import Datasets, PhotoSet
from streamseg.training.recipe import PhotoSource, Recipe
from streamseg.training.scenes import FilmScene, Scene

_LONGEST_GAP = 6
"""Frames of a film from one moment to the next, at most."""


class Pictured(NamedTuple):
    """A picture and the masks of things on it."""

    rgb: np.ndarray
    """(H, W, 3) uint8."""
    masks: list[np.ndarray]
    """(H, W) uint8 each, 0 or 1."""


class _Drawer:
    """Sets of photos and how often each is drawn."""

    def __init__(self, sets: tuple[PhotoSet, ...], weight: Callable[[PhotoSource], float]) -> None:
        self._sets = [each for each in sets if each.training and weight(each.source) > 0]
        weights = np.array([weight(each.source) for each in self._sets])
        self._shares = weights / weights.sum() if self._sets else weights

    def __bool__(self) -> bool:
        return bool(self._sets)

    def photo(self, rng: np.random.Generator) -> Photo:
        photos = self._sets[int(rng.choice(len(self._sets), p=self._shares))].training
        return photos[int(rng.integers(len(photos)))]


class World:
    """What can be drawn; all chance comes from the generators that are handed in, so threads may share it.

    Args:
        datasets: what the recipe's data hold.
        recipe: the recipe.
    """

    def __init__(self, datasets: Datasets, recipe: Recipe) -> None:
        self._cache = PictureCache(recipe.data.cache_mb * 2**20)
        self._films = datasets.films
        self._focus = _Drawer(datasets.photos, lambda source: source.focus)
        self._whole = _Drawer(datasets.photos, lambda source: source.whole)
        self._paste = _Drawer(datasets.photos, lambda source: source.paste)
        self._cover = _Drawer(datasets.photos, lambda source: source.cover)
        shares = recipe.scenes
        kinds: list[tuple[Callable[[np.random.Generator, int], Scene], float, bool]] = [
            (self._film, shares.film, bool(self._films)),
            (self._pasted, shares.paste, bool(self._paste and self._focus)),
            (self._photo, max(0.0, 1 - shares.film - shares.paste), bool(self._focus)),
        ]
        self._makers = [make for make, share, there in kinds if there and share > 0]
        if not self._makers:
            raise UsageError(
                "the recipe gives no scenes: expected films with a 'film' share above 0, or photos with 'focus' above 0"
            )
        weights = np.array([share for _, share, there in kinds if there and share > 0])
        self._shares = weights / weights.sum()

    def scene(self, rng: np.random.Generator, moments: int) -> Scene:
        """A scene. What the data have nothing for is left to the other kinds."""
        return self._makers[int(rng.choice(len(self._makers), p=self._shares))](rng, moments)

    def whole(self, rng: np.random.Generator, count: int) -> Pictured:
        """A whole photo, or now and then a frame of a film, with `count` of its things at most."""
        if self._films and (not self._whole or rng.random() < 0.15):
            film, number = self._film_and_thing(rng)
            frame = int(rng.integers(len(film.frames)))
            return Pictured(film.rgb(frame), [film.mask(number, frame)])
        photo = (self._whole or self._focus).photo(rng)
        chosen = rng.choice(len(photo.things), min(len(photo.things), count), replace=False)
        return Pictured(self._cache.rgb(photo), [photo.mask(int(number)) for number in chosen])

    def _film(self, rng: np.random.Generator, moments: int) -> Scene:
        film, number = self._film_and_thing(rng)
        there = [i for i, thing in enumerate(film.things[number]) if thing.area_px]
        start = there[int(rng.integers(len(there)))]
        last = len(film.frames) - 1
        room = {direction: last - start if direction > 0 else start for direction in (1, -1)}
        direction = 1 if rng.random() < 0.5 else -1
        if room[direction] < moments - 1:
            direction = -direction
        longest = min(_LONGEST_GAP, room[direction] // (moments - 1)) if moments > 1 else _LONGEST_GAP
        gap = int(rng.integers(1, max(1, longest) + 1))
        frames = [min(max(start + direction * gap * i, 0), last) for i in range(moments)]
        return FilmScene(film, number, frames, rng)

    def _film_and_thing(self, rng: np.random.Generator) -> tuple[Film, int]:
        film = self._films[int(rng.integers(len(self._films)))]
        return film, int(rng.integers(len(film.things)))

    def _pasted(self, rng: np.random.Generator, moments: int) -> Scene:
        thing = self._cutout(self._paste, rng)
        ground = self._cache.rgb(self._focus.photo(rng))
        beside, chance = None, rng.random()
        if chance < 0.3:
            # Its own double is the hardest thing to tell an object from.
            beside = thing
        elif chance < 0.55 and self._cover:
            beside = self._cutout(self._cover, rng)
        cover = self._cutout(self._cover, rng) if self._cover and rng.random() < 0.3 else None
        return Collage(thing, moments, rng, ground=ground, beside=beside, cover=cover)

    def _photo(self, rng: np.random.Generator, moments: int) -> Scene:
        thing = self._cutout(self._focus, rng)
        cover = self._cutout(self._cover, rng) if self._cover and rng.random() < 0.2 else None
        return Collage(thing, moments, rng, cover=cover)

    def _cutout(self, drawer: _Drawer, rng: np.random.Generator) -> Cutout:
        """A thing of a photo; the larger, the likelier."""
        photo = drawer.photo(rng)
        sides = np.sqrt([thing.area_px for thing in photo.things])
        number = int(rng.choice(len(sides), p=sides / sides.sum()))
        return Cutout(self._cache.rgb(photo), photo.mask(number))
