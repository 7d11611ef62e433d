"""The files that one stream is recorded in."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamseg import commits, regular_files
from streamseg.commits import Committed
from streamseg.errors import OutputError
from streamseg.jobs import Job, Natural, Position
from streamseg.masks import rle as coco
from streamseg.messages import Gap, ObjectResult, Segmented, Stamp
from streamseg.tracking.records import CocoMask, TrackRecord
from streamseg.video.writing.writer import write_labels_png
from streamseg_nodes.record import output_folder
from streamseg_nodes.record.commits import Commits
from streamseg_nodes.record.files import OverlayFile, OverlayMark, Side, TracksFile
from streamseg_nodes.record.mcap.file import McapFile, Schemas
from streamseg_nodes.record.mcap.growing import McapMark
from streamseg_nodes.record.output_folder import MASKS, MCAP, OVERLAY, TRACKS, mask_name

_log = logging.getLogger("streamseg.nodes.record")

_MOST_EARLY = 10_000
"""Gaps that wait for the first good frame; should there be more, the oldest are let go: memory stays bounded."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files of a recording are cut off to go on with it."""

    frames: Natural
    gaps: Natural
    size: tuple[Side, Side]
    """(height, width) of the masks."""
    tracks_bytes: Natural
    overlay: OverlayMark | None
    mcap: McapMark | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far a recording is; the next segment of the same stream goes on from there."""

    position: Position
    frames: int
    gaps: int
    size: tuple[int, int] | None
    """(height, width) of the masks; None before the first."""


class Recording:
    """Mask, overlay and tracks of every frame of a stream, in its order.

    A gap in the stream gets an empty mask and, in the overlay, the picture before it with a note; its object lines
    are missing from the tracks. Gaps before the first good frame wait for it, since only then the size is known.

    Every few seconds a thread commits: it ends the piece of the overlay, makes the files durable and says so in the
    commit log. A later run of the same job cuts the files off there and goes on. Without a job there is no log.

    Args:
        folder: nobody else may record into it (`output_folder.lock`).
        overlay: whether to write it, like `masks` and `tracks`.
        alpha: how much of an object's color covers the picture in the overlay.
        rle: write masks into the lines of the tracks, not as pictures.
        mcap: whose messages to write ``results.mcap`` in; None does not write it.
        job: what to keep a commit log for.
        before: the segment before, of a stream that is recorded in segments.
        root: the folder that was named for all results; below it no link is followed. None for `folder`.

    Raises:
        OutputError: the files cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        overlay: bool = True,
        masks: bool = True,
        tracks: bool = True,
        alpha: float = 0.5,
        rle: bool = False,
        mcap: Schemas | None = None,
        job: Job | None = None,
        before: Progress | None = None,
        root: Path | None = None,
    ) -> None:
        self.folder = folder
        self._root = folder if root is None else root
        output_folder.check_files(folder, begun=True)
        self._masks = folder / MASKS if masks and not rle else None
        self._rle = masks and rle
        try:
            with regular_files.own_folder(self._masks or folder, self._root, make=True):
                pass
        except OSError as error:
            raise OutputError(
                f"expected to make the folder {error.filename}, got: {error.strerror}; choose another output"
            ) from error
        self._commits = Commits(folder, job, self._root)
        last = self._commits.last
        if last is not None:
            self._position = last.position
        else:
            self._position = Position(seq=0, next_index=0) if before is None else before.position
        if job is not None and job.begun:
            output_folder.cut_off(folder, self._position.next_index, keep_files=last is not None)
        mark = None if last is None else _mark(folder, last)
        self._first_seq = self._position.seq
        known = mark or before
        self.frames = 0 if known is None else known.frames
        """Frames that are whole in every file, those of segments before included."""
        self.gaps = 0 if known is None else known.gaps
        """How many of them are gaps."""
        self._size = None if known is None else known.size
        self._overlay_mark = None if mark is None else mark.overlay
        self._tracks_bytes = 0 if mark is None else mark.tracks_bytes
        self._tracks = TracksFile(folder / TRACKS, self._tracks_bytes, self._root) if tracks else None
        self._overlay = OverlayFile(folder / OVERLAY, alpha, self._overlay_mark, self._root) if overlay else None
        self._mcap_mark = None if mark is None else mark.mcap
        mcap_alpha = alpha if overlay else None
        self._mcap = None if mcap is None else McapFile(folder / MCAP, mcap, mcap_alpha, self._mcap_mark, self._root)
        if mark is None and self._overlay is not None and self._size is not None:
            self._overlay.begin(self._size[1], self._size[0])
        self._early: deque[Gap] = deque(maxlen=_MOST_EARLY)
        self._new_masks: list[Path] = []
        self._closed = False

    @property
    def resumable(self) -> bool:
        """Whether a later run can go on from what is saved."""
        return self._commits.logged

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self._position, self.frames, self.gaps, self._size)

    @property
    def saved(self) -> str:
        """What is there, for the end of an error."""
        again = f"; streamseg run --resume {self.folder} goes on from there" if self.resumable else ""
        return f"{self.frames} frames are whole in {self.folder}{again}"

    def add(self, message: Segmented) -> None:
        """Write one frame.

        Raises:
            OutputError: the disk is full or gone.
        """
        stamp, objects = message.stamp, message.objects
        if stamp.seq < self._first_seq:
            return  # an earlier run has it
        if self._size is None:
            self._begin(message.frame.image_rgb)
        self._size = message.labels.shape[:2]
        if self._masks is not None:
            self._write_mask(stamp, message.labels, [found.id for found in objects])
        if self._tracks is not None:
            masks = [message.mask(number) if self._rle else None for number in range(len(objects))]
            self._tracks.append([_track(stamp, found, mask) for found, mask in zip(objects, masks, strict=True)])
        if self._overlay is not None:
            self._overlay.add(message)
        if self._mcap is not None:
            self._mcap.add(message)
        # A prompt is answered when it is in force; whatever dies then, whoever got the answer relies on it.
        soon = bool(message.prompts)
        self._count(stamp, None if message.tracker == _NIL else bytes(message.tracker), soon=soon)
        self._commit_if_due()

    def add_gap(self, gap: Gap) -> None:
        """Write what stands for a frame that some node dropped or failed at.

        Raises:
            OutputError: the disk is full or gone.
        """
        if gap.stamp.seq < self._first_seq:
            return
        if self._size is None:
            self._early.append(gap)
            return
        if self._masks is not None:
            self._write_mask(gap.stamp, np.zeros(self._size, np.uint8), None)
        if self._overlay is not None:
            self._overlay.add_note(gap.stamp, f"frame {gap.stamp.index} {gap.kind} at {gap.node}")
        if self._mcap is not None:
            self._mcap.add_gap(gap)
        self.gaps += 1
        self._count(gap.stamp, None, dropped=gap.kind == "dropped", failed=gap.kind == "failed")
        self._commit_if_due()

    def close(self) -> None:
        """Commit the rest and finish the files. Safe to call twice.

        Raises:
            OutputError: the rest cannot be written; what is there can be read.
        """
        if self._closed:
            return
        self._closed = True
        if self._early:
            _log.warning("%s: none of %d frames could be used, nothing is recorded", self.folder, len(self._early))
            self._early.clear()
        try:
            self._commits.wait()
            if self._commits.behind:
                self._commits.begin(self._piece())
                self._commits.wait()
        finally:
            self._commits.close()
            if self._tracks is not None:
                self._tracks.close()
            if self._mcap is not None:
                self._mcap.close()
            if self._overlay is not None:
                # After a commit that failed the file may have more than was committed: only fragments can be cut off.
                self._overlay.close(plain=not (self._commits.logged and self._commits.failed))

    def _begin(self, image_rgb: np.ndarray) -> None:
        self._size = image_rgb.shape[:2]
        if self._overlay is not None:
            self._overlay.begin(image_rgb.shape[1], image_rgb.shape[0])
        for gap in self._early:
            self.add_gap(gap)
        self._early.clear()

    def _write_mask(self, stamp: Stamp, labels: np.ndarray, ids: list[int] | None) -> None:
        if self._masks is not None:
            path = self._masks / mask_name(stamp.index)
            write_labels_png(path, labels, ids, root=self._root)
            if self._commits.logged:
                self._new_masks.append(path)

    def _count(
        self, stamp: Stamp, tracker: bytes | None, *, dropped: bool = False, failed: bool = False, soon: bool = False
    ) -> None:
        """A frame is whole in every file."""
        self.frames += 1
        self._commits.count(soon=soon)
        self._tracks_bytes = 0 if self._tracks is None else self._tracks.whole_bytes
        before = self._position
        # In a live graph the frames that were in flight when this node was replaced are missing.
        missed = stamp.seq - before.seq
        self._position = Position(
            seq=stamp.seq + 1,
            next_index=stamp.index + 1,
            tracker=before.tracker if tracker is None else tracker,
            dropped=before.dropped + missed + dropped,
            failed=before.failed + failed,
        )

    def _commit_if_due(self) -> None:
        if self._commits.due:
            self._commits.wait()
            self._commits.begin(self._piece())

    def _piece(self) -> Callable[[], Committed]:
        """What finishes the files up to here, for the thread that commits."""
        piece = None if self._overlay is None else self._overlay.cut()
        mcap_piece = None if self._mcap is None else self._mcap.cut()
        masks, self._new_masks = self._new_masks, []
        position, frames, gaps, size = self._position, self.frames, self.gaps, self._size or (0, 0)
        tracks_bytes = self._tracks_bytes

        def work() -> Committed:
            if self._overlay is not None and piece is not None:
                self._overlay_mark = self._overlay.append(piece, sync=self._commits.logged)
            if self._mcap is not None and mcap_piece is not None:
                self._mcap_mark = self._mcap.append(mcap_piece, sync=self._commits.logged)
            if self._commits.logged:
                self._sync(masks)
            mark = Mark(
                frames=frames,
                gaps=gaps,
                size=size,
                tracks_bytes=tracks_bytes,
                overlay=self._overlay_mark,
                mcap=self._mcap_mark,
            )
            return Committed(position, msgspec.to_builtins(mark))

        return work

    def _sync(self, masks: list[Path]) -> None:
        try:
            for path in masks:
                regular_files.sync(path)
            if self._masks is not None:
                commits.sync_folder(self._masks)
            if self._tracks is not None:
                self._tracks.sync()
            commits.sync_folder(self.folder)
        except OSError as error:
            raise OutputError(
                f"expected to make the files in {self.folder} durable, got: {error.strerror}; check the disk"
            ) from error


