"""The folder of a recorded run, read without having more than a frame of it in memory.

run = streamseg.load_run("out/clip")
run.mask(120, 1)          # (H, W) bool: object 1 in frame 120
run.tracks.area_px        # a value for every object in every frame
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.formats.clip import Clip, ClipFrame
from streamseg.formats.id_pictures import read_ids
from streamseg.formats.run_pictures import MaskPicture
from streamseg.formats.run_report import decode_facts, options_of_source, pictures, read_report, recorded_frames
from streamseg.formats.shape import Shape
from streamseg.formats.tracks import Tracks
from streamseg.regular_files import opened
from streamseg.result_files import MASKS, RUN, SEGMENT, TRACKS, mask_name
from streamseg.tracking.records import TrackRecord
from streamseg.video.open import open_source

_LONGEST_LINE_BYTES = 16 << 20


class _Size(msgspec.Struct, frozen=True):
    size: tuple[int, int]
    """(height, width)"""


class _Light(msgspec.Struct, frozen=True):
    """What of a line has to be known beforehand."""

    frame: int
    id: int
    pts_s: float | None = None
    label: str = ""
    mask: _Size | None = None


def load_run(folder: str | Path, *, source: str | None = None) -> Run:
    """The results in a run's folder.

    Args:
        folder: that ``streamseg run`` has written; with several streams, that of one of them.
        source: where the pictures are, if not where the run read them from.

    Raises:
        UsageError: it is no such folder.
    """
    return Run(Path(folder), source)


def stream_folders(folder: Path) -> list[Path]:
    """The folders of all streams that were recorded into a folder; of a single stream the folder itself."""
    if not folder.is_dir() or _is_results(folder):
        return [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    streams = [path for path in inside if not SEGMENT.fullmatch(path.name) and _has_results(path)]
    return streams or [folder]


class Run(Clip):
    """A recorded run. Frames have the numbers that they have in the source."""

    def __init__(self, folder: Path, source: str | None = None) -> None:
        self.folder = folder
        self.notes = []
        self.name = folder.resolve().name or "run"
        self._parts = _parts(folder)
        self.report: dict[str, Any] | None = read_report(folder)
        """What ``run.json`` says; None if there is none, since the run goes on or was killed."""
        self._has_tracks = any((part / TRACKS).is_file() for part in self._parts)
        masks = {int(path.stem): path for part in self._parts for path in _mask_files(part)}
        self._mask_files = masks
        self._facts = decode_facts(self.report, self.name)
        self.pictures = pictures(self.report, self.name, source)
        self._scan(masks)
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
        from streamseg.formats.plots import plot

        return plot(self, None if path is None else Path(path))

    def __iter__(self) -> Iterator[ClipFrame]:
        lines = self._lines(TrackRecord)
        line = next(lines, None)
        for position, index in enumerate(self.frames.tolist()):
            here: list[TrackRecord] = []
            while line is not None and line.frame <= index:
                if line.frame == index:
                    here.append(line)
                line = next(lines, None)
            yield self._clip_frame(position, index, here)

    def _frame(self, index: int) -> ClipFrame:
        """One frame. Its lines are found by where they begin, so that the others are not read."""
        position = int(np.searchsorted(self.frames, index))
        if position >= len(self.frames) or self.frames[position] != index:
            known = f"{len(self.frames)} from {self.frames[0]} to {self.frames[-1]}"
            raise UsageError(f"expected a frame of {self.folder}, which has {known}, got {index}")
        at = int(np.searchsorted(self._told, index))
        here = []
        if at < len(self._told) and self._told[at] == index:
            with opened(self._parts[self._part[at]] / TRACKS) as fd:
                data = os.pread(fd, self._end[at] - self._begin[at], self._begin[at])
            here = list(map(msgspec.json.Decoder(TrackRecord).decode, data.splitlines()))
        return self._clip_frame(position, index, here)

    def _check(self, object_id: int) -> None:
        if object_id not in self.objects:
            known = ", ".join(map(str, self.objects)) or "none"
            raise UsageError(f"expected an object of {self.folder} ({known}), got {object_id}")

    def _clip_frame(self, position: int, index: int, lines: list[TrackRecord]) -> ClipFrame:
        path, pts_s = self._mask_files.get(index), lines[0].pts_s if lines else None
        if path is None:
            return ClipFrame(position, index, pts_s, [self._shape(line) for line in lines])
        found = MaskPicture(path, self.size, {line.id: line.box_xyxy for line in lines if line.box_xyxy is not None})
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

    def _lines(self, kind: Any) -> Iterator[Any]:
        for part in range(len(self._parts)):
            yield from (line for _, _, line in self._lines_of(part, kind))

    def _lines_of(self, part: int, kind: Any) -> Iterator[tuple[int, int, Any]]:
        """(begin, end, line) of the tracks of a part. A line that a crash has cut off is left out."""
        path = self._parts[part] / TRACKS
        decoder = msgspec.json.Decoder(kind)
        try:
            with opened(path) as fd, open(fd, "rb", closefd=False) as file:
                at = 0
                for number, data in enumerate(iter(lambda: file.readline(_LONGEST_LINE_BYTES), b""), 1):
                    if not data.endswith(b"\n"):
                        self._note(f"the last line of {path} was cut off, and is left out")
                        return
                    try:
                        yield at, at + len(data), decoder.decode(data)
                    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                        raise UsageError(
                            f"{path}, line {number}: expected a track as record writes it, got: {error}"
                        ) from None
                    at += len(data)
        except FileNotFoundError:
            return
        except OSError as error:
            raise MediaError(f"{path}: cannot be read: {error.strerror}") from error

    def _scan(self, masks: dict[int, Path]) -> None:
        """Look through the tracks once, for what has to be known beforehand."""
        found: dict[int, str] = {}
        # Of each frame with lines: its number, the part they are in, where they begin and end there.
        self._told, self._part, self._begin, self._end = (array("q") for _ in range(4))
        size: tuple[int, int] | None = None
        has_rle = False
        for part in range(len(self._parts)):
            for begin, end, line in self._lines_of(part, _Light):
                found[line.id] = found.get(line.id) or line.label
                if self._told and self._told[-1] >= line.frame:
                    if self._told[-1] > line.frame:
                        raise UsageError(
                            f"expected the frames in {self._parts[part] / TRACKS} in their order, frame {line.frame} "
                            f"comes after {self._told[-1]}; the file was changed"
                        )
                    self._end[-1] = end
                else:
                    for column, value in zip(
                        (self._told, self._part, self._begin, self._end), (line.frame, part, begin, end), strict=True
                    ):
                        column.append(value)
                if line.mask is not None:
                    has_rle = True
                    if size is None:
                        size = line.mask.size
        numbers = sorted({*self._told, *masks})
        if not numbers:
            raise UsageError(
                f"expected results in {self.folder}, there is no frame in them; was the run ended at once?"
            )
        if not masks:
            numbers = self._filled(numbers)
        self.frames = np.array(numbers, np.int64)
        """(N,) int64: numbers of the frames in the source."""
        if masks:
            size = read_ids(masks[min(masks)]).shape[:2]
        if not self._has_tracks:
            found = {each: "" for path in masks.values() for each in np.unique(read_ids(path)).tolist() if each}
        self.size = size or self._size_of_source()
        self.objects = dict(sorted(found.items()))
        self.has_masks = bool(masks) or has_rle or not found

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


def _parts(folder: Path) -> list[Path]:
    """The folder itself, or its segments."""
    if not folder.is_dir():
        raise UsageError(f"expected the folder of a run, but {folder} is no folder; give what -o or the run said")
    if _is_results(folder):
        return [folder]
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    segments = [path for path in inside if SEGMENT.fullmatch(path.name) and _is_results(path)]
    if segments:
        return segments
    streams = [path.name for path in inside if _has_results(path)]
    if streams:
        names = ", ".join(streams)
        raise UsageError(f"expected the folder of one stream, {folder} has several: {names}; give one of these")
    raise UsageError(
        f"expected the folder of a run, but {folder} has neither {TRACKS} nor {MASKS}/; give the folder that "
        f"'streamseg run' has written"
    )


def _has_results(folder: Path) -> bool:
    """Whether a stream was recorded into a folder, in segments or not."""
    return _is_results(folder) or any(
        SEGMENT.fullmatch(path.name) and _is_results(path) for path in folder.iterdir() if path.is_dir()
    )


def _is_results(folder: Path) -> bool:
    return (folder / TRACKS).is_file() or any(True for _ in _mask_files(folder))


def _mask_files(folder: Path) -> Iterable[Path]:
    masks = folder / MASKS
    if not masks.is_dir():
        return
    for path in masks.iterdir():
        if path.stem.isdecimal() and path.name == mask_name(int(path.stem)):
            yield path
