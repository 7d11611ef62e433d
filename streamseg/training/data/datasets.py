"""Reading the data of a recipe, and which of it is held out.

The rule: of each set of photos, those at positions 0, n, 2n, … of the sorted paths are never trained on (n is
``hold_out_every``, 10), nor are the sequences a recipe names under ``held_out``. A photo with several objects, or
several files of masks, is in one part with all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError, UsageError, nearest
from streamseg.evaluation import photo_files, sequences
from streamseg.masks.image_files import file_size
from streamseg.training.data import coco
from streamseg.training.data.annotated_images import (
    AnnotatedImage,
    AnnotatedVideo,
    downscale,
    downscale_mask,
    encode_jpeg,
    encode_object,
    size_within,
)
from streamseg.training.recipe import Data, FilmSource, PhotoSource
from streamseg.video.open import open_source

_LEAST_PX = 100
"""Objects with a smaller area, at the size they are used at, cannot be learned from."""

Masks = Callable[[tuple[int, int], tuple[int, int]], Iterator[np.ndarray]]
"""Gives the bool masks of a photo: of its full size (height, width), at the second size."""


@dataclass(frozen=True)
class ImageSet:
    """The photos of one source that have objects on them."""

    source: PhotoSource
    training: tuple[AnnotatedImage, ...]
    held_out: tuple[AnnotatedImage, ...]


@dataclass(frozen=True)
class Datasets:
    """All data of a recipe."""

    image_sets: tuple[ImageSet, ...]
    videos: tuple[AnnotatedVideo, ...]
    """Without those held out."""


def read(data: Data, executor: Executor) -> Datasets:
    """Read the masks and videos of a recipe; photos are read when they are used.

    Args:
        data: of the recipe.
        executor: its threads read several files at once.

    Raises:
        UsageError: a set or sequence is not there, or nothing is left to train on.
        MediaError: a folder or file is missing, or cannot be read.
    """
    image_sets = tuple(_read_image_set(source, data, executor) for source in data.photos)
    videos = tuple(video for source in data.films for video in _read_videos(source, data, executor))
    if not videos and not any(each.training for each in image_sets):
        raise UsageError(
            "no objects to train on: expected masks of at least "
            f"{_LEAST_PX} pixels and min_area on photos that are not held out; check the masks, or set hold_out_every"
        )
    return Datasets(image_sets, videos)


def _read_image_set(source: PhotoSource, data: Data, executor: Executor) -> ImageSet:
    found = _from_coco(source) if source.path.endswith(".json") else _from_folder(source)

    def read_one(entry: tuple[Path, Masks]) -> AnnotatedImage:
        return _read_image(entry[0], entry[1], source, data.longer_side_px)

    photos = list(executor.map(read_one, sorted(found.items(), key=lambda entry: entry[0])))
    every = data.hold_out_every
    held_out = [photo for i, photo in enumerate(photos) if every and i % every == 0]
    training = [photo for i, photo in enumerate(photos) if not every or i % every]
    return ImageSet(
        source,
        tuple(photo for photo in training if photo.objects),
        tuple(photo for photo in held_out if photo.objects),
    )


def _from_coco(source: PhotoSource) -> dict[Path, Masks]:
    images = None if source.images is None else Path(source.images).expanduser()

    def masks_of(photo: coco.CocoImage) -> Masks:
        return lambda full, size: (
            coco.rasterize(each, _same_size(photo.size, full), size) for each in photo.segmentations
        )

    return {photo.path: masks_of(photo) for photo in coco.read(Path(source.path).expanduser(), images)}


def _from_folder(source: PhotoSource) -> dict[Path, Masks]:
    folder = Path(source.path).expanduser()
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder; expected one with images/ and masks/, or a COCO .json file")
    found = photo_files.find_photos(folder)
    kinds = {photo.kind for photo in found}
    if source.set is not None and source.set not in kinds:
        raise UsageError(f"{folder} has no set {source.set!r}; {nearest(source.set, kinds)}")
    files: dict[Path, list[Path]] = defaultdict(list)
    for photo in found:
        if source.set in (None, photo.kind):
            files[photo.image].append(photo.mask)

    def masks_of(paths: list[Path]) -> Masks:
        def masks(full: tuple[int, int], size: tuple[int, int]) -> Iterator[np.ndarray]:
            for path in paths:
                for each in photo_files.read_masks(path, source.min_area):
                    _same_size(each.inside.shape, full)
                    yield downscale_mask(_denoised(each.inside, source.median_px), size)

        return masks

    return {image: masks_of(paths) for image, paths in files.items()}


def _read_image(path: Path, masks: Masks, source: PhotoSource, longer_side_px: int) -> AnnotatedImage:
    try:
        width, height = file_size(path)
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read as a picture: {error}") from error
    full, size = (height, width), size_within((height, width), longer_side_px)
    total = size[0] * size[1]
    smallest_px, largest_px = max(_LEAST_PX, source.min_area * total), source.max_area * total
    try:
        found = [encode_object(mask) for mask in masks(full, size)]
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    return AnnotatedImage(path, size, tuple(each for each in found if smallest_px <= each.area_px <= largest_px))


def _same_size(size: tuple[int, ...], full: tuple[int, int]) -> tuple[int, int]:
    """The photo's size, which its masks must have."""
    if size != full:
        raise MediaError(f"expected masks of the photo's size {full}, got {size}; make both the same")
    return full


def _denoised(mask: np.ndarray, median_px: int) -> np.ndarray:
    if not median_px:
        return mask
    return np.asarray(cv2.medianBlur(mask.view(np.uint8), median_px | 1).view(bool))


def _read_videos(source: FilmSource, data: Data, executor: Executor) -> list[AnnotatedVideo]:
    folder = Path(source.path).expanduser()
    found = sequences.find_sequences(folder)
    names = [sequence.name for sequence in found]
    for name in source.held_out:
        if name not in names:
            raise UsageError(f"{folder} has no sequence {name!r} to hold out; {nearest(name, names)}")
    chosen = [sequence for sequence in found if sequence.name not in source.held_out]
    return list(executor.map(lambda sequence: _read_video(sequence, data.longer_side_px), chosen))


def _read_video(sequence: sequences.Sequence, longer_side_px: int) -> AnnotatedVideo:
    frames, size = [], (0, 0)
    with open_source(str(sequence.source), threads=1) as reader:
        size = size_within((reader.info.height, reader.info.width), longer_side_px)
        for picture in reader:
            full = np.empty((picture.height, picture.width, 3), np.uint8)
            picture.write_rgb(full)
            frames.append(encode_jpeg(downscale(full, size)))
    if len(frames) != len(sequence.mask_files):
        raise MediaError(
            f"{sequence.name}: {len(frames)} frames but {len(sequence.mask_files)} masks; expected one mask a frame"
        )
    maps = [sequences.read_ids(path) for path in sequence.mask_files]
    ids = sorted({int(value) for each in maps for value in np.unique(each) if value})
    tracks = [tuple(encode_object(downscale_mask(each == value, size)) for each in maps) for value in ids]
    objects = tuple(track for track in tracks if any(frame.area_px for frame in track))
    if not objects:
        raise MediaError(f"{sequence.name}: its masks are all empty; expected an object, or hold the sequence out")
    return AnnotatedVideo(sequence.name, size, tuple(frames), objects)
