"""Pictures of a live source, a camera or a stream, through losses of the connection."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.mailbox import Mailbox
from streamseg.video.container import Opening, may_come
from streamseg.video.decode import Converter, Decoded, Timing
from streamseg.video.files.file_reader import describe
from streamseg.video.live.clocks import ClockWatch
from streamseg.video.live.connection import Connection, LostError, Opened
from streamseg.video.live.live_decode import DAMAGED, LATE, WAITED, LiveDecoding
from streamseg.video.orientation import Orientation, orientation_of
from streamseg.video.pixels import Depth, notes_on_pixels, pixel_aspect
from streamseg.video.reader import Picture, Reader, SourceEvent, SourceInfo
from streamseg.video.timeline import Timeline

_log = logging.getLogger("streamseg.video")

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 2.0
"""So that a source is seen again within three seconds of its return."""
_MOST_PATIENCE = 8
_CLOSE_WITHIN_S = 0.2
_MANY_LATE = 50
_LATE_FOR_S = 5.0
_SEGMENT_JUMP_S = 10.0
_WAIT_AT_START_S = 5.0
"""Others need not wait longer than this for a source that may not be there yet."""


@dataclass(frozen=True)
class _Taken:
    """A picture on its way from the thread that decodes to whoever reads."""

    decoded: Decoded
    orientation: Orientation
    connection: int
    """Number of the connection it came by."""


class LiveReader(Reader):
    """Reads a camera or a stream until it is stopped, or, without `reconnect`, until it ends.

    One thread reads packets, another decodes, from the beginning on: of what comes before the first picture is asked
    for, only the newest is kept. No picture is given that is older than `max_age_s`; what is dropped for that is
    counted in `dropped`.

    A connection that ends, breaks or gives no picture for the read timeout is made anew, after 0.5 s and then ever
    longer, up to 2 s. Numbers and presentation times go on growing; the time that was lost shows in them.
    A frame of another size than the first one is scaled to the size of the first.

    Args:
        opening: what to open.
        opened: what came of that, if it is open already; it is taken over in any case.
        reconnect: whether to connect again.
        reconnect_attempts: failures in a row after which it is given up; None for never.
        wait: whether to wait for a source that is not there yet. Then there may be no facts about it at first.
        first_index: number of the first picture.
        max_age_s: how old a picture may be when it is given; of a stream in segments, how long after it is due by the
            pace of the stream.
        keep_damaged: whether damaged pictures are given too, marked, rather than left out and counted.
        on_event: told of losses and returns, in the thread that decodes.

    Raises:
        MediaError: the source cannot be opened and is not waited for, or gives no picture.
    """

    def __init__(
        self,
        opening: Opening,
        opened: tuple[InputContainer, VideoStream] | None,
        *,
        reconnect: bool,
        reconnect_attempts: int | None,
        wait: bool,
        max_frames: int | None,
        first_index: int,
        max_age_s: float,
        keep_damaged: bool,
        on_event: Callable[[SourceEvent], None] | None = None,
    ) -> None:
        super().__init__(first_index, max_frames)
        self._opening = replace(opening, live=True)
        self._reconnect = reconnect
        self._attempts = reconnect_attempts
        self._max_age_s = max_age_s
        # All there from the beginning, since other threads look at it while it grows.
        self.dropped.update(dict.fromkeys((WAITED, LATE, DAMAGED), 0))
        self._watch = ClockWatch(self.clock)
        self._keep_damaged = keep_damaged
        self._on_event = on_event
        self._strict = True
        self._box: Mailbox[_Taken] = Mailbox("freshest")
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._connections = 0
        self._barren = 0
        self._converter: Converter | None = None
        self._depth = Depth(opening.shown, self.note)
        self._timeline: Timeline | None = None
        self._error: Exception | None = None
        self._late_since_s, self._late_said = 0.0, False
        self._wait = wait
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._capture, args=(opened,), name="capture", daemon=True)
        self._thread.start()
        self._begun.wait(_WAIT_AT_START_S if wait else None)
        if self._error is not None:
            raise self._error

    @property
    def live(self) -> bool:
        """Always."""
        return True

    def stop(self) -> None:
        """End the iteration at once; the connection is closed when the read that is under way comes back."""
        super().stop()
        self._box.close()
        self._leave()

    def close(self) -> None:
        """Close the connection, and give it a moment for that."""
        self.stop()
        self._thread.join(_CLOSE_WITHIN_S)
        if self._connection is not None:
            self._connection.join(_CLOSE_WITHIN_S)

    def _read(self) -> Iterator[Picture]:
        self._box.keep_every()
        index = self._start_index
        connection = 0
        given, late = False, 0
        while (taken := self._box.wait()) is not None and not self._stopping.is_set():
            decoded = taken.decoded
            timeline = self._timeline_of(decoded)
            if taken.connection != connection:
                timeline.interrupt()
            connection = taken.connection
            # Numbers begin with the first picture that is given.
            index += decoded.skipped if given else 0
            pts = timeline.place(decoded.timing)
            self._note_jumps(timeline)
            if time.monotonic_ns() > self._good_until_ns(decoded.timing):
                index += given
                late += 1
                self._note_late(late)
                continue
            given, late = True, 0
            self._look_at_clock(decoded.timing)
            yield self._picture(taken, index, pts)
            index += 1
        if self._error is not None and not self._stopping.is_set():
            raise self._error

    def _picture(self, taken: _Taken, index: int, pts: int) -> Picture:
        if self._converter is None:
            raise RuntimeError("the first picture makes the converter")
        timing = taken.decoded.timing
        bits = self._depth.look(taken.decoded.frame, index)
        return Picture(
            index=index,
            pts=pts,
            time_base=self.info.time_base,
            captured_ns=timing.wall_ns if timing.sender_ns is None else timing.sender_ns,
            captured_clock="arrival" if timing.sender_ns is None else "sender",
            arrived_ns=timing.wall_ns,
            arrived_monotonic_ns=timing.received_ns,
            good_until_monotonic_ns=self._good_until_ns(timing),
            width=self.info.width,
            height=self.info.height,
            fill=partial(self._converter.write, taken.decoded.frame, taken.orientation, bits),
            damaged=taken.decoded.damaged,
            size_in_source=taken.orientation.size(taken.decoded.frame.width, taken.decoded.frame.height),
        )

    def _timeline_of(self, decoded: Decoded) -> Timeline:
        if self._timeline is None:
            self._timeline = Timeline(Fraction(*self.info.time_base))
        return self._timeline

    def _note_late(self, in_a_row: int) -> None:
        self.dropped[LATE] += 1
        now_s = time.monotonic()
        if in_a_row == 1:
            self._late_since_s, self._late_said = now_s, False
        # One that takes seconds to decode a picture is not waited for until there are many.
        if not self._late_said and (in_a_row == _MANY_LATE or now_s - self._late_since_s > _LATE_FOR_S):
            self._late_said = True
            _log.warning(
                "%s: %d pictures in a row were older than %g s by the time they were decoded, so none is given; "
                "allow a higher max_age_s, or a smaller picture at the source",
                self._opening.shown,
                in_a_row,
                self._max_age_s,
            )

    def _good_until_ns(self, timing: Timing) -> int:
        """When a picture is too old, by the monotonic clock."""
        return timing.ages_from_ns + round(self._max_age_s * 1e9)

    def _look_at_clock(self, timing: Timing) -> None:
        for sentence in self._watch.look(timing.sender_ns, timing.wall_ns, timing.received_ns):
            self.note(f"{self._opening.shown}: {sentence}")

    def _note_jumps(self, timeline: Timeline) -> None:
        if timeline.jumps and not self.jumps:
            _log.warning("%s: its clock jumps; times are given as if it had not", self._opening.shown)
        self.jumps = timeline.jumps

    def _damage(self, count: int) -> None:
        if not self.damaged:
            _log.warning("%s sends damaged data; going on with what can be decoded", self._opening.shown)
        self.damaged += count

    def _capture(self, opened: tuple[InputContainer, VideoStream] | None) -> None:
        try:
            pictures = self._begin(opened)
            while pictures is not None and (reason := self._hand_over(pictures)) is not None:
                if not self._reconnect:
                    _log.warning("%s: %s; not reconnecting, as asked", self._opening.shown, reason)
                    break
                pictures = self._connect_again(reason)
        except Exception as error:  # noqa: BLE001 (it is raised again by whoever reads)
            self._error = error
        self._begun.set()
        self._box.close()
        self._leave()

    def _begin(self, opened: tuple[InputContainer, VideoStream] | None) -> Iterator[_Taken] | None:
        try:
            pictures = self._connect(opened)
        except MediaError as error:
            if not (self._wait and may_come(error)):
                raise
            self._begun.set()
            return self._connect_again(_reason(error), at_start=True)
        self._begun.set()
        return pictures

    def _hand_over(self, pictures: Iterator[_Taken]) -> str | None:
        """Hand over all pictures of a connection. Returns why it is over; None if the reader was stopped."""
        try:
            for taken in pictures:
                if not self._box.put(taken):
                    return None
        except LostError as lost:
            return str(lost)
        return None

    def _connect(self, opened_already: tuple[InputContainer, VideoStream] | None = None) -> Iterator[_Taken] | None:
        """The pictures of a new connection, whose first one is the proof that it works; None if stopped meanwhile.

        Raises:
            MediaError: it cannot be opened, or gives no picture.
        """
        connection = Connection(self._opening, self._max_age_s, strict=self._strict, opened=opened_already)
        with self._lock:
            self._connection = connection
        if self._stopping.is_set():
            connection.leave()
        opened = connection.opened()
        if opened is None:
            return None
        shown = self._opening.shown
        decoding = LiveDecoding(
            connection,
            opened,
            shown=shown,
            max_age_s=self._max_age_s,
            patience_s=self._opening.read_timeout_s * min(2**self._barren, _MOST_PATIENCE),
            keep_damaged=self._keep_damaged,
            stopping=self._stopping,
            dropped=self.dropped,
            on_damage=self._damage,
        )
        decoded = iter(decoding)
        self._barren += 1
        try:
            first = next(decoded, None)
        except LostError as lost:
            # Of a source that is never quite right, rather something than nothing.
            self._strict = False
            raise MediaError(f"expected pictures from {shown}, got: {lost}; check that it is sending") from None
        if first is None:
            return None
        self._barren = 0
        self._connections += 1
        orientation = orientation_of(first.frame)
        self._describe(opened, first, orientation)
        number = self._connections
        return (_Taken(each, orientation, number) for each in itertools.chain([first], decoded))

    def _describe(self, opened: Opened, first: Decoded, orientation: Orientation) -> None:
        if self._info is not None:
            return
        width, height = orientation.size(first.frame.width, first.frame.height)
        self._converter = Converter(width, height, threads=max(1, self._opening.threads))
        facts = replace(opened.facts, fps=None, frames=None) if opened.clockless else opened.facts
        time_base = Fraction(1, 90000) if opened.clockless else first.timing.time_base
        info: SourceInfo = describe(facts, self._opening, self._converter, time_base, live=True)
        self._timeline = Timeline(time_base, **({"jump_s": _SEGMENT_JUMP_S} if opened.segmented else {}))
        self.pixel_aspect = pixel_aspect(opened.facts, opened.codec, orientation)
        self.note(opened.note)
        for sentence in notes_on_pixels(first.frame, self._opening.shown):
            self.note(sentence)
        self._info = info

    def _connect_again(self, reason: str, *, at_start: bool = False) -> Iterator[_Taken] | None:
        """The pictures of a new connection; None if stopped meanwhile."""
        self._leave()
        shown, since_ns, since_s = self._opening.shown, time.time_ns(), time.monotonic()
        what = "not there yet" if at_start else "lost"
        _log.warning("%s: %s (%s); connecting again until it is there", shown, what, reason)
        self._say("lost", reason, since_ns)
        for attempt, wait_s in enumerate(waits_s(self._attempts), 1):
            if self._stopping.wait(wait_s):
                return None
            self._say("reconnecting", reason, since_ns, attempt)
            try:
                pictures = self._connect()
            except MediaError as error:
                self._leave()
                reason = _reason(error)
                _log.debug("%s: attempt %d failed: %s", shown, attempt, reason)
                continue
            if pictures is not None:
                self.reconnects += not at_start
                self._say("back", "", since_ns, attempt)
                _log.warning("%s: connected again after %.1f s", shown, time.monotonic() - since_s)
            return pictures
        raise MediaError(
            f"expected {shown} to come back, but {self._attempts} attempts in a row failed (the last: {reason}); "
            "check the source, or allow more reconnect attempts"
        )

    def _leave(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.leave()


def _reason(error: MediaError) -> str:
    """Why a source could not be opened, in few words: what came, without what was expected and what to do."""
    came = str(error).partition(";")[0].partition(", ")[2]
    return came.removeprefix("but ").removeprefix("got: ")


def waits_s(attempts: int | None) -> Iterator[float]:
    """Seconds to wait before each attempt: doubling from 0.5 to 2, each 0 to 25 % longer by chance.

    The chance keeps many readers of one server from all coming back in the same instant.
    """
    wait_s, count = _FIRST_WAIT_S, 0
    while attempts is None or count < attempts:
        yield wait_s * random.uniform(1.0, 1.25)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        count += 1
