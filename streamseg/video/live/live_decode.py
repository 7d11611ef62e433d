"""From the packets of a live connection to pictures that are not old, past whatever is damaged."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import av
import av.error

from streamseg.video.container import strerror
from streamseg.video.decode import Decoded, Timing
from streamseg.video.deinterlace import Deinterlacer
from streamseg.video.live.backlog import Arrived
from streamseg.video.live.connection import Connection, LostError, Opened

_log = logging.getLogger("streamseg.video")

WAITED: Literal["waited"] = "waited"
"""Packets that were skipped since decoding is slower than the stream."""
LATE: Literal["late"] = "late"
"""Pictures that were decoded, but too late."""
DAMAGED: Literal["damaged"] = "damaged"
"""Pictures with parts that were lost and made up."""

_HURRY = 0.5
"""From this share of the bound on, pictures that no other depends on are not decoded …"""
_RELAX = 0.125
"""… until the backlog is back at this share."""
_DAMAGE_LASTS_S = 2.0
"""Pictures after a damaged one are believed again from the next key frame on, or after this time: some streams have
no key frames but renew the picture bit by bit."""


@dataclass(frozen=True)
class _Tag:
    """What belongs to a frame on its way through the deinterlacer."""

    timing: Timing
    damaged: bool
    skipped: int


class LiveDecoding:
    """Iterates over the pictures of one connection, once, until it is left; raises `LostError` when it is over.

    Args:
        connection: the one that `opened` came from.
        patience_s: after so long without a picture, whatever else comes, the connection counts as lost.
        keep_damaged: whether damaged pictures are given too, marked.
        dropped: what is skipped is counted here, by the reason.
        on_damage: called for each damaged packet or picture.
    """

    def __init__(
        self,
        connection: Connection,
        opened: Opened,
        *,
        shown: str,
        max_age_s: float,
        patience_s: float,
        keep_damaged: bool,
        stopping: threading.Event,
        dropped: Counter[str],
        on_damage: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._opened = opened
        self._shown = shown
        self._max_age_s = max_age_s
        self._patience_s = patience_s
        self._keep_damaged = keep_damaged
        self._stopping = stopping
        self._dropped = dropped
        self._damage = _Damage(on_damage, spreads=not opened.codec.codec.intra_only)
        self._deinterlacer: Deinterlacer[_Tag] = Deinterlacer()
        self._hurry = _Hurry(opened.codec)
        self._skipped = 0
        self._begun = False

    def __iter__(self) -> Iterator[Decoded]:
        seen_s = time.monotonic()
        while True:
            try:
                arrived = self._connection.take(seen_s + self._patience_s)
            except LostError:
                # What the decoder still holds is given too; whoever takes it looks at its age.
                yield from self._sound(self._decode(None))
                raise
            if self._stopping.is_set():
                return
            if arrived is None or time.monotonic() > seen_s + self._patience_s:
                more = ", waiting for a key frame" if self._connection.needs_key_frame else ""
                raise LostError(f"no picture within the read timeout{more}")
            for decoded in self._decode(arrived):
                seen_s = time.monotonic()
                yield from self._sound([decoded])
                seen_s = time.monotonic()

    def _sound(self, pictures: Iterable[Decoded]) -> Iterator[Decoded]:
        """Those that are not damaged, or all of them if so asked."""
        for decoded in pictures:
            if decoded.damaged and not self._keep_damaged:
                self._dropped[DAMAGED] += 1
                self._skipped += 1 + decoded.skipped
            else:
                yield decoded

    def _decode(self, arrived: Arrived | None) -> Iterator[Decoded]:
        if arrived is None:
            yield from self._whole(self._frames(None))
            for frame, tag in self._deinterlacer.flush():
                yield Decoded(frame, tag.timing, tag.damaged, tag.skipped)
            return
        late_s = self._wait(arrived)
        if arrived.skipped:
            self._begin_anew(arrived.skipped)
        self._hurry.hurry(late_s > self._max_age_s * (_RELAX if self._hurry.on else _HURRY))
        self._hurry.feed(arrived)
        yield from self._whole(self._frames(arrived))

    def _wait(self, arrived: Arrived) -> float:
        """Wait until a packet is due. Returns how late it is, in seconds."""
        due_s = arrived.due_s
        self._stopping.wait(max(0.0, due_s - time.monotonic()))
        return time.monotonic() - due_s

    def _begin_anew(self, skipped: int) -> None:
        if not self._dropped[WAITED]:
            _log.warning(
                "%s: decoding is slower than the stream; what would get older than %g s is skipped",
                self._shown,
                self._max_age_s,
            )
        self._count_skipped(skipped + self._hurry.forget())
        self._opened.codec.flush_buffers()
        self._deinterlacer = Deinterlacer()

    def _count_skipped(self, count: int) -> None:
        self._skipped += count
        self._dropped[WAITED] += count

    def _frames(self, arrived: Arrived | None) -> Iterator[tuple[av.VideoFrame, _Tag]]:
        frames: list[av.VideoFrame] = []
        if arrived is not None:
            arrived.packet.opaque = arrived
        try:
            frames = self._opened.codec.decode(None if arrived is None else arrived.packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            self._lose()
            _log.debug("%s: a packet could not be decoded: %s", self._shown, strerror(error))
        for frame in frames:
            self._begun = True
            # The decoder may have held it back: what counts is when its own packet came, not the one before us.
            own = frame.opaque if isinstance(frame.opaque, Arrived) else arrived
            self._count_skipped(self._hurry.passed_over(frame.pts))
            skipped, self._skipped = self._skipped, 0
            damaged = self._damage.is_in(frame, own)
            yield frame, _Tag(self._timing(frame, own), damaged, skipped)

    def _lose(self) -> None:
        """A packet could not be decoded. Before the first key frame that is no damage: the beginning was missed."""
        if self._begun:
            self._damage.lost()
            self._dropped[DAMAGED] += 1
            self._skipped += 1

    def _timing(self, frame: av.VideoFrame, own: Arrived | None) -> Timing:
        pts = None if self._opened.clockless else frame.pts
        time_base = frame.time_base or self._opened.time_base
        if own is None:
            return Timing(pts, time_base, time.monotonic_ns(), time.time_ns())
        received_s = own.queued_s - own.age_s
        planned_ns = None if own.planned_s is None else round(own.planned_s * 1e9)
        return Timing(
            pts,
            time_base,
            round(received_s * 1e9),
            own.wall_ns,
            round(own.queued_s * 1e9),
            own.sender_ns,
            planned_ns,
        )

    def _whole(self, frames: Iterator[tuple[av.VideoFrame, _Tag]]) -> Iterator[Decoded]:
        for frame, tag in frames:
            for whole, its in self._deinterlacer.push(frame, tag):
                yield Decoded(whole, its.timing, its.damaged, its.skipped)


class _Damage:
    """Which pictures have parts that were lost: those that the decoder had to mend, and those made from them.

    Args:
        on_damage: called for each damaged packet or picture, not for those that only follow one.
        spreads: whether pictures are made from earlier ones.
    """

    def __init__(self, on_damage: Callable[[int], None], *, spreads: bool) -> None:
        self._on_damage = on_damage
        self._spreads = spreads
        self._until_s: float | None = None

    def lost(self) -> None:
        """A packet could not be decoded."""
        self._on_damage(1)
        self._until_s = time.monotonic() + _DAMAGE_LASTS_S

    def is_in(self, frame: av.VideoFrame, own: Arrived | None) -> bool:
        """Whether a picture is damaged, or made from one that is."""
        if frame.is_corrupt or (own is not None and own.packet.is_corrupt):
            self.lost()
            return True
        if frame.key_frame or self._until_s is None or time.monotonic() > self._until_s:
            self._until_s = None
        return self._spreads and self._until_s is not None


class _Hurry:
    """Leaves out, while it is on, the pictures that no other depends on, and knows how many those were."""

    def __init__(self, codec: av.VideoCodecContext) -> None:
        self._codec = codec
        self._owed: list[int] = []
        self.on = False

    def hurry(self, on: bool) -> None:
        if on != self.on:
            self.on = on
            self._codec.skip_frame = "NONREF" if on else "DEFAULT"

    def feed(self, arrived: Arrived) -> None:
        if self.on and arrived.packet.pts is not None:
            self._owed.append(arrived.packet.pts)

    def passed_over(self, pts: int | None) -> int:
        """How many pictures before this one have been left out, or lost, since it was asked last."""
        if pts is None or not self._owed:
            return 0
        missing = sum(each < pts for each in self._owed)
        self._owed = [each for each in self._owed if each > pts]
        return missing

    def forget(self) -> int:
        """The decoder begins anew: nothing of what went in comes out any more. Returns how many that were."""
        missing = len(self._owed)
        self._owed.clear()
        return missing
