"""Options of decode, and what becomes of them for FFmpeg."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from streamseg.errors import GraphError, MediaError
from streamseg.masks.image_files import PIXELS_MAX
from streamseg.node import NodeConfig, Option
from streamseg.video.live.cameras import CameraMode, camera_device, mode_options, parse_size
from streamseg.video.live.published_reader import parse_publisher
from streamseg.video.pattern import parse_pattern
from streamseg.video.source import SourceKind, classify, local_path, redact

Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
Age = Annotated[float, msgspec.Meta(ge=0.05, le=3600)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class DecodeOptions(NodeConfig, frozen=True):
    """Options of decode."""

    source: Annotated[
        str,
        Option(
            "a file, a folder of images, a bag (MCAP, ROS 2), a camera (0, /dev/video0), a URL, what another run "
            "publishes (streamseg://HOST:PORT), or a test pattern (test://)"
        ),
    ]
    live: Annotated[
        bool | None,
        Option("drop frames rather than fall behind; without it, cameras and endless streams do", flag="--live"),
    ] = None
    max_frames: Annotated[AtLeastOne | None, Option("stop after N frames", flag="--max-frames", metavar="N")] = None
    start: Annotated[
        Count, Option("begin at frame N, counted from 0; files, bags and folders only", flag="--start", metavar="N")
    ] = 0
    fps: Annotated[
        Rate, Option("frames per second of a folder of images", flag="--image-fps", metavar="N", rare=True)
    ] = 25.0
    follow_folder: Annotated[
        Seconds | None,
        Option(
            "go on with the images that come into a folder, until none has come for S seconds",
            flag="--follow-folder",
            metavar="S",
        ),
    ] = None
    stream: Annotated[
        Count | None,
        Option(
            "which of several video streams to read, from 0; without it, the best",
            flag="--stream",
            metavar="N",
            rare=True,
        ),
    ] = None
    topic: Annotated[
        str | None,
        Option("which topic of a bag has the pictures; without it, the only one", flag="--topic", metavar="NAME"),
    ] = None
    start_s: Annotated[
        NotNegative | None,
        Option(
            "begin so many seconds after the first picture of a bag, by the time of recording",
            flag="--start-s",
            metavar="S",
            rare=True,
        ),
    ] = None
    end_s: Annotated[
        Seconds | None,
        Option(
            "end so many seconds after the first picture of a bag, by the time of recording",
            flag="--end-s",
            metavar="S",
            rare=True,
        ),
    ] = None
    open_timeout_s: Annotated[
        Seconds,
        Option("a source that does not open for so long is not there", flag="--open-timeout-s", metavar="S", rare=True),
    ] = 10.0
    read_timeout_s: Annotated[
        Seconds,
        Option(
            "so long without a picture counts as a lost connection", flag="--read-timeout-s", metavar="S", rare=True
        ),
    ] = 10.0
    reconnect: Annotated[bool, Option("connect again when a live source is lost", flag="--no-reconnect", rare=True)] = (
        True
    )
    reconnect_attempts: Annotated[
        Count | None,
        Option(
            "give a lost source up after N failures in a row; without it, never",
            flag="--reconnect-attempts",
            metavar="N",
            rare=True,
        ),
    ] = None
    max_age_s: Annotated[
        Age,
        Option(
            "drop a picture of a live source that gets older than this for a newer one",
            flag="--max-age-s",
            metavar="S",
        ),
    ] = 1.0
    damaged: Annotated[
        Literal["drop", "keep"],
        Option(
            "pictures of a live source with lost parts, and those made from them: drop leaves them out, keep marks "
            "them",
            flag="--damaged",
            rare=True,
        ),
    ] = "drop"
    playlists_anywhere: Annotated[
        bool,
        Option(
            "follow a local playlist (.m3u8, .ffconcat) to files and addresses that do not lie beside it",
            flag="--playlists-anywhere",
            rare=True,
        ),
    ] = False
    camera_size: Annotated[
        str | None,
        Option("ask the camera for pictures of this size, say 1280x720", flag="--camera-size", metavar="WxH"),
    ] = None
    camera_fps: Annotated[
        Rate | None,
        Option("ask the camera for so many frames a second", flag="--camera-fps", metavar="N", rare=True),
    ] = None
    camera_format: Annotated[
        str | None,
        Option(
            "ask the camera for this format, as FFmpeg calls it: mjpeg, yuyv422, nv12, h264, …",
            flag="--camera-format",
            metavar="NAME",
            rare=True,
        ),
    ] = None
    rtsp_transport: Annotated[
        Literal["tcp", "udp"],
        Option("how pictures come from an RTSP server", flag="--rtsp-transport", rare=True),
    ] = "tcp"
    own_key: Annotated[
        str | None,
        Option(
            "our .key_secret file, if the publisher of a source streamseg://HOST:PORT has keys",
            flag="--own-key",
            metavar="FILE",
            rare=True,
        ),
    ] = None
    server_key: Annotated[
        str | None,
        Option("and the publisher's .key file", flag="--server-key", metavar="FILE", rare=True),
    ] = None
    max_pixels: Annotated[
        AtLeastOne,
        Option("a picture that has more, or says so in its header, is not decoded", flag="--max-pixels", rare=True),
    ] = PIXELS_MAX
    input_options: Annotated[
        dict[str, str],
        Option("for FFmpeg's demuxer or device, say {video_size: 1280x720, framerate: '30'}"),
    ] = {}


def camera_mode(options: DecodeOptions) -> CameraMode:
    """What pictures a camera is asked for.

    Raises:
        ValueError: the size is none.
    """
    size = None if options.camera_size is None else parse_size(options.camera_size)
    return CameraMode(size, options.camera_fps, options.camera_format)


def ffmpeg_options(options: DecodeOptions) -> dict[str, str]:
    """Options for FFmpeg's demuxer or device; those that are given as such count for more."""
    found: dict[str, str] = {}
    if classify(options.source) is SourceKind.CAMERA:
        found = mode_options(camera_mode(options), camera_device(options.source)[1])
    elif options.source.lower().startswith("rtsp"):
        found = {"rtsp_transport": options.rtsp_transport}
    return found | options.input_options


def check_source(options: DecodeOptions) -> None:
    """Refuse options that are for another kind of source, and sources of our own that are wrongly written.

    Raises:
        GraphError: says which.
    """
    kind, source = classify(options.source), redact(options.source)
    if options.follow_folder is not None and not (kind is SourceKind.FOLDER and local_path(options.source).is_dir()):
        raise GraphError(f"follow_folder is for a folder of images, and {source} is none; make it, or leave this out")
    if (options.own_key or options.server_key) and kind is not SourceKind.PUBLISHED:
        raise GraphError(f"own_key and server_key are for a source streamseg://HOST:PORT, got {source}; leave them out")
    try:
        if kind is SourceKind.TEST:
            parse_pattern(options.source)
        elif kind is SourceKind.PUBLISHED:
            parse_publisher(options.source)
    except MediaError as error:
        raise GraphError(str(error)) from None
