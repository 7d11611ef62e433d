"""Pictures of a video file, every frame of it."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.video.container import Opening, StreamFacts, set_threads, stream_facts, strerror
from streamseg.video.decode import Converter, Decoded, Decoding
from streamseg.video.orientation import orientation_of
from streamseg.video.pixels import Depth, notes_on_pixels, pixel_aspect
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import SourceKind, classify
from streamseg.video.streams import note_on_alpha, note_on_choice, note_on_missing
from streamseg.video.timeline import FileTimeline

_log = logging.getLogger("streamseg.video")


class FileReader(Reader):
    """Reads a file (or a URL that has an end) from the first frame to the last.

    What comes before `start_index` is decoded but not converted: only then do frame numbers mean the same in a
    file that is damaged, has edit lists or no index as in a full read of it.

    Times count from the first frame. With `live` the pictures are held back until their time has come, as a camera
    would give them.
    """

    def __init__(
        self,
        opening: Opening,
        opened: tuple[InputContainer, VideoStream],
        *,
        live: bool,
        start_index: int,
        max_frames: int | None,
    ) -> None:
        super().__init__(start_index, max_frames)
        self._shown = opening.shown
        self._container, stream = opened
        set_threads(stream, opening.threads, live=False)
        decoding = Decoding(
            self._container,
            stream,
            shown=self._shown,
            patient=classify(opening.source) is SourceKind.FILE,
            stopping=self._stopping,
            on_damage=self._damage,
        )
        self._decoding = decoding
        self._decoded = iter(decoding)
        first = self._first()
        self._decoded = itertools.chain([first], self._decoded)
        self._timeline = FileTimeline()
        self._orientation = orientation_of(first.frame)
        self._converter = Converter(
            *self._orientation.size(first.frame.width, first.frame.height), threads=max(1, opening.threads)
        )
        facts = stream_facts(stream)
        self._info = describe(facts, opening, self._converter, first.timing.time_base, live=live)
        self.pixel_aspect = pixel_aspect(facts, stream.codec_context, self._orientation)
        self._stream = stream
        self._first_pts = first.timing.pts
        self._depth = Depth(self._shown, self.note)
        self.note(note_on_choice(self._container, stream, self._shown))
        self.note(note_on_alpha(stream, self._shown))
        for sentence in notes_on_pixels(first.frame, self._shown):
            self.note(sentence)

    def _first(self) -> Decoded:
        try:
            first = next(self._decoded, None)
        except av.error.FFmpegError as error:
            raise self._lost(error) from None
        if first is None:
            raise MediaError(
                f"expected at least one picture in {self._shown}, none could be decoded; check it with a player"
            )
        return first

    def _lost(self, error: av.error.FFmpegError) -> MediaError:
        shown = self._shown
        return MediaError(f"expected {shown} to go on, got: {strerror(error)}; try again, or download it first")

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _damage(self, count: int) -> None:
        if not self.damaged:
            _log.warning("%s is damaged; going on with what can be decoded", self._shown)
        self.damaged += count

    def _note_jumps(self) -> None:
        if self._timeline.jumps and not self.jumps:
            _log.warning("the times in %s go back; they are taken to go on where they did", self._shown)
        self.jumps = self._timeline.jumps

    def _since_first(self, pts: int | None) -> int | None:
        """Times count from the first frame, as a player shows them; transport streams begin anywhere."""
        return None if pts is None else pts - (self._first_pts or 0)

    def _note_missing(self, frames: int, last_pts: int | None) -> None:
        usual_s = 1 / self.info.fps if self.info.fps else 0.0
        shown_s = None if last_pts is None else last_pts * self.info.time_base[0] / self.info.time_base[1] + usual_s
        self.note(note_on_missing(self._stream, frames, shown_s, self._decoding.covered_s, self._shown))

    def _read(self) -> Iterator[Picture]:
        pace = _Pace() if self.info.live else None
        last_pts: int | None = None
        for index in itertools.count():
            try:
                decoded = next(self._decoded, None)
            except av.error.FFmpegError as error:
                raise self._lost(error) from None
            if decoded is None:
                self._note_missing(index, last_pts)
                break
            pts = self._since_first(self._timeline.place(decoded.timing.pts))
            self._note_jumps()
            last_pts = pts
            bits = self._depth.look(decoded.frame, index)
            if index < self._start_index:
                continue
            captured_ns = decoded.timing.wall_ns
            if pace is not None:
                if self._stopping.wait(pace.delay_s(pts, decoded.timing.time_base)):
                    return
                captured_ns = time.time_ns()
            yield Picture(
                index=index,
                pts=pts,
                time_base=self.info.time_base,
                captured_ns=captured_ns,
                width=self.info.width,
                height=self.info.height,
                fill=partial(self._converter.write, decoded.frame, self._orientation, bits),
                size_in_source=self._orientation.size(decoded.frame.width, decoded.frame.height),
            )
        if self.damaged:
            _log.warning("%s: %d damaged packets or frames in all", self._shown, self.damaged)


class _Pace:
    """When the next picture of a file that plays in real time is due."""

    def __init__(self) -> None:
        self._origin_s: float | None = None

    def delay_s(self, pts: int | None, time_base: Fraction) -> float:
        if pts is None:
            return 0.0
        shown_s = float(pts * time_base)
        now_s = time.monotonic()
        if self._origin_s is None:
            self._origin_s = now_s - shown_s
        return max(0.0, self._origin_s + shown_s - now_s)


def describe(
    facts: StreamFacts, opening: Opening, converter: Converter, time_base: Fraction, *, live: bool
) -> SourceInfo:
    """The facts about a video whose first frame has been decoded."""
    return SourceInfo(
        kind=classify(opening.source),
        width=converter.width,
        height=converter.height,
        fps=facts.fps,
        frames=facts.frames,
        time_base=(time_base.numerator, time_base.denominator),
        codec=facts.codec,
        live=live,
    )
