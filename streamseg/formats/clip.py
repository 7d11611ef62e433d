"""Frames with objects in them, as every format writes them and gives them back when it is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.formats.shape import Shape
from streamseg.masks.label_map import MAX_ID
from streamseg.video.open import open_source

LABEL = "object"
"""What an object is called that nobody has given a name."""


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """A frame, and what is known of the objects in it."""

    position: int
    """Among the frames of the clip, from 0 without gaps."""
    index: int
    """Number of the frame in its source."""
    pts_s: float | None
    """Presentation time in seconds; None if it is not known."""
    shapes: Sequence[Shape]
    picture: Callable[[], np.ndarray | None] | None = None
    """Gives what `ids` does, if that is known without drawing, or None."""

    def ids(self, size: tuple[int, int], out: np.ndarray | None = None) -> np.ndarray:
        """(H, W) uint16: which object each pixel belongs to; 0 is background. Of two, the later one has it.

        Args:
            size: (height, width) of the frame.
            out: a picture of zeros to draw into, and to return, of a type that holds the ids; a new one if None.

        Raises:
            UsageError: an object has only a box, or an id beyond 16 bits.
        """
        found = np.zeros(size, np.uint16) if out is None else out
        known = None if self.picture is None else self.picture()
        if known is not None:
            np.copyto(found, known, casting="unsafe")
            return found
        for shape in self.shapes:
            if not 1 <= shape.id <= MAX_ID:
                raise UsageError(f"expected ids from 1 to {MAX_ID}, got object {shape.id}; say --renumber")
            shape.paint(found, shape.id)
        return found


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a clip are."""

    source: str
    """A file or folder, or what else `streamseg.video.open.open_source` opens."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `open_source`."""


class Clip(ABC):
    """Frames with objects, read from the beginning each time that somebody iterates, one in memory at a time."""

    name: str
    """What files and folders are called after it."""
    size: tuple[int, int]
    """(height, width) of its frames."""
    length: int
    """How many frames it has."""
    objects: dict[int, str]
    """Id -> label of every object that is ever there, ids ascending; "" for none."""
    fps: float
    """Frames a second; 25 if nobody knows."""
    pictures: Pictures | None
    """None if nobody knows where they are."""
    notes: list[str]
    """What of it is not whole, or not as it seems; a sentence each."""
    has_masks: bool
    """False if only boxes are known."""

    @abstractmethod
    def __iter__(self) -> Iterator[ClipFrame]:
        """The frames in order.

        Raises:
            StreamsegError: what is to be read is damaged.
        """

    @cached_property
    def categories(self) -> list[str]:
        """The labels of all objects, sorted; those without one are called `LABEL`."""
        return sorted({self.label(each) for each in self.objects})

    def label(self, object_id: int) -> str:
        """What an object is called."""
        return self.objects.get(object_id) or LABEL

    def category(self, object_id: int) -> int:
        """Number of an object's label among the `categories`, from 0."""
        return self._numbers[self.label(object_id)]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.categories)}

    def with_pictures(self) -> Iterator[tuple[ClipFrame, np.ndarray]]:
        """The frames, each with its picture: (H, W, 3) uint8, RGB, upright.

        Raises:
            MediaError: the pictures are not known, not there, or not those of this clip.
        """
        if self.pictures is None:
            raise MediaError(
                "expected to know where the pictures are, nobody has said it, or they were live; say --source FILE, "
                "or leave the pictures out (--no-images, if the format has it)"
            )
        frames = iter(self)
        with open_source(self.pictures.source, **self.pictures.options) as reader:
            frame = next(frames, None)
            for picture in reader:
                if frame is None:
                    return
                if picture.index < frame.index:
                    continue
                if picture.index > frame.index or (picture.height, picture.width) != self.size:
                    break
                yield frame, picture.to_rgb()
                frame = next(frames, None)
        if frame is not None:
            raise MediaError(
                f"expected frame {frame.index} of {self.size[1]}x{self.size[0]} pixels in {self.pictures.source}, it "
                f"is not there; say --source FILE with the video that the results are of"
            )


class Selected(Clip):
    """Some of the frames of a clip, and its objects under other ids.

    Args:
        clip: the whole.
        every: only each such frame: 0, N, 2 N, …
        ids: id -> the one that it gets; None leaves them.
    """

    def __init__(self, clip: Clip, *, every: int = 1, ids: Mapping[int, int] | None = None) -> None:
        self._clip = clip
        self._every = every
        self._ids = ids
        self.name = clip.name
        self.size = clip.size
        self.length = -(-clip.length // every)
        self.objects = clip.objects if ids is None else {ids[each]: label for each, label in clip.objects.items()}
        self.fps = clip.fps / every
        self.pictures = clip.pictures
        self.notes = clip.notes
        self.has_masks = clip.has_masks

    def __iter__(self) -> Iterator[ClipFrame]:
        for frame in self._clip:
            if frame.position % self._every == 0:
                shapes, picture = frame.shapes, frame.picture
                if self._ids is not None:
                    shapes, picture = [shape.with_id(self._ids[shape.id]) for shape in shapes], None
                yield ClipFrame(frame.position // self._every, frame.index, frame.pts_s, shapes, picture)


class ReadClip(Clip):
    """A clip that was read from the files of another program, and is in memory.

    Args:
        name: of the clip.
        size: (height, width) of its frames.
        length: how many frames it has.
        shapes: index of the frame -> the objects there.
        objects: id -> label.
        fps: frames a second; None if the files do not say.
        notes: what could not be taken over.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        length: int,
        shapes: Mapping[int, Sequence[Shape]],
        objects: Mapping[int, str],
        *,
        fps: float | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.size = size
        self.length = max(length, max(shapes, default=-1) + 1)
        self.objects = dict(sorted(objects.items()))
        self.fps = fps or 25.0
        self.pictures = None
        self.notes = list(notes)
        self.has_masks = all(shape.has_mask for each in shapes.values() for shape in each)
        self._shapes = shapes

    def __iter__(self) -> Iterator[ClipFrame]:
        for index in range(self.length):
            yield ClipFrame(index, index, index / self.fps, self._shapes.get(index, ()))


def with_images(clip: Clip, *, images: bool) -> Iterator[tuple[ClipFrame, np.ndarray | None]]:
    """The frames of a clip, each with its picture, or with None if they are not wanted."""
    return clip.with_pictures() if images else ((frame, None) for frame in clip)


def need_masks(clip: Clip, what: str) -> None:
    """Refuse a clip of boxes where masks are written.

    Raises:
        UsageError: it has no masks.
    """
    if not clip.has_masks:
        raise UsageError(
            f"expected masks to write {what}, there are only boxes; choose a format of boxes (mot, yolo with "
            f"--task detect, csv), or record the run with masks"
        )


def files_of(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder that end so, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == suffix and path.is_file())
