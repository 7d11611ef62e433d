"""Pictures that another streamseg publishes along with its results."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import cv2
import numpy as np
import zmq

from streamseg.errors import MediaError, UsageError, WireError
from streamseg.publishing.address import checked_endpoint
from streamseg.publishing.connection import Connection
from streamseg.publishing.format import EndHeader, FrameHeader, Header, Published, StatusHeader
from streamseg.publishing.subscriber import listen, newest
from streamseg.redaction import redact
from streamseg.video.decode import Timing
from streamseg.video.live.live_decode import DAMAGED
from streamseg.video.reader import Picture, Reader, SourceEvent, SourceInfo
from streamseg.video.source import SourceKind
from streamseg.video.timeline import Timeline

SCHEME = "streamseg://"
MISSED = "missed"
"""Frames that the publisher's source had and that did not come here, wherever they were lost."""
_TIME_BASE = Fraction(1, 90000)
_LOOK_MS = 100
_WAIT_AT_START_S = 5.0
"""Others need not wait longer than this for a publisher that may not be there yet."""

_log = logging.getLogger("streamseg.video")


@dataclass(frozen=True)
class Publisher:
    """What ``streamseg://…`` names."""

    endpoint: str
    """For ZeroMQ."""
    stream: str | None
    """None: the first that is heard of."""


def parse_publisher(source: str) -> Publisher:
    """What ``streamseg://HOST:PORT`` or ``streamseg:///PATH``, with ``?stream=NAME`` behind it, names.

    Raises:
        MediaError: it names no publisher.
    """
    place, _, query = source.removeprefix(SCHEME).partition("?")
    given = parse_qs(query, keep_blank_values=True)
    endpoint = f"ipc://{place}" if place.startswith("/") else f"tcp://{place}"
    if not _is_endpoint(endpoint) or set(given) - {"stream"}:
        raise MediaError(
            f"expected a publisher as streamseg://HOST:PORT or streamseg:///PATH, with ?stream=NAME behind it if there "
            f"are several streams, got {redact(source)!r}; --publish of the other run says where it is"
        )
    return Publisher(endpoint, given.get("stream", [""])[-1] or None)


def _is_endpoint(endpoint: str) -> bool:
    try:
        checked_endpoint(endpoint)
    except UsageError:
        return False
    return True


