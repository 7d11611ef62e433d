"""Draws what a model is trained on, scenes and whole images, by the weights of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamseg.errors import UsageError
from streamseg.training.data.annotated_images import AnnotatedImage, AnnotatedVideo, ImageCache
from streamseg.training.data.composites import CompositeScene, Cutout
from streamseg.training.data.datasets import Datasets, ImageSet
from streamseg.training.data.drawn_things import drawn_background, drawn_cutout
from streamseg.training.data.scenes import Scene, VideoScene
from streamseg.training.recipe import PhotoSource, Recipe

_LONGEST_GAP = 6
"""Frames of a video from one moment to the next, at most."""


class ImageWithMasks(NamedTuple):
    """A picture and the masks of objects on it."""

    rgb: np.ndarray
    """(H, W, 3) uint8."""
    masks: list[np.ndarray]
    """(H, W) uint8 each, 0 or 1."""


class _ImageSampler:
    """Sets of photos and how often each is drawn."""

    def __init__(self, sets: tuple[ImageSet, ...], weight: Callable[[PhotoSource], float]) -> None:
        self._sets = [each for each in sets if each.training and weight(each.source) > 0]
        weights = np.array([weight(each.source) for each in self._sets])
        self._shares = weights / weights.sum() if self._sets else weights

    def __bool__(self) -> bool:
        return bool(self._sets)

    def sample(self, rng: np.random.Generator) -> AnnotatedImage:
        photos = self._sets[int(rng.choice(len(self._sets), p=self._shares))].training
        return photos[int(rng.integers(len(photos)))]


class SceneSampler:
    """What can be drawn; all chance comes from the generators that are handed in, so threads may share it.

    Args:
        datasets: what the recipe's data hold.
        recipe: the recipe.
    """

    def __init__(self, datasets: Datasets, recipe: Recipe) -> None:
        self._cache = ImageCache(recipe.data.cache_mb * 2**20)
        self._videos = datasets.videos
        self._focus = _ImageSampler(datasets.image_sets, lambda source: source.focus)
        self._whole = _ImageSampler(datasets.image_sets, lambda source: source.whole)
        self._paste = _ImageSampler(datasets.image_sets, lambda source: source.paste)
        self._cover = _ImageSampler(datasets.image_sets, lambda source: source.cover)
        shares = recipe.scenes
        kinds: list[tuple[Callable[[np.random.Generator, int], Scene], float, bool]] = [
            (self._video_scene, shares.film, bool(self._videos)),
            (self._pasted_scene, shares.paste, bool(self._paste and self._focus)),
            (self._drawn_scene, shares.drawn, bool(self._focus)),
            (self._photo_scene, max(0.0, 1 - shares.film - shares.paste - shares.drawn), bool(self._focus)),
        ]
        self._makers = [make for make, share, there in kinds if there and share > 0]
        if not self._makers:
            raise UsageError(
                "the recipe gives no scenes: expected films with a 'film' share above 0, or photos with 'focus' above 0"
            )
        weights = np.array([share for _, share, there in kinds if there and share > 0])
        self._shares = weights / weights.sum()

    def sample_scene(self, rng: np.random.Generator, moments: int) -> Scene:
        """A scene. What the data have nothing for is left to the other kinds."""
        return self._makers[int(rng.choice(len(self._makers), p=self._shares))](rng, moments)

    def sample_image(self, rng: np.random.Generator, count: int) -> ImageWithMasks:
        """A whole photo, or now and then a frame of a video, with `count` of its objects at most."""
        if self._videos and (not self._whole or rng.random() < 0.15):
            video, number = self._video_and_object(rng)
            frame = int(rng.integers(len(video.frames)))
            return ImageWithMasks(video.rgb(frame), [video.mask(number, frame)])
        photo = (self._whole or self._focus).sample(rng)
        chosen = rng.choice(len(photo.objects), min(len(photo.objects), count), replace=False)
        return ImageWithMasks(self._cache.rgb(photo), [photo.mask(int(number)) for number in chosen])

    def _video_scene(self, rng: np.random.Generator, moments: int) -> Scene:
        video, number = self._video_and_object(rng)
        there = [i for i, each in enumerate(video.objects[number]) if each.area_px]
        start = there[int(rng.integers(len(there)))]
        last = len(video.frames) - 1
        room = {direction: last - start if direction > 0 else start for direction in (1, -1)}
        direction = 1 if rng.random() < 0.5 else -1
        if room[direction] < moments - 1:
            direction = -direction
        longest = min(_LONGEST_GAP, room[direction] // (moments - 1)) if moments > 1 else _LONGEST_GAP
        gap = int(rng.integers(1, max(1, longest) + 1))
        frames = [min(max(start + direction * gap * i, 0), last) for i in range(moments)]
        return VideoScene(video, number, frames, rng)

    def _video_and_object(self, rng: np.random.Generator) -> tuple[AnnotatedVideo, int]:
        video = self._videos[int(rng.integers(len(self._videos)))]
        return video, int(rng.integers(len(video.objects)))

    def _pasted_scene(self, rng: np.random.Generator, moments: int) -> Scene:
        foreground = self._cutout(self._paste, rng)
        background = self._cache.rgb(self._focus.sample(rng))
        distractor, chance = None, rng.random()
        if chance < 0.3:
            # Its own double is the hardest thing to tell an object from.
            distractor = foreground
        elif chance < 0.55 and self._cover:
            distractor = self._cutout(self._cover, rng)
        occluder = self._cutout(self._cover, rng) if self._cover and rng.random() < 0.3 else None
        return CompositeScene(foreground, moments, rng, background=background, distractor=distractor, occluder=occluder)

    def _drawn_scene(self, rng: np.random.Generator, moments: int) -> Scene:
        photo = self._cache.rgb(self._focus.sample(rng))
        foreground = drawn_cutout(photo, rng)
        plain = rng.random() < 0.5
        background = drawn_background(photo.shape[1], photo.shape[0], rng) if plain else photo
        distractor = drawn_cutout(photo, rng) if rng.random() < 0.25 else None
        upright = rng.random() < 0.6
        return CompositeScene(foreground, moments, rng, background=background, distractor=distractor, upright=upright)

    def _photo_scene(self, rng: np.random.Generator, moments: int) -> Scene:
        foreground = self._cutout(self._focus, rng)
        occluder = self._cutout(self._cover, rng) if self._cover and rng.random() < 0.2 else None
        return CompositeScene(foreground, moments, rng, occluder=occluder)

    def _cutout(self, sampler: _ImageSampler, rng: np.random.Generator) -> Cutout:
        """An object of a photo; the larger, the likelier."""
        photo = sampler.sample(rng)
        sides = np.sqrt([each.area_px for each in photo.objects])
        number = int(rng.choice(len(sides), p=sides / sides.sum()))
        return Cutout(self._cache.rgb(photo), photo.mask(number))
