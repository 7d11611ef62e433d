"""The tracks of a run, line by line, and where those of a frame stand."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamseg.errors import MediaError, UsageError
from streamseg.regular_files import opened
from streamseg.tracking.records import TrackRecord

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


@dataclass
class Facts:
    """What all lines together say."""

    labels: dict[int, str] = field(default_factory=dict)
    """Id -> label of every object; "" for none."""
    size: tuple[int, int] | None = None
    """(height, width) of the masks; None if there are none."""
    has_masks: bool = False


class TrackLines:
    """The lines of the files of tracks, which are looked through once. Iterated over, they are read again.

    Args:
        paths: of the files, in order; one that is not there has no lines.
        note: told what is not whole.

    Raises:
        UsageError: a line is not a track, or the frames are not in their order.
        MediaError: a file cannot be read.
    """

    def __init__(self, paths: Sequence[Path], note: Callable[[str], None]) -> None:
        self._paths = paths
        self._note = note
        self.facts = Facts()
        self.frames = array("q")
        """Numbers of the frames that have lines, ascending."""
        # Of each of these the file they are in, where they begin and end there.
        self._file, self._begin, self._end = (array("q") for _ in range(3))
        for number, path in enumerate(paths):
            for begin, end, line in self._read(path, _Light):
                self._add(number, begin, end, line)

    def __iter__(self) -> Iterator[TrackRecord]:
        for path in self._paths:
            yield from (line for _, _, line in self._read(path, TrackRecord))

    def of(self, frame: int) -> list[TrackRecord]:
        """The lines of a frame, found by where they begin, so that the others are not read."""
        at = int(np.searchsorted(self.frames, frame))
        if at == len(self.frames) or self.frames[at] != frame:
            return []
        with opened(self._paths[self._file[at]]) as fd:
            data = os.pread(fd, self._end[at] - self._begin[at], self._begin[at])
        return list(map(msgspec.json.Decoder(TrackRecord).decode, data.splitlines()))

    def _add(self, file: int, begin: int, end: int, line: _Light) -> None:
        facts = self.facts
        facts.labels[line.id] = facts.labels.get(line.id) or line.label
        if line.mask is not None:
            facts.has_masks = True
            facts.size = facts.size or line.mask.size
        if self.frames and self.frames[-1] == line.frame:
            self._end[-1] = end
            return
        if self.frames and self.frames[-1] > line.frame:
            raise UsageError(
                f"expected the frames in {self._paths[file]} in their order, frame {line.frame} "
                f"comes after {self.frames[-1]}; the file was changed"
            )
        for column, value in zip(
            (self.frames, self._file, self._begin, self._end), (line.frame, file, begin, end), strict=True
        ):
            column.append(value)

    def _read(self, path: Path, kind: Any) -> Iterator[tuple[int, int, Any]]:
        """(begin, end, line) of a file. A line that a crash has cut off is left out."""
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
