"""How far a source goes, known before any of it is decoded."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import av.error

from streamseg.errors import MediaError, UsageError
from streamseg.video.bag.bag_reader import count_messages
from streamseg.video.container import Opening, open_video, stated_duration_s, stream_facts
from streamseg.video.files.folder_reader import list_images
from streamseg.video.files.stills import pictures_in
from streamseg.video.pattern import parse_pattern
from streamseg.video.source import SourceKind, classify, is_pipe, local_path

_SURELY_S = 1.0
"""A header's duration may be wrong by so much without the packets being counted."""
_SAME_S = 1e-3
"""Times that differ by less are the same."""


@dataclass(frozen=True)
class Extent:
    """Where a source ends."""

    frames: int
    """How many there are at most: packets may be lost or hold no picture."""
    last_s: float | None
    """Presentation time of the last frame, counted from the first; None if there are no times."""

    def __str__(self) -> str:
        until = "" if self.last_s is None else f", the last one at {self.last_s:g} s"
        return f"has {self.frames} frames, 0 to {self.frames - 1}{until}"


def extent_before(
    opening: Opening, frame: int | None, time_s: float | None, image_fps: float, topic: str | None = None
) -> Extent | None:
    """Where a source ends, if that is surely before a frame or a time.

    Of a video file the packets are counted, but only where its header lets it seem too short, so this is quick.

    Args:
        opening: of the source.
        frame: number of the frame, from 0; None if it is a time.
        time_s: presentation time in seconds, counted from the first frame; None if it is a frame.
        image_fps: frames per second of pictures that have no times.
        topic: of a bag.

    Returns:
        None if the frame may be there; so always of what is neither a file nor pictures, of pipes, of what cannot be
        opened, and of times in a bag, whose stamps are in its messages.
    """
    kind = classify(opening.source)
    if kind is SourceKind.TEST:
        return _of_pattern(opening, frame, time_s)
    if kind not in (SourceKind.FILE, SourceKind.FOLDER, SourceKind.BAG) or is_pipe(opening.source):
        return None
    found = None
    with contextlib.suppress(MediaError, UsageError, OSError, av.error.FFmpegError):
        if kind is SourceKind.BAG:
            found = Extent(count_messages(local_path(opening.source), topic), None)
        elif kind is SourceKind.FOLDER:
            found = _of_pictures(local_path(opening.source), image_fps)
        else:
            found = _of_packets(opening, frame, time_s)
    if found is None or not found.frames:
        return None
    return found if _is_past(found, frame, time_s) else None


def _of_pattern(opening: Opening, frame: int | None, time_s: float | None) -> Extent | None:
    with contextlib.suppress(MediaError):
        spec = parse_pattern(opening.source)
        found = None if spec.frames is None else Extent(spec.frames, (spec.frames - 1) / spec.fps)
        return found if found is not None and not opening.live and _is_past(found, frame, time_s) else None
    return None


def _is_past(found: Extent, frame: int | None, time_s: float | None) -> bool:
    if frame is not None:
        return frame >= found.frames
    return time_s is not None and found.last_s is not None and time_s > found.last_s + _SAME_S


def _of_pictures(path: Path, image_fps: float) -> Extent:
    if path.is_file() and (several := pictures_in(path)) > 1:
        return Extent(several, None)  # each has a time of its own
    count = len(list_images(path))
    return Extent(count, (count - 1) / image_fps)


def _of_packets(opening: Opening, frame: int | None, time_s: float | None) -> Extent | None:
    container, stream = open_video(opening)
    with container:
        facts = stream_facts(stream)
        duration_s = stated_duration_s(stream)
        if frame is not None and facts.frames is not None and frame < facts.frames:
            return None
        if time_s is not None and (duration_s is None or time_s < duration_s - _SURELY_S):
            return None
        times = []
        count = 0
        for packet in container.demux(stream):
            if packet.size:
                count += 1
                if packet.pts is not None:
                    times.append(packet.pts)
        last_s = float((max(times) - min(times)) * stream.time_base) if times and stream.time_base else None
        return Extent(count, last_s)
