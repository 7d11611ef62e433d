"""Opening a video with PyAV, and saying in one sentence why it could not be opened."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.masks.image_files import PIXELS_MAX
from streamseg.regular_files import check_regular
from streamseg.video.files import playlists
from streamseg.video.live.cameras import camera_device, cameras_here
from streamseg.video.source import SourceKind, classify, is_pipe, local_path, redact, redact_text
from streamseg.video.streams import choose

# FFmpeg takes these for video: `tty` turns any .txt file into pictures of a terminal, the others are subtitles.
_NOT_VIDEO = frozenset({"tty", "srt", "ass", "webvtt", "subviewer", "microdvd", "jacosub", "sami"})
_HOPELESS = (
    av.error.ProtocolNotFoundError,
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.PermissionError,
)
_LOOKED_AT_BYTES = 512
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET, errno.EIO})


@dataclass(frozen=True)
class Opening:
    """How to open one source; kept, since a live source is opened again after a loss."""

    source: str
    live: bool | None
    """None: decided by the source's own nature."""
    open_timeout_s: float
    read_timeout_s: float
    threads: int
    """Decoder threads; 0 lets FFmpeg choose."""
    options: dict[str, str]
    """Options for FFmpeg's demuxer and protocol."""
    max_pixels: int = PIXELS_MAX
    """A picture that has more is not decoded."""
    stream: int | None = None
    """Position among the video streams of the one to read; None takes the best."""
    playlists_anywhere: bool = False
    """Whether a local list of media may name files and addresses that do not lie beside it."""

    @property
    def shown(self) -> str:
        """The source, fit for logs and errors."""
        return redact(self.source)


@dataclass(frozen=True)
class StreamFacts:
    """What a container says about one of its video streams."""

    codec: str
    fps: float | None
    """Mean frames per second; None if it does not say."""
    frames: int | None
    """How many frames to expect; None if it does not say."""
    pixel_aspect: Fraction | None = None
    """Width of a pixel by its height, before rotation; None if it does not say."""


def stream_facts(stream: VideoStream) -> StreamFacts:
    """Read the facts off a stream whose container is open."""
    rate = stream.average_rate or stream.guessed_rate
    duration_s = stated_duration_s(stream)
    estimate = stream.frames or (round(duration_s * float(rate)) if duration_s and rate else None)
    aspect = stream.sample_aspect_ratio or None
    return StreamFacts(stream.codec_context.name, float(rate) if rate else None, estimate or None, aspect)


