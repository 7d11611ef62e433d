"""GStreamer's RTSP server in a process of its own, which can be killed and comes back at the same address."""

from __future__ import annotations

import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

# Debian's packages are for its own Python.
_PYTHONS = (sys.executable, "/usr/bin/python3")
_NEEDS = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); assert Gst.ElementFactory.find('x264enc')"
)
_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=96,framerate=25/1,format=I420 ! "
    "x264enc tune=zerolatency key-int-max=12 speed-preset=ultrafast threads=1 ! rtph264pay name=pay0 pt=96 )"
)
factory.set_shared(True)
server.get_mount_points().add_factory("/camera", factory)
assert server.attach(None)
print("up", flush=True)
GLib.MainLoop().run()
"""


@cache
def python_with_gstreamer() -> str | None:
    """The Python that has GStreamer's RTSP server and an encoder; None if there is none."""
    for python in _PYTHONS:
        words = [python, "-c", _NEEDS]
        if Path(python).exists() and not subprocess.run(words, capture_output=True, check=False).returncode:
            return python
    return None


class GstCamera:
    """A camera of 160x96 at 25 frames/s; it is there from `start` to `kill`."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self._port}/camera"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Come up; returns when connections are taken."""
        python = python_with_gstreamer()
        assert python is not None
        words = [python, "-c", _SERVER, str(self._port)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline() == "up\n"

    def kill(self) -> None:
        """As if the plug were pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> GstCamera:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
