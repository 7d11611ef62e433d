"""One connection to a live source, read by a thread of its own, so that no packet waits for the decoder unseen."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.video.container import Opening, StreamFacts, open_video, set_threads, stream_facts, strerror
from streamseg.video.live.arrival import ArrivalClock
from streamseg.video.live.backlog import Arrived, Backlog
from streamseg.video.live.clocks import SenderTimes
from streamseg.video.live.pace import BurstPace
from streamseg.video.streams import note_on_choice

_SEGMENTED = ("hls", "dash")
_PROBING_S = 2.0
"""What is read to find out about a stream may be so old by the time it is open."""
_SILENT_ABOUT_DAMAGE = ("mjpeg", "hevc")
"""Decoders that say nothing of pictures that they could decode in part only, unless they are told to refuse these."""
SILENT = "no data within the read timeout"


class LostError(ConnectionError):
    """A connection is over; the text says why."""


@dataclass(frozen=True)
class Opened:
    """What is known of a connection once it is open. Good for as long as one likes, other than the stream itself."""

    codec: VideoCodecContext
    facts: StreamFacts
    time_base: Fraction
    format_name: str
    note: str | None
    """Which of its video streams it is, if there are several."""

    @property
    def clockless(self) -> bool:
        """Whether its pictures have no times: FFmpeg numbers those of such cameras as if they were 25 a second."""
        return self.format_name == "mpjpeg"

    @property
    def segmented(self) -> bool:
        """Whether pictures come in pieces of some seconds, each at once."""
        return self.format_name in _SEGMENTED


class Connection:
    """Opens a source and reads its packets into a backlog until it is left, is lost, or ends.

    Only its own thread touches the container, and closes it: to close one under a read would bring the process down.

    Args:
        opening: what to open.
        max_age_s: how long a packet may wait to be decoded.
        strict: whether the decoder reports damage that it would otherwise not speak of.
        opened: what came of opening it, if it is open already.
    """

    def __init__(
        self,
        opening: Opening,
        max_age_s: float,
        *,
        strict: bool = True,
        opened: tuple[InputContainer, VideoStream] | None = None,
    ) -> None:
        self._opening = opening
        self._strict = strict
        self._change = threading.Condition()
        self._backlog = Backlog(max_age_s)
        self._opened: Opened | None = None
        self._failure: MediaError | None = None
        self._over: str | None = None
        self._left = False
        self._heard_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="demux", daemon=True)
        self._thread.start()

    def opened(self) -> Opened | None:
        """Wait until it is open; None if it was left meanwhile.

        Raises:
            MediaError: it cannot be opened.
        """
        with self._change:
            self._change.wait_for(lambda: self._opened is not None or self._failure is not None or self._left)
            if self._failure is not None:
                raise self._failure
            return None if self._left else self._opened

    def take(self, until_s: float) -> Arrived | None:
        """The next packet; None if none came until then (by the monotonic clock), or the connection was left.

        Raises:
            LostError: the connection is over and everything that came has been taken.
        """
        with self._change:
            while not self._left:
                now_s = time.monotonic()
                arrived = self._backlog.take(now_s)
                if arrived is not None:
                    return arrived
                if self._over is not None:
                    raise LostError(self._over)
                # The demuxer of some protocols asks twice before it gives up, so its word is not waited for.
                silent_s = self._heard_s + self._opening.read_timeout_s
                if now_s >= silent_s:
                    raise LostError(SILENT)
                if now_s >= until_s:
                    return None
                self._change.wait(min(silent_s, until_s) - now_s)
            return None

    def waiting(self) -> tuple[Arrived, Arrived] | None:
        """The oldest and the newest packet that wait."""
        with self._change:
            return self._backlog.peek()

    @property
    def needs_key_frame(self) -> bool:
        """Whether packets come but are skipped until a key frame does."""
        return self._backlog.needs_key_frame

    def leave(self) -> None:
        """Let it go; its thread closes it when the read that is under way comes back. May be called twice."""
        with self._change:
            self._left = True
            self._change.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to be through with it."""
        self._thread.join(timeout_s)

    def _run(self, opened_already: tuple[InputContainer, VideoStream] | None) -> None:
        began_s = time.monotonic()
        try:
            container, stream = opened_already or open_video(self._opening)
        except MediaError as error:
            with self._change:
                self._failure = error
                self._change.notify_all()
            return
        with contextlib.closing(container):
            set_threads(stream, self._opening.threads, live=True)
            stream.codec_context.copy_opaque = True
            if self._strict and stream.codec_context.name in _SILENT_ABOUT_DAMAGE:
                stream.codec_context.options = {"err_detect": "explode"}
            opened = Opened(
                stream.codec_context,
                stream_facts(stream),
                stream.time_base or Fraction(1, 1000),
                container.format.name,
                note_on_choice(container, stream, self._opening.shown),
            )
            self._sender_times = SenderTimes(opened.format_name)
            self._pace = BurstPace() if opened.segmented else None
            now_s = time.monotonic()
            probing_s = _PROBING_S if opened_already is not None else min(_PROBING_S, now_s - began_s)
            with self._change:
                self._heard_s = now_s
                self._opened = opened
                self._change.notify_all()
            try:
                clock = None if opened.segmented or opened.clockless else ArrivalClock(probing_s, now_s)
                reason = self._read(container, stream, clock)
            except av.error.FFmpegError as error:
                reason = strerror(error)
        with self._change:
            self._over = reason
            self._change.notify_all()

    def _read(self, container: InputContainer, stream: VideoStream, clock: ArrivalClock | None) -> str:
        # All streams are asked for: sound that goes on must not hide that the pictures have stopped.
        for packet in container.demux():
            now_s = time.monotonic()
            if self._left:
                return "it was left"
            if now_s - self._heard_s >= self._opening.read_timeout_s:
                # What a demuxer gives out at the end of such a silence has been in it since the beginning.
                return SILENT
            if packet.stream_index == stream.index and packet.size:
                self._put(cast("Packet[VideoStream]", packet), clock, now_s)
        return "the stream ended"

    def _put(self, packet: Packet[VideoStream], clock: ArrivalClock | None, now_s: float) -> None:
        ticks = packet.pts if packet.dts is None else packet.dts
        time_s = None if ticks is None else float(ticks * packet.time_base)
        age_s = 0.0 if clock is None else clock.age_s(time_s, now_s)
        wall_ns = time.time_ns() - round(age_s * 1e9)
        sender_ns = self._sender_times.of(packet)
        planned_s = None if self._pace is None else self._pace.due_s(time_s, now_s)
        with self._change:
            self._heard_s = now_s
            self._backlog.put(Arrived(packet, wall_ns, now_s, age_s, sender_ns, planned_s))
            self._change.notify_all()
