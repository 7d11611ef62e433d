"""Options of decode, and what becomes of them for FFmpeg."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from streamseg.masks.image_files import PIXELS_MAX
from streamseg.node import NodeConfig, Option
from streamseg.video.cameras import CameraMode, camera_device, mode_options, parse_size
from streamseg.video.source import SourceKind, classify

Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
Age = Annotated[float, msgspec.Meta(ge=0.05, le=3600)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class DecodeOptions(NodeConfig, frozen=True):
    """Options of decode."""

    source: Annotated[
        str, Option("a file, a folder of images, a bag (MCAP, ROS 2), a camera (0, /dev/video0) or a URL")
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
