"""Packets of a live source that wait to be decoded, and what of them is skipped when they wait too long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from av.packet import Packet
from av.video.stream import VideoStream


@dataclass(frozen=True)
class Arrived:
    """A packet, and when it came."""

    packet: Packet[VideoStream]
    wall_ns: int
    """When its data came, nanoseconds since the epoch, as well as that can be known."""
    queued_s: float
    """When it came out of the demuxer, in seconds of the monotonic clock."""
    age_s: float = 0.0
    """How long it had been there by then, as well as that can be known."""
    sender_ns: int | None = None
    """When its picture was taken by the sender's clock, nanoseconds since the epoch; None if it does not say."""
    planned_s: float | None = None
    """When it is to be decoded, in seconds of the monotonic clock, if that is later than it came out of the demuxer."""
    skipped: int = 0
    """Packets that were skipped between the one before and this; the decoder has to begin anew here."""

    @property
    def due_s(self) -> float:
        """When it is to be decoded, in seconds of the monotonic clock."""
        return self.queued_s if self.planned_s is None else self.planned_s


class Backlog:
    """A queue whose oldest packet never waits longer than a bound for its turn once it is due.

    Where it would, the packets up to the newest key frame that is due are skipped; if that is too old as well, all of
    them, and what comes until a key frame does. Not to be shared between threads without a lock.

    Args:
        max_age_s: the bound.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._waiting: deque[Arrived] = deque()
        self._skipped = 0
        self._needs_key_frame = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def needs_key_frame(self) -> bool:
        """Whether what comes is skipped until a key frame does."""
        return self._needs_key_frame

    def put(self, arrived: Arrived) -> None:
        """Take in a packet."""
        if self._needs_key_frame and not arrived.packet.is_keyframe:
            self._skipped += 1
            return
        self._needs_key_frame = False
        self._waiting.append(arrived)
        self._skip(arrived.queued_s)

    def take(self, now_s: float) -> Arrived | None:
        """The next packet to decode; None if there is none."""
        self._skip(now_s)
        if not self._waiting:
            return None
        arrived = self._waiting.popleft()
        skipped, self._skipped = self._skipped, 0
        return replace(arrived, skipped=skipped) if skipped else arrived

    def peek(self) -> tuple[Arrived, Arrived] | None:
        """The oldest and the newest packet that wait."""
        return (self._waiting[0], self._waiting[-1]) if self._waiting else None

    def _skip(self, now_s: float) -> None:
        oldest_s = now_s - self._max_age_s
        if not self._waiting or self._waiting[0].due_s >= oldest_s:
            return
        keys = [n for n, each in enumerate(self._waiting) if each.packet.is_keyframe and each.due_s >= oldest_s]
        due = [n for n in keys if self._waiting[n].due_s <= now_s]
        # The newest that is due, not the first that is young enough: whoever is behind needs the distance.
        keep = due[-1] if due else keys[0] if keys else len(self._waiting)
        for _ in range(keep):
            self._waiting.popleft()
        self._skipped += keep
        self._needs_key_frame = not self._waiting
