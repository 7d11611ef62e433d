"""When each node worked on each frame: what a trace of a run is made of. Noted only where somebody wants a trace."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import msgspec

_MOST = 20_000
"""So many are kept until the next heartbeat; a process that makes more of them loses the oldest."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of time in which one thread of a process was busy with one frame."""

    stream: str
    number: int
    """`seq` of the frame; of a span of reading, its number in the source, since it has not entered yet."""
    began_ns: int
    """By the monotonic clock, which all processes of a machine share."""
    ended_ns: int
    reader: int = 0
    """Number of the reading thread of a source, which waits for its camera and decodes; 0 for any main thread."""


class SpanRecorder:
    """Spans that nobody has been told of yet. Threads may add to it."""

    def __init__(self) -> None:
        self._spans: deque[Span] = deque(maxlen=_MOST)

    def work(self, places: Sequence[tuple[str, int]], began_ns: int, ended_ns: int) -> None:
        """Note frames that were worked on together, as if it had been one after the other.

        Args:
            places: stream and number of each.
            began_ns: by the monotonic clock, like `ended_ns`.
            ended_ns: when all of them were done.
        """
        each_ns = (ended_ns - began_ns) // len(places)
        for position, (stream, seq) in enumerate(places):
            from_ns = began_ns + position * each_ns
            self._spans.append(Span(stream, seq, from_ns, from_ns + each_ns))

    def read(self, stream: str, index: int, began_ns: int, ended_ns: int) -> None:
        """Note a picture that a source has read; called by the thread that does it."""
        self._spans.append(Span(stream, index, began_ns, ended_ns, threading.get_native_id()))

    def take(self) -> list[Span]:
        """All of them, once."""
        return [self._spans.popleft() for _ in range(len(self._spans))]
