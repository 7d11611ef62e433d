"""Compressed video in messages: H.264, H.265, VP9 or AV1, a frame each, as Foxglove's ``CompressedVideo`` has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamseg.errors import MediaError
from streamseg.video.bag.image_messages import PictureMessage
from streamseg.video.container import strerror
from streamseg.video.decode import Converter
from streamseg.video.orientation import Orientation

_CODECS = {"h264": "h264", "h265": "hevc", "hevc": "hevc", "vp9": "vp9", "av1": "av1"}


class CompressedVideo:
    """Decodes the messages of one topic, from its first on.

    Args:
        threads: for the conversion.
        most_pixels: a picture that has more is left out.
        leave_out: told of the number of a message that has no picture in the end, and why.
    """

    def __init__(self, threads: int, most_pixels: int, leave_out: Callable[[int, str], None]) -> None:
        self._threads = threads
        self._most_pixels = most_pixels
        self._leave_out = leave_out
        self._codec: VideoCodecContext | None = None
        self._converter: Converter | None = None
        self._waiting: dict[int, PictureMessage] = {}

    def push(self, number: int, message: PictureMessage) -> Iterator[tuple[int, PictureMessage, np.ndarray]]:
        """What the decoder has after a message: (number, message, (H, W, 3) uint8 RGB) of it or of earlier ones."""
        if self._codec is None:
            name = _CODECS.get(message.format.lower())
            if name is None:
                self._leave_out(number, f"expected video in {', '.join(_CODECS)}, got {message.format!r}")
                return
            codec = av.CodecContext.create(name, "r")
            assert isinstance(codec, VideoCodecContext)
            self._codec = codec
        packet = cast("Packet[VideoStream]", Packet(bytes(message.data)))
        packet.pts = number
        self._waiting[number] = message
        yield from self._decode(packet)

    def flush(self) -> Iterator[tuple[int, PictureMessage, np.ndarray]]:
        """What the decoder still has."""
        if self._codec is not None:
            yield from self._decode(None)
        for number in sorted(self._waiting):
            self._leave_out(number, "the decoder has made no picture of it")

    def _decode(self, packet: Packet[VideoStream] | None) -> Iterator[tuple[int, PictureMessage, np.ndarray]]:
        assert self._codec is not None
        try:
            frames = self._codec.decode(packet)
        except av.error.FFmpegError as error:
            if packet is not None and packet.pts in self._waiting:
                del self._waiting[packet.pts]
                self._leave_out(packet.pts, f"it cannot be decoded ({strerror(error)})")
            return
        for frame in frames:
            message = self._waiting.pop(frame.pts, None) if frame.pts is not None else None
            if message is None or frame.pts is None:
                continue
            try:
                yield frame.pts, message, self._to_rgb(frame)
            except MediaError as error:
                self._leave_out(frame.pts, str(error))

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        if frame.width * frame.height > self._most_pixels:
            raise MediaError(f"it has {frame.width} x {frame.height} pixels, at most {self._most_pixels} are decoded")
        if self._converter is None or (self._converter.width, self._converter.height) != (frame.width, frame.height):
            self._converter = Converter(frame.width, frame.height, self._threads)
        out = np.empty((frame.height, frame.width, 3), np.uint8)
        # H.264 and H.265 have no gray or RGB of 16 bits.
        self._converter.write(frame, Orientation(), 16, out)
        return out
