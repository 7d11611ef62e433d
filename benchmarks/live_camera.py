"""A camera for benchmarks: H.264 or HEVC in a transport stream over TCP at its own pace, from a process of its own.

    python benchmarks/live_camera.py CLIP PORT_FILE START_FILE FPS

Writes its port into PORT_FILE, and into START_FILE when it began to send, by the monotonic clock that all processes
share; so frame n was taken at START + n / FPS, whether or not whoever reads keeps up. One connection, then the end.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av

_HERE = Path(__file__)


class _Socket:
    """What PyAV writes to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        self._connection.sendall(data)
        return len(data)


@contextlib.contextmanager
def camera(clip: Path, folder: Path, fps: int) -> Iterator[tuple[str, Path]]:
    """The address of a camera that shows a clip for ever, and the file that says when it began."""
    port, start = folder / "port", folder / "start"
    for path in (port, start):
        path.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, str(_HERE), str(clip), str(port), str(start), str(fps)])
    try:
        while not port.exists() or not port.read_text():
            if process.poll() is not None:
                raise SystemExit("the camera did not start")
            time.sleep(0.05)
        yield f"tcp://127.0.0.1:{port.read_text()}", start
    finally:
        process.kill()
        process.wait()


def first_pts_s(clip: Path) -> float:
    """Stamp of the clip's first frame as it comes out of the camera, in seconds."""
    made = io.BytesIO()
    with av.open(str(clip)) as source, av.open(made, "w", format="mpegts") as output:
        video = source.streams.video[0]
        stream = output.add_stream_from_template(video)
        for packet in itertools.islice(source.demux(video), 2):
            packet.stream = stream
            output.mux(packet)
    made.seek(0)
    with av.open(made) as container:
        packet = next(packet for packet in container.demux(video=0) if packet.pts is not None)
        return float(packet.pts * packet.time_base)


def main() -> None:
    clip, port_file, start_file, fps = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Path(port_file).write_text(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, contextlib.suppress(OSError, av.error.FFmpegError):
        _send(Path(clip), _Socket(connection), float(fps), Path(start_file))


def _send(clip: Path, sink: _Socket, fps: float, start_file: Path) -> None:
    output = av.open(sink, "w", format="mpegts", options={"flush_packets": "1"})
    stream = None
    start_s, number, offset = time.monotonic(), 0, 0
    start_file.write_text(repr(start_s))
    while True:
        with av.open(str(clip)) as source:
            video = source.streams.video[0]
            stream = stream or output.add_stream_from_template(video)
            for packet in source.demux(video):
                if packet.dts is None:
                    continue
                packet.pts, packet.dts = (packet.pts or 0) + offset, packet.dts + offset
                packet.stream = stream
                time.sleep(max(0.0, start_s + number / fps - time.monotonic()))
                output.mux(packet)
                number += 1
            offset += video.duration or 0


if __name__ == "__main__":
    main()
