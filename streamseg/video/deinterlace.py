"""Whole pictures from interlaced frames: one picture a frame, with FFmpeg's bwdif filter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Generic, TypeVar

import av
import av.filter

Tag = TypeVar("Tag")


class Deinterlacer(Generic[Tag]):
    """Passes progressive frames through untouched until the first interlaced one comes; from then on all frames
    go through the filter, which still leaves those alone that are not flagged as interlaced.

    The filter needs the frame after, so pictures come out one later; each keeps the tag that went in with it.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._layout: tuple[object, ...] = ()
        self._tags: deque[Tag] = deque()

    def push(self, frame: av.VideoFrame, tag: Tag) -> Iterator[tuple[av.VideoFrame, Tag]]:
        """Take one frame, give what is ready."""
        if self._graph is None and not frame.interlaced_frame:
            yield frame, tag
            return
        layout = (frame.width, frame.height, frame.format.name)
        if self._graph is not None and layout != self._layout:
            yield from self.flush()
        if self._graph is None:
            self._graph, self._layout = _bwdif(frame), layout
        self._tags.append(tag)
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[tuple[av.VideoFrame, Tag]]:
        """Give what is left, at the end of the stream."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready()
            self._graph = None
            self._tags.clear()

    def _ready(self) -> Iterator[tuple[av.VideoFrame, Tag]]:
        while self._graph is not None:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield frame, self._tags.popleft()


def _bwdif(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    time_base = frame.time_base or Fraction(1, 1000)
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:"
        f"time_base={time_base.numerator}/{time_base.denominator}",
    )
    filters = [source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")]
    graph.link_nodes(*filters).configure()
    return graph