class PublishedReader(Reader):
    """Reads the pictures of a stream that another streamseg publishes; always the newest, older ones are left out.

    Numbers follow those of the publisher's frames, and `captured_ns` is what the publisher says. A publisher that is
    silent is waited for: it says something every second. The stream ends when the publisher says that it is over.

    Args:
        source: as `parse_publisher` takes it.
        own_key: our ``.key_secret`` file, if the publisher has keys.
        server_key: the publisher's ``.key`` file.
        open_timeout_s: how long to wait for the first picture, unless `wait`.
        read_timeout_s: so long without a word counts as a lost connection.
        reconnect: whether to wait for a publisher that is lost.
        reconnect_attempts: silent for so many read timeouts more, it is given up; None for never.
        wait: whether to wait for a publisher that is not there yet.
        max_frames: give so many at most; None for all.
        first_index: number of the first picture.
        max_pixels: larger pictures are not decoded.
        max_age_s: how old a picture may be when it is given, from when it came here.
        keep_damaged: whether pictures that the publisher calls damaged are given too, marked.
        on_event: told of losses and returns, of the publisher and of its source.

    Raises:
        MediaError: it names no publisher, nobody publishes there, we are not let in, or no pictures are sent.
        UsageError: a key cannot be read, or only one is given.
    """

    def __init__(
        self,
        source: str,
        *,
        own_key: Path | None,
        server_key: Path | None,
        open_timeout_s: float,
        read_timeout_s: float,
        reconnect: bool,
        reconnect_attempts: int | None,
        wait: bool,
        max_frames: int | None,
        first_index: int,
        max_pixels: int,
        max_age_s: float,
        keep_damaged: bool,
        on_event: Callable[[SourceEvent], None] | None = None,
    ) -> None:
        super().__init__(first_index, max_frames)
        self._source = redact(source)
        publisher = parse_publisher(source)
        self._stream = publisher.stream
        self._read_timeout_s = read_timeout_s
        self._reconnect, self._attempts = reconnect, reconnect_attempts
        self._max_pixels = max_pixels
        self._max_age_ns = round(max_age_s * 1e9)
        self._keep_damaged = keep_damaged
        self._on_event = on_event
        # All there from the beginning, since other threads look at it while it grows.
        self.dropped.update(dict.fromkeys((MISSED, DAMAGED), 0))
        self._timeline = Timeline(_TIME_BASE)
        self._next_index = first_index
        self._published: int | None = None
        """The publisher's number of the last frame."""
        self._heard_s = time.monotonic()
        self._lost_ns: int | None = None
        self._tries = 0
        self._connection = Connection()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = zmq.Context()
        try:
            self._socket = listen(
                self._context,
                publisher.endpoint,
                self._stream,
                own_key=own_key,
                server_key=server_key,
                connection=self._connection,
            )
            self._await_first(_WAIT_AT_START_S if wait else open_timeout_s, wait=wait)
        except BaseException:
            self.close()
            raise

    @property
    def live(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Let go of the connection."""
        if self._context is not None:
            self._connection.close()
            self._context.destroy(linger=0)
            self._context = None

    def _await_first(self, seconds: float, *, wait: bool) -> None:
        """Find out what is sent from a first picture, which is old by the time that others are asked for."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for message in self._take():
                if isinstance(message.header, FrameHeader) and self._is_ours(message.header):
                    self._describe(message.header)
                    return
        if not wait:
            raise MediaError(
                f"expected pictures from {self._source}, but none came within {seconds:g} s; check that a run with "
                f"--publish and --publish-image jpeg is going on there"
            )

    def _read(self) -> Iterator[Picture]:
        self._heard_s = time.monotonic()
        while not self._stopping.is_set():
            messages = self._take()
            if not messages and not self._go_on_waiting():
                return
            for message in messages:
                header = message.header
                if not self._is_ours(header):
                    continue
                if isinstance(header, EndHeader):
                    return
                if isinstance(header, StatusHeader):
                    self._say(header.state, header.reason, header.since_ns, header.attempts)
                elif isinstance(header, FrameHeader):
                    self._describe(header)
                    index = self._index_of(header)
                    if header.damaged and not self._keep_damaged:
                        self.dropped[DAMAGED] += 1
                    else:
                        yield self._picture(index, message, header)

    def _take(self) -> list[Published]:
        """What has come, waiting for a moment.

        Raises:
            MediaError: the publisher does not let us in.
        """
        messages = newest(self._socket, _LOOK_MS, self._damage)
        self._connection.look()
        if self._connection.refused:
            raise MediaError(f"expected {self._source} to let us in: {self._connection.refused}")
        if messages:
            self._heard_s = time.monotonic()
            self._come_back()
        return messages

    def _is_ours(self, header: Header) -> bool:
        stream = header.stream
        if self._stream is None:
            # What is said of others, or by later versions of what, is no reason to wait for their pictures.
            if not isinstance(header, FrameHeader):
                return False
            self._stream = stream
        if stream != self._stream:
            self.note(f"{self._source} has several streams; {self._stream!r} is read, ?stream={stream} reads another")
        return stream == self._stream

    def _describe(self, header: FrameHeader) -> None:
        """Learn from a frame what is sent.

        Raises:
            MediaError: no pictures are, or too large ones.
        """
        if header.image is None:
            raise MediaError(
                f"expected pictures from {self._source}, but only results are published there; start that run with "
                f"--publish-image jpeg"
            )
        if header.width * header.height > self._max_pixels:
            raise MediaError(
                f"expected pictures of at most {self._max_pixels} pixels, but those of {self._source} are "
                f"{header.width} x {header.height}; allow more (max_pixels of decode)"
            )
        if self._info is None:
            self.pixel_aspect = Fraction(*header.pixel_aspect) if all(header.pixel_aspect) else Fraction(1)
            self._info = SourceInfo(
                kind=SourceKind.PUBLISHED,
                width=header.width,
                height=header.height,
                fps=None,
                frames=None,
                time_base=_TIME_BASE.as_integer_ratio(),
                codec=header.image.encoding,
                live=True,
            )

    def _index_of(self, header: FrameHeader) -> int:
        """Numbers go on as those of the publisher do; where it begins anew, they just go on."""
        step = 1 if self._published is None else header.frame - self._published
        missed = step - 1 if step > 0 else 0
        self.dropped[MISSED] += missed
        index = self._next_index + missed
        self._published, self._next_index = header.frame, index + 1
        return index

    def _picture(self, index: int, message: Published, header: FrameHeader) -> Picture:
        wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        ticks = None if header.pts_s is None else round(header.pts_s / _TIME_BASE)
        pts = self._timeline.place(Timing(ticks, _TIME_BASE, monotonic_ns, wall_ns, sender_ns=header.captured_ns))
        self.jumps = self._timeline.jumps
        return Picture(
            index=index,
            pts=pts,
            time_base=self.info.time_base,
            captured_ns=header.captured_ns,
            captured_clock="recording" if header.captured_clock == "recording" else "sender",
            arrived_ns=wall_ns,
            arrived_monotonic_ns=monotonic_ns,
            good_until_monotonic_ns=monotonic_ns + self._max_age_ns,
            width=self.info.width,
            height=self.info.height,
            fill=partial(_write, message),
            damaged=header.damaged,
            size_in_source=header.scaled_from or (header.width, header.height),
        )

    def _go_on_waiting(self) -> bool:
        """Whether a publisher that says nothing is waited for.

        Raises:
            MediaError: it has been given up.
        """
        tries = int((time.monotonic() - self._heard_s) / self._read_timeout_s)
        if tries == self._tries or tries == 0:
            return True
        self._tries = tries
        if self._lost_ns is None:
            if not self._reconnect:
                _log.warning("%s: silent; not waiting for it, as asked", self._source)
                return False
            self._lost_ns = time.time_ns()
            _log.warning("%s: lost (silent); waiting until it is there", self._source)
            self._say("lost", "silent", self._lost_ns, 0)
        elif self._attempts is not None and tries > self._attempts:
            raise MediaError(
                f"expected {self._source} to come back, but it was silent for {tries} read timeouts in a row; check "
                f"the publisher, or allow more reconnect attempts"
            )
        else:
            self._say("reconnecting", "silent", self._lost_ns, tries - 1)
        return True

    def _come_back(self) -> None:
        if self._lost_ns is None:
            return
        _log.warning("%s: there again after %.1f s", self._source, (time.time_ns() - self._lost_ns) / 1e9)
        self._say("back", "", self._lost_ns, max(1, self._tries))
        self._lost_ns, self._tries = None, 0
        self.reconnects += 1
        self._timeline.interrupt()

    def _damage(self, error: WireError) -> None:
        if not self.damaged:
            _log.warning("%s: %s; left out", self._source, error)
        self.damaged += 1


def _write(message: Published, out: np.ndarray) -> None:
    """The picture of a frame, scaled to the size of the first.

    Raises:
        WireError: it is damaged.
    """
    image_rgb = message.image_rgb()
    if image_rgb is None:
        raise WireError("expected a picture with the frame, got none")
    height, width = out.shape[:2]
    if image_rgb.shape == out.shape:
        np.copyto(out, image_rgb)
    else:
        cv2.resize(image_rgb, (width, height), dst=out, interpolation=cv2.INTER_AREA)
