"""``streamseg sources``: the cameras that are plugged in, and what else can be a source."""

from __future__ import annotations

import argparse
import sys

from streamseg.cli.output.text import table
from streamseg.cli.parser import Parser
from streamseg.video.live.cameras import cameras_here

_ELSEWHERE = {
    "darwin": "this system does not list them; try 0, 1, …, or: ffmpeg -f avfoundation -list_devices true -i ''",
    "win32": "this system does not list them; try video=NAME, named as by: ffmpeg -f dshow -list_devices true -i x",
}
_ALSO = """also a source:
  clip.mp4, frames/, -          a video file, a folder of images, a video on standard input
  rtsp://, http://, udp://,     streams: RTSP, HLS (.m3u8), motion JPEG, MPEG-TS, SRT, RTMP
  srt://, rtmp://
  drive.mcap, bag/              what a robot has recorded (streamseg[bags])
  frames/ --follow-folder 30    a folder that is being filled, until nothing has come for 30 s
  streamseg://HOST:PORT         what another run publishes with --publish-image jpeg
  test://?size=640x480&fps=25   a test pattern: shapes that move
a ROS 2 topic: streamseg ros2"""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = __doc__
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them; returns the exit code."""
    found = cameras_here()
    if found:
        print("cameras:")
        print(table([(f"  {each.source}", each.name or "(no name)", each.stable) for each in found]))
    else:
        print(
            f"cameras: {_ELSEWHERE.get(sys.platform, 'none under /dev; plug one in, or see whether you may read it')}"
        )
    print(_ALSO)
    return 0
