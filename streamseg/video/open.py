"""Reading video: one call for files, image folders, cameras and streams.

::

    with open_source("clip.mp4") as reader:
        out = np.empty((reader.info.height, reader.info.width, 3), np.uint8)
        for picture in reader:
            picture.write_rgb(out)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from streamseg.errors import UsageError
from streamseg.masks.image_files import PIXELS_MAX
from streamseg.video.bag.bag_reader import BagReader
from streamseg.video.container import Opening, is_endless, is_picture, open_video
from streamseg.video.files.animation_reader import AnimationReader
from streamseg.video.files.file_reader import FileReader
from streamseg.video.files.folder_reader import FolderReader
from streamseg.video.files.followed_folder import FollowedFolderReader
from streamseg.video.files.stills import pictures_in
from streamseg.video.live.live_reader import LiveReader
from streamseg.video.live.published_reader import PublishedReader
from streamseg.video.memory_reader import MemoryReader
from streamseg.video.pattern_reader import PatternReader
from streamseg.video.reader import Picture, Reader, SourceEvent, SourceInfo
from streamseg.video.source import BAG_SUFFIXES, SourceKind, classify, local_path, redact

__all__ = ["Picture", "Reader", "SourceEvent", "SourceInfo", "SourceKind", "classify", "open_source", "redact"]


def open_source(
    source: str,
    *,
    live: bool | None = None,
    open_timeout_s: float = 10.0,
    read_timeout_s: float = 10.0,
    reconnect: bool = True,
    reconnect_attempts: int | None = None,
    start_index: int = 0,
    first_index: int = 0,
    max_frames: int | None = None,
    image_fps: float = 25.0,
    threads: int = 0,
    max_pixels: int = PIXELS_MAX,
    options: Mapping[str, str] | None = None,
    wait: bool = False,
    max_age_s: float = 1.0,
    keep_damaged: bool = False,
    on_event: Callable[[SourceEvent], None] | None = None,
    stream: int | None = None,
    playlists_anywhere: bool = False,
    topic: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    follow_folder: float | None = None,
    own_key: Path | None = None,
    server_key: Path | None = None,
) -> Reader:
    """Open a source and decode its first picture, so that its size is known.

    Cameras are opened through FFmpeg's own devices: v4l2 on Linux, avfoundation on macOS, dshow on Windows.
    The project's tests have no camera: what they test of this path is the errors. PyAV's own wheels have v4l2
    only; elsewhere a camera needs a PyAV that was built against an FFmpeg with the device.

    Args:
        source: see `streamseg.video.source.classify`.
        live: whether frames come at the source's pace. None: yes for cameras and streams, and for test patterns
            without an end; no for files and for URLs that have a known duration. True with a file or folder plays it
            in real time.
        open_timeout_s: for cameras and URLs.
        read_timeout_s: for cameras and URLs: so long without a picture counts as a lost connection.
        reconnect: connect again when a live source is lost (`streamseg.video.live.live_reader.LiveReader`).
        reconnect_attempts: failures in a row after which it is given up; None for never.
        start_index: number of the first picture to give. The pictures are those of a full read; in a damaged file
            those of one with the same `threads`, since FFmpeg patches holes from what it has decoded already.
        first_index: the number that the first picture of a camera or stream gets; `start_index` is not looked at then.
        max_frames: give so many at most; None for all.
        image_fps: frames per second of a folder of images.
        threads: for the decoder and the conversion; 0 lets FFmpeg choose for the decoder and takes 1 for the
            conversion.
        max_pixels: a picture that has more, or says so, is not decoded.
        options: for FFmpeg's demuxer or device, say ``{"video_size": "1280x720", "framerate": "30"}``.
        wait: whether to wait for a live source that is not there yet, in the background, rather than raise. A URL of
            HTTP is live only if `live` says so.
        max_age_s: how old a picture of a live source may be when it is given; of a stream in segments (HLS), how long
            after it is due by the pace of the stream.
        keep_damaged: whether pictures of a live source that are damaged, or made from damaged ones, are given too,
            marked, rather than left out and counted. Those of a file are always given.
        on_event: told of losses and returns of a live source, in a thread of the reader.
        stream: position among the video streams of the one to read, from 0; None takes the best.
        playlists_anywhere: whether a local list of media (``.m3u8``, ``.ffconcat``) may name files and addresses that
            do not lie beside it or below.
        topic: of a bag, the topic with the pictures; None takes the only one.
        start_s: of a bag, begin with what was recorded so many seconds after the topic's first message.
        end_s: of a bag, end before what was recorded so many seconds after it.
        follow_folder: of a folder of images, go on with those that come until none has come for so many seconds; None
            reads those that are there.
        own_key: for ``streamseg://``, our ``.key_secret`` file, if the publisher has keys.
        server_key: for ``streamseg://``, the publisher's ``.key`` file.

    Raises:
        MediaError: the source is missing, unreachable, forbidden, not a video, or has no picture.
        UsageError: an argument cannot be meant.
    """
    _check(start_index, max_frames, image_fps)
    kind = classify(source)
    if kind is SourceKind.BAG:
        if stream is not None:
            raise UsageError(f"expected a topic of the bag {source}, got stream {stream}; say --topic NAME instead")
        return BagReader(
            local_path(source),
            topic=topic,
            live=bool(live),
            start_index=start_index,
            max_frames=max_frames,
            max_pixels=max_pixels,
            start_s=start_s,
            end_s=end_s,
            threads=threads,
        )
    _check_is_bag(source, topic=topic, start_s=start_s, end_s=end_s)
    if kind is SourceKind.FOLDER:
        if stream:
            raise UsageError(f"expected stream 0 or none for the pictures in {source}, got {stream}; leave it out")
        path = local_path(source)
        if follow_folder is not None:
            return FollowedFolderReader(
                path,
                fps=image_fps,
                idle_s=follow_folder,
                live=bool(live),
                start_index=start_index,
                max_frames=max_frames,
                max_pixels=max_pixels,
            )
        several = path.is_file() and pictures_in(path) > 1
        pictures = AnimationReader if several else FolderReader
        return pictures(
            path,
            fps=image_fps,
            live=bool(live),
            start_index=start_index,
            max_frames=max_frames,
            max_pixels=max_pixels,
        )
    if kind is SourceKind.MEMORY:
        return MemoryReader(
            local_path(source),
            live=bool(live),
            start_index=start_index,
            max_frames=max_frames,
            max_pixels=max_pixels,
            max_age_s=max_age_s,
        )
    if kind is SourceKind.TEST:
        return PatternReader(
            source,
            live=live,
            start_index=start_index,
            max_frames=max_frames,
            max_pixels=max_pixels,
            max_age_s=max_age_s,
        )
    if kind is SourceKind.PUBLISHED:
        return PublishedReader(
            source,
            own_key=own_key,
            server_key=server_key,
            open_timeout_s=open_timeout_s,
            read_timeout_s=read_timeout_s,
            reconnect=reconnect,
            reconnect_attempts=reconnect_attempts,
            wait=wait and reconnect,
            max_frames=max_frames,
            first_index=first_index,
            max_pixels=max_pixels,
            max_age_s=max_age_s,
            keep_damaged=keep_damaged,
            on_event=on_event,
        )
    opening = Opening(
        source,
        live,
        open_timeout_s,
        read_timeout_s,
        threads,
        dict(options or {}),
        max_pixels,
        stream,
        playlists_anywhere,
    )
    opened: tuple[InputContainer, VideoStream] | None = None
    if kind is SourceKind.URL and live is None and not is_endless(source):
        opened = open_video(opening)
        live = opened[0].duration is None and not is_picture(opened[0])
    try:
        if not _is_live(opening, kind, live):
            opened = opened or open_video(opening)
            return FileReader(opening, opened, live=bool(live), start_index=start_index, max_frames=max_frames)
        if start_index and not first_index:
            raise UsageError(
                f"expected start_index 0 for the live source {redact(source)}, got {start_index}; "
                "only files and folders can start later"
            )
        mine, opened = opened, None
        return LiveReader(
            opening,
            mine,
            reconnect=reconnect and kind is not SourceKind.FILE,
            reconnect_attempts=reconnect_attempts,
            wait=wait and reconnect,
            max_frames=max_frames,
            first_index=first_index,
            max_age_s=max_age_s,
            keep_damaged=keep_damaged,
            on_event=on_event,
        )
    except BaseException:
        if opened is not None:
            opened[0].close()
        raise


def _is_live(opening: Opening, kind: SourceKind, live: bool | None) -> bool:
    """Whether a source's pictures come when they are made, not when they are asked for."""
    if kind is SourceKind.FILE:
        # A pipe that is said to be live has a camera or a program behind it; a file only plays as if.
        return bool(live) and local_path(opening.source).is_fifo()
    return kind is SourceKind.CAMERA or live is not False


def _check_is_bag(source: str, **given: object) -> None:
    """Refuse what only bags have."""
    name = next((name for name, value in given.items() if value is not None), None)
    if name is not None:
        raise UsageError(
            f"expected a bag ({', '.join(BAG_SUFFIXES)}, or a folder of such) with {name}, got {redact(source)}; "
            f"leave it out"
        )


def _check(start_index: int, max_frames: int | None, image_fps: float) -> None:
    if start_index < 0:
        raise UsageError(f"expected start_index to be 0 or more, got {start_index}; frames are counted from 0")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"expected max_frames to be at least 1, got {max_frames}; leave it out for all frames")
    if not 0.01 <= image_fps <= 1000:
        raise UsageError(f"expected image_fps between 0.01 and 1000, got {image_fps}; 25 is usual")
