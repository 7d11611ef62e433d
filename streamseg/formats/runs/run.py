"""The folder of a recorded run, read without having more than a frame of it in memory.

run = streamseg.load_run("out/clip")
run.mask(120, 1)          # (H, W) bool: object 1 in frame 120
run.tracks.area_px        # a value for every object in every frame
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, ClipFrame
from streamseg.formats.files.id_pictures import read_ids
from streamseg.formats.runs.folder import mask_files, parts_of
from streamseg.formats.runs.mask_pictures import MaskPicture, ReadAhead
from streamseg.formats.runs.report import decode_facts, options_of_source, pictures, read_report, recorded_frames
from streamseg.formats.runs.track_lines import TrackLines
from streamseg.formats.runs.tracks import Tracks
from streamseg.formats.shape import Shape
from streamseg.result_files import RUN, TRACKS
from streamseg.tracking.records import TrackRecord
from streamseg.video.open import open_source


def load_run(folder: str | Path, *, source: str | None = None) -> Run:
    """The results in a run's folder.

    Args:
        folder: that ``streamseg run`` has written; with several streams, that of one of them.
        source: where the pictures are, if not where the run read them from.

    Raises:
        UsageError: it is no such folder.
    """
    return Run(Path(folder), source)


class Run(Clip):
    """A recorded run. Frames have the numbers that they have in the source."""

    def __init__(self, folder: Path, source: str | None = None) -> None:
        self.folder = folder
        self.notes = []
        self.name = folder.resolve().name or "run"
        self._parts = parts_of(folder)
        self.report: dict[str, Any] | None = read_report(folder)
        """What ``run.json`` says; None if there is none, since the run goes on or was killed."""
        self._mask_files = {int(path.stem): path for part in self._parts for path in mask_files(part)}
        self._facts = decode_facts(self.report, self.name)
        self.pictures = pictures(self.report, self.name, source)
        self._lines = TrackLines([part / TRACKS for part in self._parts], self._note)
        self._look_through()
        self.fps = float(self._facts.get("fps") or 25.0)
        self._say_what_is_missing()

    @property
    def length(self) -> int:  # type: ignore[override]
        """How many frames it has."""
        return len(self.frames)

    @cached_property
    def tracks(self) -> Tracks:
        """Every object in every frame, as arrays with a value each.

        Raises:
            UsageError: a line of the tracks is not one.
        """
        return Tracks.of((frame.index, frame.pts_s, shape) for frame in self for shape in frame.shapes)

    def states(self, object_id: int) -> dict[int, str]:
        """Frame -> state of an object.

        Raises:
            UsageError: there is no such object.
        """
        self._check(object_id)
        at = self.tracks.id == object_id
        return dict(zip(self.tracks.frame[at].tolist(), self.tracks.state[at].tolist(), strict=True))

    def mask(self, frame: int, object_id: int) -> np.ndarray:
        """(H, W) bool: an object in a frame, by its number in the source; empty where it was lost.

        Raises:
            UsageError: there is no such object or frame, or masks were not recorded.
        """
        self._check(object_id)
        found = [shape for shape in self._frame(frame).shapes if shape.id == object_id]
        return found[0].mask if found else np.zeros(self.size, bool)

    def ids(self, frame: int) -> np.ndarray:
        """(H, W) uint16: which object each pixel of a frame belongs to; 0 is background.

        Raises:
            UsageError: there is no such frame, or masks were not recorded.
        """
        return self._frame(frame).ids(self.size)

    def image(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8, RGB: a picture, from the source.

        Raises:
            MediaError: the source is not there any more, or was live.
        """
        if self.pictures is None:
            raise MediaError(
                f"expected to know where the pictures of {self.folder} are, they were live or nobody has said it; "
                f"give load_run the source"
            )
        options = {**self.pictures.options, "start_index": frame, "max_frames": 1}
        with open_source(self.pictures.source, **options) as reader:
            for picture in reader:
                return picture.to_rgb()
        raise MediaError(f"expected frame {frame} in {self.pictures.source}, it ends before; give load_run the source")

    def plot(self, path: str | Path | None = None) -> Any:
        """Areas, scores and states over time, a line an object.

        Args:
            path: a file to write it to: PNG, PDF or SVG.

        Returns:
            A ``matplotlib.figure.Figure``, which a notebook shows.

        Raises:
            UsageError: matplotlib is not installed, or nothing is there to be shown.
            OutputError: the file cannot be written.
        """
        from streamseg.formats.runs.plots import plot

        return plot(self, None if path is None else Path(path))

    def __iter__(self) -> Iterator[ClipFrame]:
        lines = iter(self._lines)
        line = next(lines, None)
        with contextlib.closing(ReadAhead(self._mask_files)) as pictures:
            for position, index in enumerate(self.frames.tolist()):
                here: list[TrackRecord] = []
                while line is not None and line.frame <= index:
                    if line.frame == index:
                        here.append(line)
                    line = next(lines, None)
                yield self._clip_frame(position, index, here, pictures.read)

    def _frame(self, index: int) -> ClipFrame:
        position = int(np.searchsorted(self.frames, index))
        if position >= len(self.frames) or self.frames[position] != index:
            known = f"{len(self.frames)} from {self.frames[0]} to {self.frames[-1]}"
            raise UsageError(f"expected a frame of {self.folder}, which has {known}, got {index}")
        return self._clip_frame(position, index, self._lines.of(index), lambda index: read_ids(self._mask_files[index]))

    def _check(self, object_id: int) -> None:
        if object_id not in self.objects:
            known = ", ".join(map(str, self.objects)) or "none"
            raise UsageError(f"expected an object of {self.folder} ({known}), got {object_id}")

    def _clip_frame(
        self, position: int, index: int, lines: list[TrackRecord], read: Callable[[int], np.ndarray]
    ) -> ClipFrame:
        path, pts_s = self._mask_files.get(index), lines[0].pts_s if lines else None
        if path is None:
            return ClipFrame(position, index, pts_s, [self._shape(line) for line in lines])
        boxes = {line.id: line.box_xyxy for line in lines if line.box_xyxy is not None}
        found = MaskPicture(path, lambda: read(index), self.size, boxes)
        shapes = [self._shape(line, found) for line in lines]
        if not lines:
            # Tracks were not recorded, or the process died between the two files.
            shapes = [Shape(each, self.size, counts=found.counts_of(each)) for each in found.ids]
        there = {shape.id for shape in shapes if shape.is_there}
        return ClipFrame(position, index, pts_s, shapes, found.picture_of(there))

    def _shape(self, line: TrackRecord, picture: MaskPicture | None = None) -> Shape:
        text = None if picture is not None else line.mask.counts if line.mask is not None else None
        if picture is None and text is None and (self.has_masks or not line.area_px):
            text = ""
        return Shape(
            line.id,
            self.size,
            label=line.label or self.objects.get(line.id, ""),
            state=line.state,
            score=line.score,
            box_xyxy=line.box_xyxy,
            area_px=line.area_px,
            text=text,
            counts=None if picture is None else picture.counts_of(line.id),
            cut=None if picture is None else picture.cut_of(line.id),
        )

    def _look_through(self) -> None:
        """Find out what has to be known beforehand."""
        masks, facts = self._mask_files, self._lines.facts
        found, size = facts.labels, facts.size
        numbers = sorted({*self._lines.frames, *masks})
        if not numbers:
            raise UsageError(
                f"expected results in {self.folder}, there is no frame in them; was the run ended at once?"
            )
        if not masks:
            numbers = self._filled(numbers)
        self.frames = np.array(numbers, np.int64)
        """(N,) int64: numbers of the frames in the source."""
        if masks:
            height, width = read_ids(masks[min(masks)]).shape
            size = (height, width)
        if not any((part / TRACKS).is_file() for part in self._parts):
            found = {each: "" for path in masks.values() for each in np.unique(read_ids(path)).tolist() if each}
        self.size = size or self._size_of_source()
        self.objects = dict(sorted(found.items()))
        self.has_masks = bool(masks) or facts.has_masks or not found

    def _filled(self, numbers: list[int]) -> list[int]:
        """Without pictures of masks, frames that had no object at all have left no trace but in the count."""
        told = recorded_frames(self.report, self.name)
        first = int(options_of_source(self.report, self.name).get("start", 0) or 0)
        if told is None or self._facts.get("live") or numbers[-1] >= first + told:
            return numbers
        return list(range(first, first + told))

    def _size_of_source(self) -> tuple[int, int]:
        width, height = self._facts.get("width"), self._facts.get("height")
        if isinstance(width, int) and isinstance(height, int):
            return (height, width)
        if self.pictures is not None:
            with open_source(self.pictures.source, **self.pictures.options) as reader:
                return (reader.info.height, reader.info.width)
        raise UsageError(
            f"expected to find out how large the frames of {self.folder} are, it has neither masks nor {RUN}; "
            f"say where the pictures are (--source)"
        )

    def _say_what_is_missing(self) -> None:
        whole = f"{len(self.frames)} frames are whole and taken"
        if self.report is None:
            self._note(f"the run in {self.folder} has no {RUN}: it goes on or was killed; {whole}")
        elif self.report.get("error") or self.report.get("stopped_early"):
            self._note(f"the run in {self.folder} ended before its source did; {whole}")

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)
