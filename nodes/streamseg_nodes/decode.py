"""Frames of a video file, a folder of images, a camera or a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from streamseg.errors import GraphError, MediaError
from streamseg.messages import Frame, Stamp
from streamseg.node import Captured, NodeConfig, Source
from streamseg.video.open import Picture, Reader, open_source, redact
from streamseg.video.source import is_pipe, source_facts
from streamseg_nodes.handover import Handover

_OWN = re.compile(r"-|/dev/stdin|/(?:dev|proc/self)/fd/\d+")
Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Decode(Source[Frame]):
    """Reads pictures and hands them on as upright RGB; each is written once, into the frame's own slot.

    Damaged frames are left out and counted. Every frame has the size of the first: should a stream change its size,
    the reader scales, and says so. `index` of the stamp is the frame's number in the source, so that prompts, masks
    and a full read of the same file agree.
    """

    class Config(NodeConfig, frozen=True):
        """Options of decode."""

        source: str
        """A file, a folder of images, a camera (``0``, ``/dev/video0``) or a URL."""
        live: bool | None = None
        """Whether to take the newest frame rather than every frame. None: yes for cameras and endless streams."""
        max_frames: AtLeastOne | None = None
        start: Count = 0
        """Number of the first frame to give; files and folders only."""
        fps: Seconds = 25.0
        """Frames per second of a folder of images."""
        stream: Count | None = None
        """Which of several video streams to read, from 0. None: the best."""
        open_timeout_s: Seconds = 10.0
        read_timeout_s: Seconds = 10.0
        """Silence for so long counts as a lost connection."""
        reconnect: bool = True
        """Whether to connect again when a live source is lost, or to end there."""
        reconnect_attempts: Count | None = None
        """Failures in a row after which a lost source is given up; None for never."""
        input_options: dict[str, str] = {}
        """For FFmpeg's demuxer or device, say ``{video_size: 1280x720, framerate: "30"}``."""

    resumable = True

    config: Config
    _reader: Reader | None = None
    _handover: Handover | None = None
    _reading = False
    _left: int | None = None
    _scaled_from: tuple[int, int] | None = None
    _start = 0

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse what only the process that starts the graph has open.

        Raises:
            GraphError: the source is its standard input.
        """
        if _OWN.fullmatch(config.source):
            raise GraphError(
                f"expected a source that every process can open, got {config.source!r}; give it on the command line "
                f"(streamseg run - …), or write the video to a file"
            )

    @classmethod
    def depends_on(cls, config: Config) -> dict[str, Any]:
        """The file, or those of the folder."""
        return {"source": source_facts(config.source)}

    @property
    def policy(self) -> Literal["every-frame", "freshest"]:
        """Freshest for a live source, every frame otherwise."""
        return "freshest" if self._open_reader().info.live else "every-frame"

    def setup(self) -> None:
        """Open the source and decode its first picture.

        Raises:
            MediaError: the source is missing, unreachable, forbidden, not a video, or has no picture.
        """
        config = self.config
        job = self.context.job
        if job is not None and job.begun and is_pipe(config.source):
            raise MediaError(
                f"expected to go on with {config.source}, but it is a pipe, and what was read from it is gone; "
                f"write the video to a file to be able to go on with it"
            )
        position = None if job is None else job.positions.get(self.context.name)
        left = config.max_frames
        if left is not None and position is not None:
            left -= position.seq
        self._left = left
        self._start = config.start if position is None else position.next_index
        self._reader = open_source(
            config.source,
            live=config.live,
            open_timeout_s=config.open_timeout_s,
            read_timeout_s=config.read_timeout_s,
            reconnect=config.reconnect,
            reconnect_attempts=config.reconnect_attempts,
            start_index=self._start,
            first_index=0 if position is None else position.next_index,
            max_frames=left or config.max_frames,
            image_fps=config.fps,
            threads=self.context.threads,
            options=config.input_options,
            stream=config.stream,
        )
        if self._reader.info.live:
            self._handover = Handover(self._reader)

    def describe(self) -> dict[str, Any]:
        """The source without its secrets, its size, rate and codec, and what was wrong with it or not used so far."""
        reader = self._open_reader()
        info = reader.info
        return {
            "source": redact(self.config.source),
            "kind": info.kind.value,
            "width": info.width,
            "height": info.height,
            "fps": info.fps,
            "frames": self._frames_to_come(),
            "codec": info.codec,
            "live": info.live,
            "pixel_aspect": [reader.pixel_aspect.numerator, reader.pixel_aspect.denominator],
            "notes": list(reader.notes),
            "damaged": reader.damaged,
            "reconnects": reader.reconnects,
        }

    def produce(self) -> Iterator[Captured[Frame]]:
        """Every picture of the source, not converted yet: one that is dropped costs no conversion."""
        if self._left == 0:
            return
        reader = self._open_reader()
        self._reading = True
        if self._handover is not None:
            yield from map(self._captured, self._handover)
            return
        # Closed here, by the thread that reads: closing it under a read would bring the process down.
        with reader:
            yield from map(self._captured, reader)

    def stop(self) -> None:
        """End `produce`; a live source that is silent is not waited for."""
        if self._handover is not None:
            self._handover.stop()
        elif self._reader is not None:
            self._reader.stop()

    def close(self) -> None:
        """Let go of a source that was never read; one that was is closed by its reading thread."""
        self.stop()
        if self._reader is not None and not self._reading:
            self._reader.close()

    def _open_reader(self) -> Reader:
        if self._reader is None:
            raise RuntimeError("setup() opens the source; call it first")
        return self._reader

    def _frames_to_come(self) -> int | None:
        frames = self._open_reader().info.frames
        rest = None if frames is None else max(0, frames - self._start)
        limit = self._left
        return rest if limit is None else limit if rest is None else min(rest, limit)

    def _captured(self, picture: Picture) -> Captured[Frame]:
        make = partial(self._make, picture)
        reader = self._open_reader()
        size, scaled = (picture.width, picture.height), None
        if picture.size_in_source != size:
            scaled = picture.size_in_source
        if scaled != self._scaled_from:
            was, to = scaled or size, "" if scaled is None else f"; they are scaled to {size[0]}x{size[1]}"
            reader.note(f"from frame {picture.index} on pictures are {was[0]}x{was[1]}{to}")
        self._scaled_from = scaled
        return Captured(
            picture.index,
            picture.pts,
            picture.time_base,
            picture.captured_ns,
            make,
            pixel_aspect=(reader.pixel_aspect.numerator, reader.pixel_aspect.denominator),
            scaled_from=scaled,
        )

    def _make(self, picture: Picture, stamp: Stamp) -> Frame:
        image_rgb = self.context.empty(stamp, (picture.height, picture.width, 3), np.uint8)
        picture.write_rgb(image_rgb)
        return Frame(stamp, image_rgb)
