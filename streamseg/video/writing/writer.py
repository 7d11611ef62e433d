"""Writing video that every player opens and that a crash does not destroy, and images of labels."""

from __future__ import annotations

import errno
import logging
import math
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from streamseg.errors import OutputError, UsageError
from streamseg.masks.png import write_labels_png

__all__ = ["VideoWriter", "write_labels_png"]

_log = logging.getLogger("streamseg.video")

_ENCODERS = ("libx264", "libopenh264", "mpeg4")
_BT709 = 1
"""FFmpeg's number for it as matrix, as primaries and as transfer function."""

FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
"""FFmpeg's ``movflags`` for a file that is written fragment by fragment."""

SQUARE = Fraction(1)

_KEY_INTERVAL_S = 2.0
"""A fragment goes to disk at each key frame, so this is how much of the video a crash may cost, plus what the
encoder still holds back (some 40 frames)."""


class VideoWriter:
    """Writes RGB pictures as H.264 (yuv420p, BT.709) in MP4; frame times are kept, so the rate may vary.

    While it is being written the file is a fragmented MP4: each fragment is pushed out of our process as it is
    done, so after a crash the file plays up to the last whole fragment. A clean `close` turns it into a plain
    MP4 in place (FFmpeg's ``hybrid_fragmented``: the index is added at the end, nothing is copied), since some
    players and editors cannot seek in fragmented files, or do not know how long they are. ``+faststart`` would
    copy the whole file at the end and leave nothing readable after a crash.

    The file begins with the first picture, whatever its time is; all others keep their distance from it, and the last
    one is shown as long as the one before it. B-frames
    are off: with them the first frame has time 0 only by an edit list, which players treat differently.
    A picture of odd width or height gets its last column or row twice, as yuv420p wants even sizes.

    Args:
        path: a file to be created or overwritten; must be seekable.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.
        rate_hint: frames per second, about: sets how long a single frame is shown, and the key frame interval.
        time_base: seconds per unit of the times in the file; None for 1/90000.
        crf: quality of x264, 0 to 51, lower is better.
        preset: x264's trade of speed for size.
        threads: for encoder and color conversion; None lets the encoder choose.
        pixel_aspect: width of a pixel by its height, for players to stretch the pictures by.

    Raises:
        OutputError: the file cannot be made, or no encoder is there.
        UsageError: an argument cannot be meant.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        *,
        rate_hint: float | Fraction,
        time_base: Fraction | None = None,
        crf: int = 23,
        preset: str = "veryfast",
        threads: int | None = None,
        pixel_aspect: Fraction = SQUARE,
    ) -> None:
        if width < 1 or height < 1 or not 0 < rate_hint <= 1000:
            raise UsageError(
                f"expected a size of 1x1 or more and a rate between 0 and 1000, got {width}x{height} at {rate_hint} "
                "frames/s; 25 is usual"
            )
        self.path = Path(path)
        self.frames = 0
        """Frames written so far."""
        self._size = (width, height)
        self._threads = threads
        self._rate = Fraction(rate_hint).limit_denominator(1001)
        self._reformatter = VideoReformatter()
        self._origin_s: float | None = None
        self._last_pts: int | None = None
        self._durations: deque[int] = deque()
        self._whole_bytes = 0
        self._key_due_pts = 0
        self._pixel_aspect = pixel_aspect
        self._failed = False
        self._closed = False
        even = (width + width % 2, height + height % 2)
        self._padded = np.empty((even[1], even[0], 3), np.uint8) if even != self._size else None
        encoder = _first_encoder()
        # MPEG-4 part 2 has 16 bits for the denominator.
        self._time_base = time_base or Fraction(1, 60000 if encoder == "mpeg4" else 90000)
        try:
            self._container = self._open()
            self._stream = self._add_stream(encoder, even, crf, preset)
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError) as error:
            raise self._cannot(error) from error

    def write(self, image_rgb: np.ndarray, pts_s: float | None) -> None:
        """Append one picture.

        Args:
            image_rgb: (height, width, 3) uint8; only read, and only during the call.
            pts_s: when it is shown, in seconds. A time that is not later than the one before is moved one unit of
                the time base behind it, so that every picture becomes a frame. None: one frame interval later.

        Raises:
            OutputError: the disk is full or gone; the file is closed and keeps what it has.
            UsageError: the picture has another shape or type, or the time is not a number.
        """
        if image_rgb.shape != (self._size[1], self._size[0], 3) or image_rgb.dtype != np.uint8:
            raise UsageError(
                f"expected ({self._size[1]}, {self._size[0]}, 3) uint8 pictures as the video was begun with, got "
                f"{image_rgb.shape} {image_rgb.dtype}; resize them, or begin another video"
            )
        if self._closed or self._failed:
            raise UsageError(f"expected {self.path} to be open, it is closed; begin another video")
        frame = self._convert(image_rgb)
        before = self._last_pts
        frame.pts = self._next_pts(pts_s)
        frame.time_base = self._time_base
        # What counts in the file is the last one's: shown as long as the one before it was.
        usual = max(1, round(1 / (self._rate * self._time_base)))
        self._durations.append(usual if before is None or self._last_pts is None else self._last_pts - before)
        if frame.pts >= self._key_due_pts:
            frame.pict_type = PictureType.I
            self._key_due_pts = frame.pts + round(_KEY_INTERVAL_S / self._time_base)
        self._put(frame)
        self.frames += 1

    def close(self) -> None:
        """Finish the file. Safe to call twice.

        Raises:
            OutputError: the rest cannot be written; the file keeps what it has.
        """
        if self._closed or self._failed:
            return
        if self.frames:
            self._put(None)
        self._closed = True
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            self._keep_whole_fragments()
            raise self._cannot(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> OutputContainer:
        # As the muxer says, a fragment that is not flushed waits in a buffer of our process.
        movflags = f"hybrid_fragmented+{FRAGMENTED}"
        return av.open(f"file:{self.path}", "w", format="mp4", options={"movflags": movflags, "flush_packets": "1"})

    def _written_bytes(self) -> int:
        return self.path.stat().st_size

    def _add_stream(self, encoder: str, size: tuple[int, int], crf: int, preset: str) -> VideoStream:
        options = {"libx264": {"crf": str(crf), "preset": preset}, "mpeg4": {"qscale": "4"}}.get(encoder, {})
        stream = self._container.add_stream(encoder, rate=self._rate, options=options)
        if not isinstance(stream, VideoStream):
            raise OutputError(f"expected {encoder} to be a video encoder, got {stream.type}; reinstall PyAV")
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = self._time_base
        if self._pixel_aspect != 1:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = self._pixel_aspect
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_count = self._threads or 0
        context.max_b_frames = 0
        context.gop_size = max(1, math.ceil(_KEY_INTERVAL_S * self._rate))
        context.colorspace = _BT709
        context.color_range = ColorRange.MPEG
        context.color_primaries = _BT709
        context.color_trc = _BT709
        return stream

    def _convert(self, image_rgb: np.ndarray) -> av.VideoFrame:
        width, height = self._size
        image = image_rgb
        if self._padded is not None:
            image = self._padded
            image[:height, :width] = image_rgb
            image[height:, :width] = image_rgb[-1:]
            image[:, width:] = image[:, width - 1 : width]
        elif image.strides[1:] != (3, 1):
            image = np.ascontiguousarray(image)
        return self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(image, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=self._threads or 1,
        )

    def _next_pts(self, pts_s: float | None) -> int:
        if pts_s is not None and not math.isfinite(pts_s):
            raise UsageError(f"expected a presentation time in seconds, got {pts_s}; give None if it is unknown")
        if pts_s is None:
            step = max(1, round(1 / (self._rate * self._time_base)))
            pts = 0 if self._last_pts is None else self._last_pts + step
        else:
            if self._origin_s is None:
                self._origin_s = pts_s - float((self._last_pts or 0) * self._time_base)
            pts = round((pts_s - self._origin_s) / self._time_base)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        return pts

    def _put(self, frame: av.VideoFrame | None) -> None:
        try:
            packets: Sequence[Packet[VideoStream]] = self._stream.encode(frame)
            for packet in packets:
                # Encoders make up their own, by the frame rate. Packets come in the order of frames: no B-frames.
                packet.duration = self._durations.popleft()
            self._container.mux(packets)
            self._whole_bytes = self._written_bytes()
        except (av.error.FFmpegError, OSError) as error:
            self._give_up()
            raise self._cannot(error) from error

    def _give_up(self) -> None:
        """Let go of the file after an error; if its end cannot be written it stays a fragmented one."""
        self._failed = True
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError):
            self._keep_whole_fragments()

    def _keep_whole_fragments(self) -> None:
        """Cut off what was written in part, so that every player reads the file to its end."""
        with suppress(OSError):
            os.truncate(self.path, self._whole_bytes)

    def _cannot(self, error: Exception) -> OutputError:
        number = getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or error
        todo = {
            errno.ENOSPC: "free space on that disk",
            errno.EFBIG: "free space, or raise the limit on file sizes",
            errno.EACCES: "choose a folder that you may write to",
            errno.ENOENT: "make its folder first",
        }.get(number if isinstance(number, int) else 0, "check the disk, or choose another folder")
        return OutputError(f"expected to write the video {self.path}, got: {reason}; {todo}")


def _first_encoder() -> str:
    for name in _ENCODERS:
        if name in av.codecs_available and _can_encode(name):
            if name != _ENCODERS[0]:
                _log.warning("this FFmpeg has no %s; writing video with %s", _ENCODERS[0], name)
            return name
    raise OutputError(f"expected an FFmpeg with one of {', '.join(_ENCODERS)}, found none; install PyAV from its wheel")


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True
