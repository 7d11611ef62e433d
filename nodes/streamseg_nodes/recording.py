"""The files that one stream is recorded in."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import OutputError
from streamseg.messages import Gap, ObjectResult, Segmented, Stamp
from streamseg.vision.overlay import draw
from streamseg.vision.tracks import Track, write_lines
from streamseg.vision.writing import VideoWriter, write_labels_png
from streamseg_nodes.output_folder import MASKS, OVERLAY, TRACKS, mask_name

_log = logging.getLogger("streamseg.nodes.record")

_USUAL_FPS = 25.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAD_PX = 4
_MOST_EARLY = 10_000
"""Gaps that wait for the first good frame; should there be more, the oldest are let go: memory stays bounded."""


class Recording:
    """Mask, overlay and tracks of every frame of a stream, in its order.

    A gap in the stream gets an empty mask and, in the overlay, the picture before it with a note; its object lines
    are missing from the tracks. Gaps before the first good frame wait for it, since only then the size is known.

    Raises:
        OutputError: the files cannot be made.
    """

    def __init__(
        self, folder: Path, *, overlay: bool = True, masks: bool = True, tracks: bool = True, alpha: float = 0.5
    ) -> None:
        self.folder = folder
        self.frames = 0
        """Frames that are whole in every file."""
        self.gaps = 0
        """How many of them are gaps."""
        self._masks = folder / MASKS if masks else None
        try:
            (self._masks or folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"expected to make the folder {error.filename}, got: {error.strerror}; choose another output"
            ) from error
        self._tracks = TracksFile(folder / TRACKS) if tracks else None
        self._overlay = OverlayFile(folder / OVERLAY, alpha) if overlay else None
        self._size: tuple[int, int] | None = None
        self._early: deque[Gap] = deque(maxlen=_MOST_EARLY)

    @property
    def saved(self) -> str:
        """What is there, for the end of an error."""
        return f"{self.frames} frames are whole in {self.folder}"

    def add(self, message: Segmented) -> None:
        """Write one frame.

        Raises:
            OutputError: the disk is full or gone.
        """
        if self._size is None:
            self._begin(message.frame.image_rgb)
        self._size = message.labels.shape[:2]
        stamp, objects = message.stamp, message.objects
        if self._masks is not None:
            ids = [found.id for found in objects]
            write_labels_png(self._masks / mask_name(stamp.index), message.labels, ids)
        if self._tracks is not None:
            self._tracks.append([_track(stamp, found) for found in objects])
        if self._overlay is not None:
            self._overlay.add(message)
        self.frames += 1

    def add_gap(self, gap: Gap) -> None:
        """Write what stands for a frame that some node dropped or failed at.

        Raises:
            OutputError: the disk is full or gone.
        """
        if self._size is None:
            self._early.append(gap)
            return
        if self._masks is not None:
            write_labels_png(self._masks / mask_name(gap.stamp.index), np.zeros(self._size, np.uint8))
        if self._overlay is not None:
            self._overlay.add_note(gap.stamp, f"frame {gap.stamp.index} {gap.kind} at {gap.node}")
        self.frames += 1
        self.gaps += 1

    def close(self) -> None:
        """Finish the files. Safe to call twice.

        Raises:
            OutputError: the rest cannot be written; what is there can be read.
        """
        if self._early:
            _log.warning("%s: none of %d frames could be used, nothing is recorded", self.folder, len(self._early))
            self._early.clear()
        if self._tracks is not None:
            self._tracks.close()
        if self._overlay is not None:
            self._overlay.close()

    def _begin(self, image_rgb: np.ndarray) -> None:
        self._size = image_rgb.shape[:2]
        if self._overlay is not None:
            self._overlay.begin(image_rgb.shape[1], image_rgb.shape[0])
        for gap in self._early:
            self.add_gap(gap)
        self._early.clear()


class TracksFile:
    """``tracks.jsonl``, which ends with a whole line whatever happens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole_bytes = 0
        try:
            # Unbuffered: a frame's lines are in the file once `append` is over, so a crash cannot take them away.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._cannot(error) from error

    def append(self, tracks: list[Track]) -> None:
        """Write the lines of one frame, all or none."""
        rest = memoryview(write_lines(tracks))
        end = self._whole_bytes + len(rest)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            # Where even this fails the disk is gone, and there is no file to keep whole.
            with contextlib.suppress(OSError):
                self._file.truncate(self._whole_bytes)
            raise self._cannot(error) from error
        self._whole_bytes = end

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(
            f"expected to write {self._path}, got: {error.strerror}; free space or choose another output"
        )


class OverlayFile:
    """``overlay.mp4``: the pictures with the masks over them, at the times the stream gives, from 0 on.

    A stream without times is shown at 25 frames a second. A picture of another size than the first is scaled.
    """

    def __init__(self, path: Path, alpha: float) -> None:
        self._path = path
        self._alpha = alpha
        self._writer: VideoWriter | None = None
        self._last_rgb: np.ndarray = np.zeros((0, 0, 3), np.uint8)
        self._origin_s: float | None = None

    def begin(self, width: int, height: int) -> None:
        """Open the file, now that the size is known."""
        # Measured for 1280x720 on one core: 13 ms of veryfast beside 5 ms for all else that is recorded.
        self._writer = VideoWriter(self._path, width, height, rate_hint=_USUAL_FPS, preset="veryfast", threads=1)
        self._last_rgb = np.zeros((height, width, 3), np.uint8)

    def add(self, message: Segmented) -> None:
        """One frame with its objects."""
        objects = message.objects
        drawn = draw(
            message.frame.image_rgb,
            message.labels,
            [found.id for found in objects],
            [found.label for found in objects],
            [found.state for found in objects],
            self._alpha,
        )
        height, width = self._last_rgb.shape[:2]
        self._last_rgb = drawn if drawn.shape[:2] == (height, width) else cv2.resize(drawn, (width, height))
        self._write(self._last_rgb, message.stamp)

    def add_note(self, stamp: Stamp, text: str) -> None:
        """The last picture once more, with a note that it is not this frame's."""
        noted = self._last_rgb.copy()
        scale = max(0.4, noted.shape[0] / 900)
        (width, height), below_px = cv2.getTextSize(text, _FONT, scale, 1)
        cv2.rectangle(noted, (0, 0), (width + 2 * _PAD_PX, height + below_px + 2 * _PAD_PX), (0, 0, 0), cv2.FILLED)
        cv2.putText(noted, text, (_PAD_PX, height + _PAD_PX), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
        self._write(noted, stamp)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, image_rgb: np.ndarray, stamp: Stamp) -> None:
        shown_s = stamp.index / _USUAL_FPS if stamp.pts_s is None else stamp.pts_s
        if self._origin_s is None:
            self._origin_s = shown_s
        if self._writer is not None:
            self._writer.write(image_rgb, max(0.0, shown_s - self._origin_s))


def _track(stamp: Stamp, found: ObjectResult) -> Track:
    return Track(
        frame=stamp.index,
        pts_s=stamp.pts_s,
        id=found.id,
        box_xyxy=found.box_xyxy,
        area_px=found.area_px,
        score=round(found.score, 6),
        state=found.state,
        label=found.label,
        reason=found.reason,
    )
