"""Pictures of a bag: what a robot has recorded, read like a video file."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from streamseg.errors import MediaError, UsageError, WireError
from streamseg.masks.image_files import PIXELS_MAX
from streamseg.video.bag.bag import Bag
from streamseg.video.bag.choosing import choose, note_on_choice
from streamseg.video.bag.compressed_video import CompressedVideo
from streamseg.video.bag.image_messages import PictureMessage, kind_of, parser
from streamseg.video.bag.topics import DamagedMessageError
from streamseg.video.reader import Picture, Reader, SourceInfo
from streamseg.video.source import SourceKind

_log = logging.getLogger("streamseg.video")

_TIME_BASE = (1, 1_000_000_000)


class BagReader(Reader):
    """Reads one topic of a bag from its first picture to the last, in the order in which they were recorded.

    `index` is the position among the topic's messages, whether or not all of them are read. A picture's time is the
    stamp in its header, or where that is empty the time it was recorded at; `pts` counts from the topic's first one. A
    message that is damaged or cannot be decoded is left out and counted, and its number with it; a picture of another
    size than the first is scaled to that.

    Compressed video is decoded from its beginning, as a file is: only then is every picture that of a full read.

    Args:
        path: of the bag.
        topic: name of the topic; None takes the only one with pictures.
        live: whether to give the pictures at the pace at which they were taken.
        start_index: number of the first message to give.
        max_frames: give so many pictures at most; None for all.
        max_pixels: a picture that has more is not decoded.
        start_s: begin with the first message that was recorded so many seconds after the topic's first; None for 0.
        end_s: end before the first message that was recorded so many seconds after it; None for never.
        threads: for the conversion of compressed video.

    Raises:
        MediaError: it is no bag, cannot be read, or has no picture that can be decoded.
        UsageError: there are several topics with pictures and nobody says which, or a package is missing.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str | None,
        live: bool,
        start_index: int,
        max_frames: int | None,
        max_pixels: int = PIXELS_MAX,
        start_s: float | None = None,
        end_s: float | None = None,
        threads: int = 1,
    ) -> None:
        super().__init__(start_index, max_frames)
        self._shown = str(path)
        self._max_pixels = max_pixels
        self._reason = ""
        self._bag = Bag(path)
        try:
            self._topic = choose(self._bag.topics, topic, self._shown)
            self._kind = kind_of(self._topic) or "raw"
            self._parse = parser(self._topic)
            self._messages = self._bag.messages(self._topic)
            for sentence in self._bag.notes:
                self.note(sentence)
            if topic is None:
                self.note(note_on_choice(self._topic, len(self._messages), self._shown))
            self._range = self._in_time(start_s, end_s)
            self._video = partial(CompressedVideo, max(1, threads), max_pixels)
            self._info = self._look(live)
        except BaseException:
            self._bag.close()
            raise
        self.damaged = 0

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()

    def _in_time(self, start_s: float | None, end_s: float | None) -> range:
        """Numbers of the messages that were recorded in a range of time."""
        if not self._messages:
            raise MediaError(
                f"expected pictures on {self._topic.name} in {self._shown}, but nothing was recorded there"
            )
        times_ns = [message.log_ns for message in self._messages]
        first = 0 if start_s is None else bisect_left(times_ns, times_ns[0] + round(start_s * 1e9))
        last = len(times_ns) if end_s is None else bisect_left(times_ns, times_ns[0] + round(end_s * 1e9))
        if first >= last:
            length_s = (times_ns[-1] - times_ns[0]) / 1e9
            raise UsageError(
                f"expected a range of time with pictures in it, got {start_s or 0:g} s to "
                f"{'the end' if end_s is None else f'{end_s:g} s'}; those of {self._topic.name} are from 0 to "
                f"{length_s:.3f} s"
            )
        return range(first, last)

    def _look(self, live: bool) -> SourceInfo:
        """What is known once the first picture is decoded."""
        first = next(self._decoded(0), None)
        if first is None:
            raise MediaError(
                f"expected pictures on {self._topic.name} in {self._shown}, but none of its {len(self._messages)} "
                f"messages can be decoded: {self._reason}"
            )
        number, message, image_rgb = first
        self._first_ns = self._time_ns(number, message)
        passed_ns = self._messages[-1].log_ns - self._messages[0].log_ns
        return SourceInfo(
            kind=SourceKind.BAG,
            width=image_rgb.shape[1],
            height=image_rgb.shape[0],
            fps=(len(self._messages) - 1) * 1e9 / passed_ns if passed_ns else None,
            frames=len(self._range),
            time_base=_TIME_BASE,
            codec=message.format,
            live=live,
        )

    def _read(self) -> Iterator[Picture]:
        begin = max(self._start_index, self._range.start)
        origin_s: float | None = None
        for number, message, image_rgb in self._decoded(0 if self._kind == "video" else begin):
            if number >= self._range.stop:
                break
            if number < begin:
                continue
            captured_ns = self._time_ns(number, message)
            if self.info.live:
                shown_s = (captured_ns - self._first_ns) / 1e9
                origin_s = time.monotonic() - shown_s if origin_s is None else origin_s
                if self._stopping.wait(max(0.0, origin_s + shown_s - time.monotonic())):
                    return
            yield Picture(
                index=number,
                pts=captured_ns - self._first_ns,
                time_base=_TIME_BASE,
                captured_ns=captured_ns,
                captured_clock="recording",
                frame_id=message.frame_id,
                arrived_ns=time.time_ns(),
                width=self.info.width,
                height=self.info.height,
                fill=partial(_write, image_rgb),
                size_in_source=(image_rgb.shape[1], image_rgb.shape[0]),
            )
        if self.damaged:
            _log.warning("%s: %d messages of %s left out in all", self._shown, self.damaged, self._topic.name)

    def _decoded(self, begin: int) -> Iterator[tuple[int, PictureMessage, np.ndarray]]:
        """(number, message, (H, W, 3) uint8 RGB) of all that can be decoded, from a number on."""
        if self._kind == "video":
            video = self._video(self._leave_out)
            for number in range(begin, len(self._messages)):
                message = self._message(number)
                yield from [] if message is None else video.push(number, message)
            yield from video.flush()
            return
        for number in range(begin, self._range.stop):
            message = self._message(number)
            if message is None:
                continue
            try:
                yield number, message, message.to_rgb(self._kind, self._max_pixels)
            except WireError as error:
                self._leave_out(number, str(error))

    def _message(self, number: int) -> PictureMessage | None:
        try:
            return self._parse(self._bag.read(self._messages[number]))
        except DamagedMessageError as error:
            self._leave_out(number, str(error))
            return None

    def _leave_out(self, number: int, reason: str) -> None:
        self.damaged += 1
        if not self._reason:
            self._reason = reason
            self.note(f"{self._shown}: message {number} of {self._topic.name} is left out: {reason}")

    def _time_ns(self, number: int, message: PictureMessage) -> int:
        if message.stamp_ns is None:
            self.note(f"{self._shown}: pictures of {self._topic.name} that have no stamp get the time of recording")
            return self._messages[number].log_ns
        return message.stamp_ns


def count_messages(path: Path, topic: str | None) -> int:
    """How many messages the topic with the pictures has, as `BagReader` numbers them.

    Raises:
        MediaError: it is no bag, cannot be read, or has no pictures.
        UsageError: there are several topics with pictures and nobody says which, or a package is missing.
    """
    bag = Bag(path)
    try:
        return len(bag.messages(choose(bag.topics, topic, str(path))))
    finally:
        bag.close()


def _write(image_rgb: np.ndarray, out: np.ndarray) -> None:
    if image_rgb.shape == out.shape:
        np.copyto(out, image_rgb)
    else:
        cv2.resize(image_rgb, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_AREA)
