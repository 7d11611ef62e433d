"""From an open container to frames in display order, past whatever is damaged, and from frames to upright RGB."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.video.container import strerror
from streamseg.video.deinterlace import Deinterlacer
from streamseg.video.orientation import Orientation
from streamseg.video.pixels import to_eight_bits

_log = logging.getLogger("streamseg.video")

_MAX_FAILURES = 64
"""So many reads that fail one after the other end a file: the demuxer no longer moves on."""


@dataclass(frozen=True)
class Timing:
    """When a frame is to be shown, and when it came."""

    pts: int | None
    time_base: Fraction
    received_ns: int
    """When it came, by the monotonic clock of this machine, which nobody can set."""
    wall_ns: int
    """The same moment in nanoseconds since the epoch, by what this machine's clock showed."""
    demuxed_ns: int | None = None
    """When it came out of the demuxer, by the monotonic clock, if that may be later than when it came."""
    sender_ns: int | None = None
    """When it was taken by the clock of whoever sent it, nanoseconds since the epoch; None if they do not say."""
    planned_ns: int | None = None
    """When it is to be given, by the monotonic clock, if it came with many others at once."""

    @property
    def ages_from_ns(self) -> int:
        """From when on it gets old, by the monotonic clock."""
        return self.received_ns if self.planned_ns is None else self.planned_ns


@dataclass(frozen=True)
class Decoded:
    """A progressive frame as FFmpeg gave it: any pixel format, not yet turned upright."""

    frame: av.VideoFrame
    timing: Timing
    damaged: bool = False
    """Whether parts of it were lost and made up."""
    skipped: int = 0
    """How many pictures between the one before and this were not decoded."""


class Decoding:
    """Iterates over the frames of one stream of one open container, once.

    Args:
        patient: a read that fails is counted and the next one tried, as is right for a damaged file. Otherwise
            the error of FFmpeg is raised, as is right for a connection that may have been lost.
        on_damage: called for each damaged packet or frame.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        shown: str,
        patient: bool,
        stopping: threading.Event,
        on_damage: Callable[[int], None],
    ) -> None:
        self._container = container
        self._stream = stream
        self._shown = shown
        self._patient = patient
        self._stopping = stopping
        self._on_damage = on_damage
        self._packets_read = 0
        self._covered: tuple[float, float] | None = None

    @property
    def covered_s(self) -> float | None:
        """From the beginning of the first packet of any stream to the end of the last one; None if none has a time."""
        return None if self._covered is None else self._covered[1] - self._covered[0]

    def __iter__(self) -> Iterator[Decoded]:
        deinterlacer: Deinterlacer[Timing] = Deinterlacer()
        for frame, timing in self._frames():
            for whole, when in deinterlacer.push(frame, timing):
                yield Decoded(whole, when)
        for whole, when in deinterlacer.flush():
            yield Decoded(whole, when)

    def _frames(self) -> Iterator[tuple[av.VideoFrame, Timing]]:
        unknown = Fraction(1, 1000)
        for packet in self._packets():
            received_ns, wall_ns = time.monotonic_ns(), time.time_ns()
            damaged = packet is not None and packet.size > 0 and packet.is_corrupt
            frames: list[av.VideoFrame] = []
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                damaged = True
                _log.debug("%s: a packet could not be decoded: %s", self._shown, strerror(error))
            damage = max(int(damaged), sum(frame.is_corrupt for frame in frames))
            if damage:
                self._on_damage(damage)
            for frame in frames:
                yield (
                    frame,
                    Timing(frame.pts, frame.time_base or self._stream.time_base or unknown, received_ns, wall_ns),
                )

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """All packets, then what flushes the decoder: an empty one or None."""
        failures = 0
        while failures < _MAX_FAILURES:
            try:
                for each in self._container.demux():
                    if self._stopping.is_set():
                        return
                    failures = 0
                    self._cover(each)
                    if each.stream_index != self._stream.index:
                        continue
                    packet = cast("Packet[VideoStream]", each)
                    if packet.size:
                        self._packets_read += 1
                    else:
                        self._check_all_read()
                    yield packet
            except av.error.FFmpegError as error:
                if not self._patient:
                    raise
                failures += 1
                self._on_damage(1)
                _log.debug("%s: a read failed: %s", self._shown, strerror(error))
            else:
                return
        _log.warning("%s: %d reads in a row failed; what follows is given up", self._shown, failures)
        yield None

    def _cover(self, packet: Packet[Any]) -> None:
        if packet.pts is None:
            return
        begin_s = float(packet.pts * packet.time_base)
        end_s = begin_s + float((packet.duration or 0) * packet.time_base)
        first_s, last_s = self._covered or (begin_s, end_s)
        self._covered = min(first_s, begin_s), max(last_s, end_s)

    def _check_all_read(self) -> None:
        """A file that was cut off ends like a whole one; only its index still knows of what is missing."""
        missing = len(self._stream.index_entries) - self._packets_read if self._patient else 0
        if missing > 0:
            _log.warning("%s: cut off: %d frames that its index lists are not there", self._shown, missing)
            self._on_damage(missing)


class Converter:
    """Frames to upright RGB of one fixed size, by swscale's own conversion.

    Alpha is dropped, not composited: there is no background to composite with. Colors follow the frame's own
    matrix and range tags, BT.601 limited if it has none, as swscale does it. Pixels are taken as square.

    Args:
        width: of the upright pictures, in pixels.
        height: of the upright pictures, in pixels.
        threads: for swscale.
    """

    def __init__(self, width: int, height: int, threads: int = 1) -> None:
        self.width = width
        self.height = height
        self._threads = threads
        self._reformatter = VideoReformatter()

    def write(self, frame: av.VideoFrame, orientation: Orientation, bits: int, out: np.ndarray) -> None:
        """Convert into `out`, (height, width, 3) uint8; one copy after swscale. A frame of another size is scaled.

        Args:
            bits: how many are in use, if it has 16 of gray or of RGB (`streamseg.video.pixels.Depth`); else 16.

        Raises:
            MediaError: FFmpeg cannot convert pixels of that format.
        """
        width, height = orientation.size(self.width, self.height)
        kind = "rgb24" if bits == 16 else "gray16le" if frame.format.name == "gray16le" else "rgb48le"
        try:
            rgb = self._reformatter.reformat(frame, width, height, kind, threads=self._threads)
        except av.error.FFmpegError as error:
            raise MediaError(
                f"pictures of {frame.width}x{frame.height} in pixel format {frame.format.name} cannot be converted to "
                f"RGB: {strerror(error)}; convert the video, say with ffmpeg -pix_fmt yuv420p"
            ) from error
        image = to_eight_bits(rgb.to_ndarray(), bits)
        orientation.write(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), out)
