"""Pictures of a live source, a camera or a stream, through losses of the connection."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.video.container import Opening, open_video, set_threads, strerror
from streamseg.video.decode import Converter, Decoded, Decoding, Timing
from streamseg.video.file_reader import describe
from streamseg.video.orientation import Orientation, orientation_of
from streamseg.video.pixels import notes_on_pixels, pixel_aspect
from streamseg.video.reader import Picture, Reader
from streamseg.video.streams import note_on_choice

_log = logging.getLogger("streamseg.video")

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0


class LiveReader(Reader):
    """Reads a camera or a stream until it is stopped, or, without `reconnect`, until it ends.

    A connection that ends, breaks or stays silent for the read timeout is made anew, after 0.5 s and then ever
    longer, up to 10 s. Numbers and presentation times go on growing; the time that was lost shows in them.
    A frame of another size than the first one is scaled to the size of the first.
    """

    def __init__(
        self,
        opening: Opening,
        opened: tuple[InputContainer, VideoStream],
        *,
        reconnect: bool,
        reconnect_attempts: int | None,
        max_frames: int | None,
        first_index: int = 0,
    ) -> None:
        super().__init__(first_index, max_frames)
        self._opening = replace(opening, live=True)
        self._reconnect = reconnect
        self._attempts = reconnect_attempts
        self._container, stream = opened
        self._decoded, first, self._orientation = self._start(opened)
        self._pending: Decoded | None = first
        self._converter = Converter(
            *self._orientation.size(first.frame.width, first.frame.height), threads=max(1, opening.threads)
        )
        self.info = describe(stream, self._opening, self._converter, first, live=True)
        self.pixel_aspect = pixel_aspect(stream, self._orientation)
        self.note(note_on_choice(self._container, stream, opening.shown))
        for sentence in notes_on_pixels(first.frame, opening.shown):
            self.note(sentence)
        # Such cameras send pictures without times; FFmpeg numbers them as if they were 25 a second.
        self._clockless = self._container.format.name == "mpjpeg"
        if self._clockless:
            self.info = replace(self.info, fps=None, time_base=(1, 90000))
        self._timeline = Timeline(Fraction(*self.info.time_base))

    def close(self) -> None:
        """Close the connection."""
        self._container.close()

    def _start(self, opened: tuple[InputContainer, VideoStream]) -> tuple[Iterator[Decoded], Decoded, Orientation]:
        """Begin to decode a connection; its first frame is the proof that it works."""
        container, stream = opened
        set_threads(stream, self._opening.threads, live=True)
        decoded = iter(
            Decoding(
                container,
                stream,
                shown=self._opening.shown,
                patient=False,
                stopping=self._stopping,
                on_damage=self._damage,
            )
        )
        try:
            first = next(decoded, None)
        except av.error.FFmpegError as error:
            raise MediaError(
                f"expected pictures from {self._opening.shown}, got: {strerror(error)}; check that it is sending"
            ) from None
        if first is None:
            raise MediaError(f"expected pictures from {self._opening.shown}, none came; check that it is sending")
        return decoded, first, orientation_of(first.frame)

    def _damage(self, count: int) -> None:
        if not self.damaged:
            _log.warning("%s sends damaged data; going on with what can be decoded", self._opening.shown)
        self.damaged += count

    def _read(self) -> Iterator[Picture]:
        index = self._start_index
        while (decoded := self._next()) is not None:
            yield Picture(
                index=index,
                pts=self._timeline.place(self._timing(decoded)),
                time_base=self.info.time_base,
                captured_ns=decoded.timing.received_ns,
                width=self.info.width,
                height=self.info.height,
                fill=partial(self._converter.write, decoded.frame, self._orientation),
                size_in_source=self._orientation.size(decoded.frame.width, decoded.frame.height),
            )
            index += 1

    def _timing(self, decoded: Decoded) -> Timing:
        return replace(decoded.timing, pts=None) if self._clockless else decoded.timing

    def _next(self) -> Decoded | None:
        if self._pending is not None:
            decoded, self._pending = self._pending, None
            return decoded
        try:
            following = next(self._decoded, None)
            reason = "the stream ended"
        except av.error.FFmpegError as error:
            following = None
            reason = strerror(error)
        if following is not None or self._stopping.is_set():
            return following
        if not self._reconnect:
            _log.warning("%s: %s; not reconnecting, as asked", self._opening.shown, reason)
            return None
        return self._connect_again(reason)

    def _connect_again(self, reason: str) -> Decoded | None:
        """The first frame of a new connection; None if stopped meanwhile."""
        self._container.close()
        shown = self._opening.shown
        for wait_s in waits_s(self._attempts):
            _log.warning("%s: lost (%s); connecting again in %.1f s", shown, reason, wait_s)
            if self._stopping.wait(wait_s):
                return None
            try:
                opened = open_video(self._opening)
                self._container = opened[0]
                self._decoded, first, self._orientation = self._start(opened)
            except MediaError as error:
                self._container.close()
                reason = str(error).partition(";")[0]
                continue
            self.reconnects += 1
            self._timeline.interrupt()
            _log.info("%s: connected again", shown)
            return first
        raise MediaError(
            f"expected {shown} to come back, but {self._attempts} attempts in a row failed (the last: {reason}); "
            "check the source, or allow more reconnect attempts"
        )


def waits_s(attempts: int | None) -> Iterator[float]:
    """Seconds to wait before each attempt: doubling from 0.5 to 10, each 0 to 25 % longer by chance.

    The chance keeps many readers of one server from all coming back in the same instant.
    """
    wait_s, count = _FIRST_WAIT_S, 0
    while attempts is None or count < attempts:
        yield wait_s * random.uniform(1.0, 1.25)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        count += 1


class Timeline:
    """One growing presentation time, in one time base, out of connections that each have a clock of their own.

    Where a clock starts again, the time that went by at our end is put in between.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._offset = 0
        self._first_ns: int | None = None
        self._last: tuple[int, int] | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """The next frame comes from a new connection."""
        self._interrupted = True

    def place(self, timing: Timing) -> int:
        """The frame's time in units of the time base; larger than that of every frame before."""
        if self._first_ns is None:
            self._first_ns = timing.received_ns
        if timing.pts is None:
            own = round(Fraction(timing.received_ns - self._first_ns, 10**9) / self._time_base)
        else:
            own = round(timing.pts * timing.time_base / self._time_base)
        if self._last is not None:
            last_pts, last_ns = self._last
            if self._interrupted or own + self._offset <= last_pts:
                gone = round(Fraction(timing.received_ns - last_ns, 10**9) / self._time_base)
                self._offset = last_pts + max(1, gone) - own
        self._interrupted = False
        self._last = (own + self._offset, timing.received_ns)
        return own + self._offset
