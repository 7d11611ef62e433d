"""What the sender of a picture says about when it was taken, and what the clocks of both sides do meanwhile."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from av.packet import Packet

_SAYS_WHEN = ("rtsp", "rtp", "sdp")
"""Formats of FFmpeg whose packets may say when their picture was taken: each one, from the first report on."""
_SEVERAL_BYTES = 3000
"""A picture that is larger was sent in several pieces."""
_EQUAL, _BACK, _AHEAD, _SET = "equal", "back", "ahead", "set"
_JUMP_NS = 1_000_000_000
_SAME_NS = 10_000
"""FFmpeg has a sender's times in microseconds."""
_SET_NS = 50_000_000
"""A clock that is only corrected moves by far less from one picture to the next."""


class SenderTimes:
    """When the pictures of one connection were taken, as their sender says it.

    FFmpeg works it out from the sender reports of RTP (RFC 3550, 6.4.1) for each piece of a picture that comes, and
    puts pieces together when the first one of the next picture is there. So what is said with a picture that came in
    one piece, or with the first after a report, is of the next picture. Hence the difference between the sender's
    clock and the presentation times is taken from pictures that came in several pieces, as key frames do: their
    parameters go ahead of them.

    Args:
        format_name: FFmpeg's name of the format.
    """

    def __init__(self, format_name: str) -> None:
        self._says_when = format_name in _SAYS_WHEN
        self._said_before = False
        self._offset_ns: int | None = None
        self._last_shown_ns = 0

    def of(self, packet: Packet[Any]) -> int | None:
        """When the picture of the next packet was taken, nanoseconds since the epoch by the sender's clock."""
        said_ns = _said_ns(packet) if self._says_when else None
        said_before, self._said_before = self._said_before, said_ns is not None
        if said_ns is None or not said_before:
            self._offset_ns = None
            return None
        own = packet.is_keyframe or packet.size > _SEVERAL_BYTES
        if packet.pts is None:
            return said_ns if own else None
        shown_ns = round(packet.pts * packet.time_base * 10**9)
        step_ns, self._last_shown_ns = abs(shown_ns - self._last_shown_ns), shown_ns
        offset_ns = said_ns - shown_ns
        if own or self._offset_ns is None or abs(offset_ns - self._offset_ns) > max(_JUMP_NS, 2 * step_ns):
            self._offset_ns = offset_ns
        return shown_ns + self._offset_ns


def _said_ns(packet: Packet[Any]) -> int | None:
    """What is said with a packet.

    A sender that knows no time of day may count from when it was switched on, or say nought; both come out as times
    before 1970.
    """
    if not packet.has_sidedata("prft"):
        return None
    (micros,) = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))
    return 1000 * int(micros) if micros > 0 else None


class ClockWatch:
    """Counts what clocks do that they should not; nothing is decided by them.

    Args:
        counts: where. ``sender``, ``arrival``: pictures whose time is that of the sender, or that of when they came.
            ``equal``, ``back``, ``ahead``: the sender's clock stood still, went back, or jumped by more than a
            second from one picture to the next. ``set``: the clock of this machine was set.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        # All there from the beginning, since other threads look at it while it grows.
        counts.update(dict.fromkeys(("sender", "arrival", _EQUAL, _BACK, _AHEAD, _SET), 0))
        self._last: tuple[int, int] | None = None
        self._offset_ns: int | None = None
        self._far_off_said = False

    def look(self, sender_ns: int | None, wall_ns: int, received_ns: int) -> list[str]:
        """Look at the times of the next picture.

        Args:
            sender_ns: when it was taken by the sender's clock; None if that is not known.
            wall_ns: when it came, by this machine's clock, nanoseconds since the epoch.
            received_ns: the same by the monotonic clock.

        Returns:
            What is worth saying, a sentence each.
        """
        said = self._look_at_ours(wall_ns - received_ns)
        self._counts["arrival" if sender_ns is None else "sender"] += 1
        if sender_ns is None:
            self._last = None
            return said
        if self._last is not None:
            self._count_step(sender_ns - self._last[0], received_ns - self._last[1])
        self._last = (sender_ns, received_ns)
        off_ns = sender_ns - wall_ns
        if abs(off_ns) > _JUMP_NS and not self._far_off_said:
            self._far_off_said = True
            which = "behind" if off_ns < 0 else "ahead of"
            said.append(
                f"its clock is {abs(off_ns) / 1e9:.1f} s {which} that of this machine; "
                f"captured_ns is by its clock, arrived_ns by ours"
            )
        return said

    def _count_step(self, step_ns: int, passed_ns: int) -> None:
        if step_ns < -_SAME_NS:
            self._counts[_BACK] += 1
        elif step_ns <= _SAME_NS:
            self._counts[_EQUAL] += 1
        elif step_ns - passed_ns > _JUMP_NS:
            self._counts[_AHEAD] += 1

    def _look_at_ours(self, offset_ns: int) -> list[str]:
        before_ns, self._offset_ns = self._offset_ns, offset_ns
        if before_ns is None or abs(offset_ns - before_ns) < _SET_NS:
            return []
        self._counts[_SET] += 1
        if self._counts[_SET] > 1:
            return []
        step_s = (offset_ns - before_ns) / 1e9
        return [f"the clock of this machine was set by {step_s:+.1f} s; ages are told by one that cannot be set"]
