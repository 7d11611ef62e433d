"""What ``streamseg listen`` says of messages: a line for each, and a summary."""

from __future__ import annotations

import time
from collections import Counter

from streamseg.cli.output.text import shown
from streamseg.publishing.format import (
    FrameHeader,
    GapHeader,
    HeartbeatHeader,
    Published,
    PublishedObject,
    StatusHeader,
)
from streamseg.types import Box


def line_of(message: Published, received_ns: int) -> str:
    """A message in a line that people can read.

    Say ``camera frame 12, 41.2 ms old, 2.31 ms on the way; 3 cup TRACKED 0.93 [10,20,30,40] 317 px``.
    """
    header = message.header
    if isinstance(header, FrameHeader):
        age_ms, way_ms = ((received_ns - then_ns) / 1e6 for then_ns in (_came_ns(header), header.published_ns))
        head = f"{header.stream} frame {header.frame}, {age_ms:.1f} ms old, {way_ms:.2f} ms on the way"
        damaged = ["the picture is damaged"] if header.damaged else []
        return "; ".join([head, *damaged, *map(_object_text, header.objects)])
    if isinstance(header, GapHeader):
        return f"{header.stream} gap {header.frame}: {header.reason}"
    if isinstance(header, StatusHeader):
        reason = f": {header.reason}" if header.reason else ""
        return f"{header.stream} status {header.state}, {header.attempts} attempts{reason}"
    if isinstance(header, HeartbeatHeader):
        return f"{header.stream} heartbeat" + (f", the source is {header.state}" if header.state else "")
    return f"{header.stream} {message.kind}"


def _came_ns(header: FrameHeader) -> int:
    """When the picture came; publishers of before know no other time."""
    return header.captured_ns if header.arrived_ns is None else header.arrived_ns


def _object_text(found: PublishedObject) -> str:
    label = f"{found.label} " if found.label else ""
    return f"{found.id} {label}{found.state} {found.score:.2f} [{_box_text(found.box_xyxy)}] {found.area_px} px"


def _box_text(box_xyxy: Box | None) -> str:
    return "" if box_xyxy is None else ",".join(f"{edge:.0f}" for edge in box_xyxy)


class Heard:
    """What has been heard so far."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()
        self._kinds: Counter[str] = Counter()
        self._numbers: dict[str, tuple[int, int, int]] = {}
        """Of each stream the first and last number of a frame, and how many there were, gaps included."""
        self._oldest_ms = float("-inf")
        self._ages_ms = 0.0
        self.strange = 0
        """Messages that were not understood."""

    @property
    def count(self) -> int:
        """How many messages there were."""
        return self._kinds.total()

    def add(self, message: Published, received_ns: int) -> None:
        """Count one."""
        header = message.header
        self._kinds[message.kind] += 1
        if isinstance(header, FrameHeader):
            age_ms = (received_ns - _came_ns(header)) / 1e6
            self._oldest_ms = max(self._oldest_ms, age_ms)
            self._ages_ms += age_ms
        if isinstance(header, FrameHeader | GapHeader):
            first, _, count = self._numbers.get(header.stream, (header.frame, header.frame, 0))
            self._numbers[header.stream] = first, header.frame, count + 1

    def summary(self) -> str:
        """In a line or two."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._kinds.most_common())
        said = [f"heard in {time.monotonic() - self._begin_s:.1f} s: {kinds or 'nothing'}"]
        for stream, (first, last, count) in self._numbers.items():
            missing = max(0, last - first + 1 - count)
            said.append(
                f"{stream}: frames {first} to {last}" + (f" without {missing} that did not come" if missing else "")
            )
        if frames := self._kinds["frame"]:
            said.append(f"a frame was {self._ages_ms / frames:.0f} ms old, {self._oldest_ms:.0f} at most")
        if self.strange:
            said.append(f"{self.strange} messages were not understood")
        return shown("; ".join(said))
