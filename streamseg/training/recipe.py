"""The recipe of a training run: a YAML file, with a default for everything but the data.

    data:
      photos:
        - {path: my_data}                           # my_data/images/*, my_data/masks/*.png of the same stem
        - {path: coco.json, images: photos}         # COCO: polygons, run lengths
      films:
        - {path: my_videos, held_out: [car]}        # my_videos/<name>/video.mp4 (or frames/) and masks/

Paths are relative to the current folder, as in a graph file. Every key and its default is a field below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from streamseg import structs
from streamseg.errors import UsageError
from streamseg.yaml_files import read_yaml

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Weight = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Above0 = Annotated[float, msgspec.Meta(gt=0)]


class PhotoSource(msgspec.Struct, frozen=True, kw_only=True):
    """A set of photos with masks. The four weights say how often it is drawn for what, against the other sets."""

    path: str
    """A folder with ``images/`` and ``masks/`` or with ``index.json`` (`streamseg.evaluation.photo_files`), or a COCO
    JSON file."""
    set: str | None = None
    """Of an ``index.json``: only the photos of this set."""
    images: str | None = None
    """Of a COCO file: the folder its file names are relative to; its own folder if None."""
    focus: Weight = 1.0
    """For views round an object, where it lies in its photo."""
    whole: Weight = 1.0
    """For whole photos."""
    paste: Weight = 1.0
    """As objects to be cut out and put on other photos: 0 for what is no whole object."""
    cover: Weight = 1.0
    """As things that pass in front of an object."""
    min_area: Share = 0.0012
    """Objects that cover less of the photo are left out."""
    max_area: Share = 1.0
    """Objects that cover more of the photo are left out."""
    median_px: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    """Masks with salt-and-pepper noise: side of the median filter they go through, odd; 0 for none."""


class FilmSource(msgspec.Struct, frozen=True, kw_only=True):
    """Video sequences with masks, in a layout of `streamseg.evaluation.sequences`."""

    path: str
    held_out: list[str] = []
    """Names of sequences that are never trained on."""


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained on."""

    photos: list[PhotoSource] = []
    films: list[FilmSource] = []
    hold_out_every: Whole = 10
    """Of each set the photos at positions 0, n, 2n, … of the sorted paths are never trained on; 0 holds out none."""
    longer_side_px: Annotated[int, msgspec.Meta(ge=64)] = 480
    """Larger photos and frames are reduced to this."""
    cache_mb: Whole = 2048
    """Memory for decoded photos."""


class Scenes(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is shown: film, objects pasted onto photos, drawn things, photos whose camera moves (the rest)."""

    film: Share = 0.33
    paste: Share = 0.33
    drawn: Share = 0.0
    """Drawn things, most of them rectangles, on photos and on plain backgrounds."""
    gone: Share = 0.1
    """Episodes whose object is not there any more from some moment on."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Steps and the optimizer."""

    steps: Count = 2000
    """The learning rate falls along a cosine over so many."""
    batch: Count = 14
    """Episodes side by side; each looks once a step."""
    learning_rate: Above0 = 0.00035
    """Of the prompt encoder and the mask decoder."""
    encoder_learning_rate: Weight = 0.00012
    """Of the image encoder's trunk. While the statistics of its batch normalization are kept, nothing holds it in
    place: much more than this makes it forget."""
    encoder_share: Share = 0.3
    """Steps that train the image encoder too, whose gradients are half of the work."""
    warmup_steps: Whole = 60
    weight_decay: Weight = 0.02
    clip_norm: Above0 = 1.0
    average: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.998
    """Decay of the running mean of the weights, which is what is kept in the end."""
    start_share: Share = 0.0
    """Of the weights it started from, in the mixture with that mean which is kept: what a short run forgets of
    the old costs less so (Wortsman et al. 2022)."""
    whole_share: Share = 0.1
    """Steps on whole photos, rather than on views round objects."""
    whole_photos: Count = 2
    """Photos of such a step."""
    again_share: Share = 0.3
    """Steps that ask twice, the second time with the first answer as prompt."""
    correction_share: Share = 0.5
    """Of the second questions, those that say with clicks where the first answer is wrong."""
    batch_norm: Literal["kept", "learned"] = "kept"
    """Statistics of the batch normalization: as they are, or taken from the batches (from scratch, large batches)."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """auto: bf16 where the processor has it."""
    ahead: Whole = 0
    """Batches of episodes that wait while another is trained on, so that ``workers`` can make their pictures
    meanwhile; 1 keeps a GPU busy."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What may change between a run and its resumption."""

    threads: Whole = 0
    """Of torch on the CPU; 0 leaves it to torch. Another number rounds differently."""
    workers: Whole = 0
    """Threads that make pictures; 0 makes them between steps."""
    log_every: Count = 20
    save_every: Count = 200
    validate_every: Whole = 200
    """Steps between measurements on what is held out; 0 for none."""
    validate_objects: Count = 60
    time_limit_min: Above0 | None = None
    """Save and end after so many minutes; ``--resume`` goes on."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A whole recipe."""

    data: Data
    version: Literal[1] = 1
    start_from: str = "packaged"
    """``packaged`` (the weights that come with streamseg), ``scratch``, or a file of weights."""
    seed: Whole = 1
    scenes: Scenes = Scenes()
    training: Training = Training()
    running: Running = Running()


def load(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        UsageError: it cannot be read, is not YAML, or is not a recipe; the message starts with the file's name.
    """
    data = read_yaml(path, UsageError)
    try:
        return parse(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse(data: Any) -> Recipe:
    """Build a `Recipe` from plain data, what the YAML file holds.

    Raises:
        UsageError: an unknown key (with the nearest valid name), a value of a wrong type or out of range, no data.
    """
    try:
        recipe = structs.convert(data, Recipe, "the recipe")
    except UsageError as error:
        raise UsageError(f"{error}; samples/train/README.md explains the keys") from error
    if not recipe.data.photos and not recipe.data.films:
        raise UsageError("the recipe has no data: expected photos or films under 'data'; add a path to at least one")
    if recipe.start_from == "scratch" and recipe.training.batch_norm == "kept":
        raise UsageError(
            "start_from: scratch has no statistics for batch_norm to keep; add 'batch_norm: learned' under training"
        )
    return recipe


def difference(first: Recipe, second: Recipe) -> str | None:
    """The first key, in words, in which two recipes compute something else; None if there is none."""
    plain = [msgspec.to_builtins(recipe) for recipe in (first, second)]
    for each in plain:
        del each["running"]
    for section in plain[0]:
        before, now = plain[0][section], plain[1][section]
        if before != now and isinstance(before, dict):
            key = next(key for key in before if before[key] != now[key])
            return f"{section}.{key}: {before[key]!r} there, {now[key]!r} here"
        if before != now:
            return f"{section}: {before!r} there, {now!r} here"
    return None