def stated_duration_s(stream: VideoStream) -> float | None:
    """How long the header of its container says that a stream is, in seconds; None if it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    duration_us = getattr(stream.container, "duration", None)
    return duration_us / av.time_base if isinstance(duration_us, int) else None


def may_come(error: MediaError) -> bool:
    """Whether what `open_video` could not open may be there later, and just as it was named."""
    # The error of FFmpeg is hidden from users for the password in it, but still known.
    return isinstance(error.__context__, (av.error.FFmpegError, OSError)) and not isinstance(
        error.__context__, _HOPELESS
    )


def open_video(opening: Opening) -> tuple[InputContainer, VideoStream]:
    """Open a file, camera or URL and choose its video stream.

    Raises:
        MediaError: it is missing, unreachable, forbidden, not a video, or has no video stream.
    """
    kind = classify(opening.source)
    if kind is SourceKind.FILE:
        _check_file(opening)
    try:
        container = _open(opening, kind)
    except MediaError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # No cause: PyAV's own text repeats the URL with its password.
        raise MediaError(_why(opening, kind, error)) from None
    try:
        stream = choose(container, opening.stream, opening.shown)
    except MediaError:
        container.close()
        raise
    if container.format.name in _NOT_VIDEO or stream is None or stream.codec_context is None:
        found = ", ".join(sorted({s.type for s in container.streams})) or "no"
        text = container.format.name in _NOT_VIDEO
        container.close()
        if text:
            raise MediaError(f"expected a video, but {opening.shown} is a text file; give a video file")
        raise MediaError(
            f"expected a video stream in {opening.shown}, found only {found} streams; give a file that has pictures"
        )
    if stream.width * stream.height > opening.max_pixels:
        size = f"{stream.width} x {stream.height}"
        container.close()
        raise MediaError(
            f"expected pictures of at most {opening.max_pixels} pixels, but those of {opening.shown} are {size}; "
            f"allow more (max_pixels of decode), or reduce them"
        )
    # What the header says need not be what the pictures are.
    stream.codec_context.options = _no_larger(opening)
    return container, stream


def _open(opening: Opening, kind: SourceKind) -> InputContainer:
    timeout = (opening.open_timeout_s, opening.read_timeout_s)
    if kind is SourceKind.CAMERA:
        name, device_format = camera_device(opening.source)
        return av.open(name, "r", format=device_format, options=opening.options, timeout=timeout)
    if kind is SourceKind.FILE:
        return _open_file(opening)
    options = _no_larger(opening) | opening.options
    if is_endless(opening.source) or opening.live:
        # Not with `nobuffer`, which throws away what was read to find out about the stream: its first key frame.
        options = {"analyzeduration": "2000000"} | options
    if ".m3u8" in opening.source.lower():
        # A player begins some segments back, for safety; who acts on what it sees begins with the newest.
        options = {"live_start_index": "-1"} | options
    if opening.source.lower().startswith("rtsp"):
        # By UDP pictures get lost on the way.
        options = {"rtsp_transport": "tcp"} | options
    return av.open(opening.source, "r", options=options, timeout=timeout)


def is_picture(container: InputContainer) -> bool:
    """Whether it is a picture, behind a URL say, and not a video."""
    return container.format.name.endswith("_pipe")


def _is_web_page(opening: Opening) -> bool:
    """Whether what a URL leads to is HTML, such as the page to log in at."""
    with contextlib.suppress(av.error.FFmpegError, OSError, ValueError, StopIteration):
        timeout = (opening.open_timeout_s, opening.read_timeout_s)
        with av.open(opening.source, "r", format="data", options=opening.options, timeout=timeout) as raw:
            begins = bytes(next(raw.demux()))[:_LOOKED_AT_BYTES].lstrip().lower()
            return begins.startswith((b"<!doctype html", b"<html"))
    return False


def _open_file(opening: Opening) -> InputContainer:
    path = local_path(opening.source)
    follow: dict[str, str] = {}
    if opening.playlists_anywhere:
        follow = playlists.anywhere(path)
    else:
        playlists.check_list(path)
    allowed = {"format_whitelist": playlists.allowed_formats(path)}
    options = _no_larger(opening) | allowed | follow | opening.options
    if path.is_fifo():
        return av.open(_Fifo(path, opening.open_timeout_s), "r", options=options)
    # With the protocol, since a name such as concat:a would be taken for one. A local file never blocks; without
    # a timeout FFmpeg does not have to ask for the time at each read.
    return av.open(f"file:{path}", "r", options=options)


class _Fifo:
    """A FIFO that somebody writes into, for FFmpeg to read from.

    By its name it would be opened once more, which waits for ever where the writer has been and gone.

    Raises:
        MediaError: nobody has written within the time, in seconds.
    """

    def __init__(self, path: Path, within_s: float) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        news = select.poll()
        news.register(self._fd, select.POLLIN)
        if not news.poll(1000 * within_s):
            raise MediaError(
                f"expected a video to be written into the FIFO {path}, nothing came within {within_s:g} s; "
                f"start who writes, or allow a longer open timeout"
            )
        os.set_blocking(self._fd, True)

    def read(self, size: int) -> bytes:
        """The next bytes; nothing at the end."""
        return os.read(self._fd, size)

    def __del__(self) -> None:
        # PyAV lets go of it with the container, but closes nothing that it has not opened.
        if hasattr(self, "_fd"):
            os.close(self._fd)


def _no_larger(opening: Opening) -> dict[str, str]:
    """For FFmpeg's decoders, also those that look for what there is in a file when it is opened.

    They count what rows are rounded up to as well, so this is no sharp limit; the one by the header is.
    """
    return {"max_pixels": str(2 * opening.max_pixels)}


def is_endless(source: str) -> bool:
    """Whether a URL can only be live, by its protocol; HTTP may be either and is decided once it is open."""
    return source.partition("://")[0].lower() not in {"http", "https", "ftp", "sftp", "smb"}


def set_threads(stream: VideoStream, threads: int, *, live: bool) -> None:
    """Set up the decoder's threads, 0 for as many as FFmpeg likes; to be called before the first frame.

    Frame threads hold back one frame each: more speed for a file, more delay for a live source.
    """
    kinds = av.codec.context.ThreadType
    stream.codec_context.thread_count = threads
    stream.codec_context.thread_type = kinds.SLICE if live else kinds.AUTO


def _check_file(opening: Opening) -> None:
    path = local_path(opening.source)
    try:
        if path.is_fifo():
            return  # somebody writes a video into it
        check_regular(path)
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise MediaError(f"expected a video file, but {path} does not exist; check the path") from None
    except PermissionError:
        raise MediaError(
            f"expected a readable video file, but reading {path} is not permitted; change its mode"
        ) from None
    except OSError as error:
        todo = "name a file" if error.errno in (errno.EINVAL, errno.ENAMETOOLONG) else "check the disk"
        raise MediaError(f"expected a readable video file, but {path} gave: {error.strerror}; {todo}") from None
    except ValueError:
        raise MediaError(f"expected a video file, but no file can be called {str(path)!a}; check the path") from None
    if empty:
        raise MediaError(f"expected a video file, but {path} is empty; copy or record it again")


def _why(opening: Opening, kind: SourceKind, error: Exception) -> str:
    shown = opening.shown
    pipe = is_pipe(opening.source)
    if kind is SourceKind.FILE and not pipe and (listed := playlists.hidden_list(local_path(opening.source))):
        return (
            f"expected a video, but {shown} is a list of other files or addresses ({listed}), which is not followed "
            f"in a file of that name; give what it names"
        )
    reason = redact_text(str(getattr(error, "strerror", None) or error))
    if kind is SourceKind.CAMERA:
        there = ", ".join(f"{each.source} ({each.name})" for each in cameras_here()) or "none under /dev"
        busy = "; another program has it" if getattr(error, "errno", None) == errno.EBUSY else ""
        return f"expected camera {shown} to open, got: {reason}{busy}; cameras here: {there}"
    if isinstance(error, av.error.ProtocolNotFoundError):
        name = shown.partition("://")[0]
        return (
            f"expected a URL with a known protocol such as rtsp, http, udp or rtmp, but this FFmpeg has no {name!r} "
            f"({shown}); check its spelling, or install a PyAV that was built with it"
        )
    if isinstance(error, (av.error.HTTPError, av.error.HTTPClientError)):
        return f"expected a stream at {shown}, but the server answered: {reason}; check the address and the password"
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return (
            f"expected {shown} to answer within {opening.open_timeout_s:g} s, nothing came; "
            "check that it is running, or allow a longer open timeout"
        )
    if kind is SourceKind.URL and (error.errno if isinstance(error, av.error.FFmpegError) else None) in _UNREACHABLE:
        return f"expected a stream at {shown}, but it cannot be reached ({reason}); check the address and the network"
    if isinstance(error, av.error.InvalidDataError) and pipe:
        return (
            "expected a video that can be read from its beginning to its end, but what came through the pipe is none "
            "(an MP4 has to be made with -movflags +faststart or +frag_keyframe); write it to a file first"
        )
    if isinstance(error, av.error.InvalidDataError) and kind is SourceKind.URL and _is_web_page(opening):
        return (
            f"expected a stream at {shown}, but the server answered with a web page, perhaps one to log in at; "
            f"give the address of the stream itself, with user and password if it needs them"
        )
    if isinstance(error, av.error.InvalidDataError):
        return (
            f"expected a video, but {shown} is not one that FFmpeg can read, or its header is damaged; "
            f"{'check it with a player' if kind is SourceKind.FILE else 'check the address'}"
        )
    return f"expected a readable video at {shown}, got: {reason}; check it with a player"


def strerror(error: Exception) -> str:
    """FFmpeg's reason in words, without the URL."""
    number = getattr(error, "errno", None)
    if isinstance(error, av.error.ExitError):
        return "no data within the read timeout"
    known = os.strerror(number) if isinstance(number, int) and 0 < number < 200 else None
    return redact_text(str(getattr(error, "strerror", None) or known or error))
