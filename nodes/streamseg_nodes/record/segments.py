"""A recording that is cut into segments, so that a run of days can be kept within bounds.

Frame N is in the folder ``segment-00000000K`` with K = N // `segment_frames`: so a segment has the same frames however
often the run was started again. Each is a recording of its own. When a new one begins, those are removed that nobody
has written to for the time to keep.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamseg import commits
from streamseg.errors import OutputError
from streamseg.jobs import Position
from streamseg.messages import Gap, Segmented, Stamp
from streamseg_nodes.record import output_folder
from streamseg_nodes.record.recording import Progress, Recording

_log = logging.getLogger("streamseg.nodes.record")

USUAL_FRAMES = 9000
"""Of a segment, where only the time to keep is given: five minutes of 30 frames a second."""

Begin = Callable[[Path, Progress | None], Recording]
"""(folder, what was before) -> a recording."""


def segments_in(folder: Path) -> list[Path]:
    """The segments in a folder, in their order."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if output_folder.SEGMENT.fullmatch(path.name) and path.is_dir()]
    return sorted((path for path in found if not path.is_symlink()), key=_number)


def last_committed(folder: Path) -> Path | None:
    """The last segment with a commit; None if there is none.

    Raises:
        OutputError: a commit log cannot be read.
    """
    for segment in reversed(segments_in(folder)):
        contents = commits.read(segment)
        if contents is not None and contents.last is not None:
            return segment
    return None


def left(folder: Path) -> tuple[dict[str, Any], int, Position] | None:
    """What an earlier run has left in a folder: facts of its job, how often it was started again, how far it came.

    Raises:
        OutputError: its commit log cannot be read.
    """
    contents = commits.read(last_committed(folder) or folder)
    if contents is None:
        return None
    position = Position(seq=0, next_index=0) if contents.last is None else contents.last.position
    return contents.began.facts, contents.began.restarts, position


class SegmentedRecording:
    """Like `Recording`, in segments.

    Args:
        folder: with the segments.
        segment_frames: how many frames each has.
        keep_s: how long a segment is kept after its last frame, in seconds; None for ever.
        begin: makes the recording of a segment.
        begun: whether to go on with the segments of an earlier run of this job.

    Raises:
        OutputError: the files cannot be made, or those of an earlier run not be read.
    """

    def __init__(self, folder: Path, segment_frames: int, keep_s: float | None, begin: Begin, *, begun: bool) -> None:
        self.folder = folder
        self._segment_frames = segment_frames
        self._keep_s = keep_s
        self._begin = begin
        self._current: Recording | None = None
        last = last_committed(folder) if begun else None
        if begun:
            for later in segments_in(folder):
                if last is None or _number(later) > _number(last):
                    _remove(later)
        if last is not None:
            self._current = begin(last, None)

    @property
    def frames(self) -> int:
        """Frames that are whole in every file, those of segments that were removed included."""
        return 0 if self._current is None else self._current.frames

    @property
    def gaps(self) -> int:
        """How many of them are gaps."""
        return 0 if self._current is None else self._current.gaps

    @property
    def saved(self) -> str:
        """What is there, for the end of an error."""
        again = (
            ""
            if self._current is None or not self._current.resumable
            else (f"; streamseg run --resume {self.folder} goes on from there")
        )
        return f"{self.frames} frames are whole in the segments in {self.folder}{again}"

    def add(self, message: Segmented) -> None:
        """Write one frame.

        Raises:
            OutputError: the disk is full or gone.
        """
        self._segment(message.stamp).add(message)

    def add_gap(self, gap: Gap) -> None:
        """Write what stands for a frame that some node dropped or failed at.

        Raises:
            OutputError: the disk is full or gone.
        """
        self._segment(gap.stamp).add_gap(gap)

    def close(self) -> None:
        """Finish the files. Safe to call twice.

        Raises:
            OutputError: the rest cannot be written; what is there can be read.
        """
        if self._current is not None:
            self._current.close()

    def _segment(self, stamp: Stamp) -> Recording:
        number = stamp.index // self._segment_frames
        if self._current is not None and number <= _number(self._current.folder):
            return self._current
        before = None
        if self._current is not None:
            self._current.close()
            before = self._current.progress
        self._current = self._begin(self.folder / f"segment-{number:09d}", before)
        self._remove_old()
        return self._current

    def _remove_old(self) -> None:
        if self._keep_s is None or self._current is None:
            return
        for segment in segments_in(self.folder):
            if segment != self._current.folder and time.time() - _last_written_s(segment) > self._keep_s:
                try:
                    _remove(segment)
                except OutputError as error:
                    _log.warning("%s is kept for longer than was asked for: %s", segment, error)


def _number(segment: Path) -> int:
    found = output_folder.SEGMENT.fullmatch(segment.name)
    return -1 if found is None else int(found[1])


def _last_written_s(segment: Path) -> float:
    return max((path.stat().st_mtime for path in (segment, *segment.iterdir())), default=0.0)


def _remove(segment: Path) -> None:
    """Remove what record has written there, and the folder if nothing else is in it."""
    output_folder.clear(segment)
    if next(segment.iterdir(), None) is None:
        segment.rmdir()
