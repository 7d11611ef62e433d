"""Frames of a video file, a folder of images, a bag, a camera or a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streamseg.errors import GraphError, MediaError
from streamseg.messages import Frame, SourceStatus, Stamp
from streamseg.node import Captured, Source
from streamseg.regular_files import inherited_fd
from streamseg.video.container import Opening
from streamseg.video.extent import extent_before
from streamseg.video.live.cameras import CameraMode
from streamseg.video.open import Picture, Reader, SourceEvent, SourceKind, classify, open_source, redact
from streamseg.video.source import is_pipe, source_facts
from streamseg_nodes.decode_options import DecodeOptions, camera_mode, check_source, ffmpeg_options


class Decode(Source[Frame]):
    """Reads pictures and hands them on as upright RGB; each is written once, into the frame's own slot.

    What cannot be decoded is left out and counted, and so are damaged pictures of a live source; those of a file,
    mended by the decoder, are counted and kept. No picture of a live source enters that is older than `max_age_s`.
    Every frame has the size of the first: should a stream change its size, the reader scales, and says so. `index` of
    the stamp is the frame's number in the source, so that prompts, masks and a full read of the same file agree.
    """

    Config = DecodeOptions

    resumable = True

    config: DecodeOptions
    _reader: Reader | None = None
    _reading = False
    _left: int | None = None
    _scaled_from: tuple[int, int] | None = None
    _start = 0
    _asked: tuple[int, int] | None = None
    """The size that the camera was asked for, until its first picture shows what it gives."""

    @classmethod
    def check(cls, config: DecodeOptions) -> None:
        """Refuse what only the process that starts the graph has open.

        Raises:
            GraphError: the source is its standard input, or none.
        """
        if not config.source:
            raise GraphError("expected a source as a path, the number of a camera or a URL, got an empty text")
        if inherited_fd(config.source) is not None:
            raise GraphError(
                f"expected a source that every process can open, got {config.source!r}; give it on the command line "
                f"(streamseg run - …), or write the video to a file"
            )
        try:
            mode = camera_mode(config)
        except ValueError as error:
            raise GraphError(f"camera_size: {error}") from None
        if mode != CameraMode() and classify(config.source) is not SourceKind.CAMERA:
            raise GraphError(
                f"camera_size, camera_fps and camera_format are for cameras, and {redact(config.source)} is none; "
                f"leave them out, or give each source a node of its own in a graph file"
            )
        check_source(config)

    @classmethod
    def depends_on(cls, config: DecodeOptions) -> dict[str, Any]:
        """The file, or those of the folder or bag; of a folder that is still being filled nothing."""
        return {"source": source_facts(config.source) if config.follow_folder is None else None}

    @classmethod
    def ends_before(cls, config: DecodeOptions, frame: int | None, time_s: float | None) -> str | None:
        """Where a file, a bag or a folder ends."""
        given = None if config.max_frames is None or config.live else config.start + config.max_frames
        if given is not None and frame is not None and frame >= given:
            return f"is read from frame {config.start} to {given - 1}"
        if config.follow_folder is not None:
            return None
        opening = Opening(
            config.source,
            config.live,
            config.open_timeout_s,
            config.read_timeout_s,
            threads=1,
            options=ffmpeg_options(config),
            max_pixels=config.max_pixels,
            stream=config.stream,
            playlists_anywhere=config.playlists_anywhere,
        )
        found = extent_before(opening, frame, time_s, config.fps, config.topic)
        return None if found is None else str(found)

    @property
    def policy(self) -> Literal["every-frame", "freshest"]:
        """Freshest for a live source, every frame otherwise."""
        return "freshest" if self._open_reader().live else "every-frame"

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
        if job is not None and job.begun and classify(config.source) is SourceKind.MEMORY:
            raise MediaError(
                "expected to go on with the frames of a caller, but their iterator cannot be gone back in; begin a new "
                "run"
            )
        left = config.max_frames
        if left is not None and position is not None:
            left -= position.seq
        self._left = left
        self._asked = camera_mode(config).size
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
            max_pixels=config.max_pixels,
            options=ffmpeg_options(config),
            wait=True,
            max_age_s=config.max_age_s,
            on_event=self._tell,
            keep_damaged=config.damaged == "keep",
            stream=config.stream,
            playlists_anywhere=config.playlists_anywhere,
            topic=config.topic,
            start_s=config.start_s,
            end_s=config.end_s,
            follow_folder=config.follow_folder,
            own_key=None if config.own_key is None else Path(config.own_key).expanduser(),
            server_key=None if config.server_key is None else Path(config.server_key).expanduser(),
        )

    def describe(self) -> dict[str, Any]:
        """The source without its secrets, its size, rate and codec, and what was wrong with it or not used so far."""
        reader = self._open_reader()
        info = reader.info if reader.is_known else None
        return {
            "source": redact(self.config.source),
            "kind": classify(self.config.source).value,
            "width": info and info.width,
            "height": info and info.height,
            "fps": info and info.fps,
            "frames": self._frames_to_come(),
            "codec": info and info.codec,
            "live": reader.live,
            "pixel_aspect": [reader.pixel_aspect.numerator, reader.pixel_aspect.denominator],
            "notes": list(reader.notes),
            "damaged": reader.damaged,
            "reconnects": reader.reconnects,
            "jumps": reader.jumps,
            "clock": dict(reader.clock),
            "dropped": dict(reader.dropped),
        }

    @property
    def dropped(self) -> int:
        """Pictures of a live source that got too old, or were damaged, before they could be given."""
        return sum(self.dropped_by.values())

    @property
    def dropped_by(self) -> Mapping[str, int]:
        """The same by the reason: waited, late, damaged, or missed on the way from another publisher."""
        return {} if self._reader is None else dict(self._reader.dropped)

    def counters(self) -> dict[str, int]:
        """Reconnects, damaged pieces, and jumps of the source's clock."""
        reader = self._open_reader()
        return {"reconnects": reader.reconnects, "damaged": reader.damaged, "jumps": reader.jumps}

    def produce(self) -> Iterator[Captured[Frame]]:
        """Every picture of the source, not converted yet: one that is dropped costs no conversion."""
        if self._left == 0:
            return
        reader = self._open_reader()
        self._reading = True
        # Closed here, by the thread that reads: closing it under a read would bring the process down.
        with reader:
            yield from map(self._captured, reader)

    def stop(self) -> None:
        """End `produce`; a live source that is silent is not waited for."""
        if self._reader is not None:
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

    def _tell(self, event: SourceEvent) -> None:
        status = SourceStatus(self.context.name, event.state, event.reason, event.since_ns, event.attempts)
        self.context.tell_status(status)

    def _frames_to_come(self) -> int | None:
        reader = self._open_reader()
        frames = reader.info.frames if reader.is_known else None
        rest = None if frames is None else max(0, frames - self._start)
        limit = self._left
        return rest if limit is None else limit if rest is None else min(rest, limit)

    def _captured(self, picture: Picture) -> Captured[Frame]:
        make = partial(self._make, picture)
        reader = self._open_reader()
        size, scaled = (picture.width, picture.height), None
        if self._asked not in (None, picture.size_in_source):
            reader.note("the camera gives {}x{}, not the {}x{} that were asked for".format(*size, *self._asked))
        self._asked = None
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
            captured_clock=picture.captured_clock,
            arrived_ns=picture.arrived_ns,
            arrived_monotonic_ns=picture.arrived_monotonic_ns,
            good_until_monotonic_ns=picture.good_until_monotonic_ns,
            damaged=picture.damaged,
            frame_id=picture.frame_id,
            pixel_aspect=(reader.pixel_aspect.numerator, reader.pixel_aspect.denominator),
            scaled_from=scaled,
        )

    def _make(self, picture: Picture, stamp: Stamp) -> Frame:
        image_rgb = self.context.empty(stamp, (picture.height, picture.width, 3), np.uint8)
        picture.write_rgb(image_rgb)
        return Frame(stamp, image_rgb)
