"""Which of a container's streams is read, and whether it has given all that its header promises."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from streamseg.errors import MediaError

_HEADERS_WITH_COUNTS = frozenset({"avi"})
"""Formats that say in their header how many frames there are, and whose index does not say it better."""
_HEADERS_WITH_DURATIONS = frozenset({"matroska", "webm", "flv", "asf", "mxf"})
_LONGEST_LAST_FRAME_S = 1.0
_GIF_END = b";"
_LOOKED_AT_BYTES = 1024
_CLOCK_TIME = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


def films(container: InputContainer) -> list[VideoStream]:
    """Its video streams, without the cover pictures of music."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def choose(container: InputContainer, number: int | None, shown: str) -> VideoStream | None:
    """The stream to read; None if there are no pictures.

    Args:
        container: just opened.
        number: position among its video streams; None takes what FFmpeg finds best.
        shown: the source, for errors.

    Raises:
        MediaError: it has no stream of that number, or its only pictures are a cover.
    """
    found = films(container)
    if not found:
        if container.streams.video:
            raise MediaError(f"expected a video, but the only picture in {shown} is a cover; give a file with a film")
        return None
    if number is None:
        best = container.streams.best("video")
        return best if isinstance(best, VideoStream) and best in found else found[0]
    if number >= len(found):
        there = "0" if len(found) == 1 else f"0 to {len(found) - 1}"
        raise MediaError(f"expected video stream {number} in {shown}, but there is only {there}; choose another one")
    return found[number]


def note_on_choice(container: InputContainer, stream: VideoStream, shown: str) -> str | None:
    """Which stream is read, if there are others."""
    found = films(container)
    if len(found) < 2:
        return None
    listed = ", ".join(f"{k}: {s.codec_context.name} {s.width}x{s.height}" for k, s in enumerate(found))
    return (
        f"{shown} has {len(found)} video streams ({listed}); {found.index(stream)} is read, "
        f"--stream N (option stream of decode) reads another"
    )


def note_on_alpha(stream: VideoStream, shown: str) -> str | None:
    """Of transparency that is a stream within the stream (VP8, VP9), which FFmpeg's decoders leave where it is."""
    if stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0")) in ("", "0"):
        return None
    return f"{shown} says that it has transparency: that is dropped, and the colors below it are taken"


def note_on_missing(
    stream: VideoStream, frames: int, shown_s: float | None, covered_s: float | None, shown: str
) -> str | None:
    """What is missing at the end of a file, going by its header; None if nothing is, or it does not say.

    Args:
        stream: read to its end.
        frames: how many came.
        shown_s: from the first frame to the end of the last, in seconds; None if the frames have no times.
        covered_s: from the first packet of any stream to the end of the last, in seconds; None if they have no times.
        shown: the source.
    """
    kinds = set(stream.container.format.name.split(","))
    if "gif" in kinds and not _ends_as_gifs_do(stream.container.name):
        return f"{shown} is cut off: it has no end, {frames} frames came"
    if kinds & _HEADERS_WITH_COUNTS and stream.frames > frames:
        return f"{shown} is cut off: its header promises {stream.frames} frames, {frames} came"
    if not kinds & _HEADERS_WITH_DURATIONS or shown_s is None:
        return None
    promised_s = _promised_of_stream_s(stream)
    came_s: float | None = shown_s
    if promised_s is None:
        # Of several streams, one that is shorter than the others is whole all the same.
        promised_s = _promised_s(stream)
        came_s = shown_s if len(stream.container.streams) == 1 else covered_s
    if promised_s is not None and came_s is not None and promised_s - came_s > _LONGEST_LAST_FRAME_S:
        came = f"the {frames} frames that came are {shown_s:.1f} s"
        return f"{shown} is cut off: its header promises {promised_s:.1f} s, {came}"
    return None


def _promised_of_stream_s(stream: VideoStream) -> float | None:
    """How long the header says that this stream is, in seconds."""
    tag = _CLOCK_TIME.match(stream.metadata.get("DURATION", ""))
    return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) if tag else None


def _promised_s(stream: VideoStream) -> float | None:
    """How long the header says that all streams together are, in seconds."""
    container = stream.container
    if not isinstance(container, InputContainer) or container.duration is None:
        return None
    return container.duration / 1_000_000


def _ends_as_gifs_do(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError), Path(path.removeprefix("file:")).open("rb") as file:
        file.seek(-min(_LOOKED_AT_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read().rstrip(b"\0").endswith(_GIF_END)
    return True