_NIL = msgspec.Raw(b"\xc0")


def _mark(folder: Path, last: Committed) -> Mark:
    try:
        return msgspec.convert(last.marks, Mark)
    except msgspec.ValidationError as error:
        raise OutputError(
            f"expected {commits.NAME} in {folder} to say where its files end, got: {error}; "
            f"start again with --overwrite"
        ) from error


def _coco(mask: np.ndarray) -> CocoMask:
    height, width = mask.shape
    return CocoMask((height, width), coco.compress(coco.encode(mask)))


def _when(stamp: Stamp) -> dict[str, Any]:
    """When the picture was taken, and when it came; not when a file was read, which is another time in each run."""
    if stamp.captured_clock == "reading":
        return {}
    arrived_ns = stamp.came_ns if stamp.captured_clock == "sender" else None
    return {"captured_ns": stamp.captured_ns, "captured_clock": stamp.captured_clock, "arrived_ns": arrived_ns}


def _track(stamp: Stamp, found: ObjectResult, mask: np.ndarray | None) -> TrackRecord:
    return TrackRecord(
        frame=stamp.index,
        pts_s=stamp.pts_s,
        id=found.id,
        box_xyxy=found.box_xyxy,
        area_px=found.area_px,
        score=round(found.score, 6),
        state=found.state,
        label=found.label,
        reason=found.reason,
        mask=None if mask is None or not found.area_px else _coco(mask),
        **_when(stamp),
    )
