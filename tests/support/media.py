"""Real media for tests, small, made on the spot: videos of any kind, and a live stream server on loopback."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import socket
import struct
import threading
import time
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream


def moving_images(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """(height, width, 3) uint8 RGB pictures, each unlike all others: a square moves over a color gradient."""
    y, x = np.mgrid[:height, :width]
    images = []
    for number in range(count):
        image = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 9 * number % 256)], 2).astype(np.uint8)
        left, top = 3 * number % (width - 16), 2 * number % (height - 16)
        image[top : top + 16, left : left + 16] = (250, 240, 20)
        images.append(image)
    return images


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode RGB (or RGBA) pictures; `pts` in units of `time_base`, one per 1/rate if None. Returns the path."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        base = time_base or Fraction(1, rate)
        stream.codec_context.time_base = base
        for number, image in enumerate(images):
            rgb = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
            frame = rgb.reformat(format=pix_fmt)
            frame.pts = number if pts is None else pts[number]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_plainly(path: Path) -> list[np.ndarray]:
    """What FFmpeg and swscale make of a video without any help of ours: (H, W, 3) uint8 RGB each."""
    with av.open(str(path)) as container:
        return [frame.reformat(format="rgb24").to_ndarray().copy() for frame in container.decode(video=0)]


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Overwrite the matrix in the track header of an MP4 (ISO/IEC 14496-12, 8.3.2), version 0 boxes."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


class StreamServer:
    """Sends an endless video over HTTP at its real pace, each connection from the beginning, until killed.

    Args:
        kind: "mpegts", "mjpeg" (as IP cameras do), or "silence": takes connections and says nothing.
        frames: end each connection after so many; None to go on. `stall` keeps it open without a word instead.
        port: 0 for a free one.
    """

    rate = 50
    size = (96, 64)

    def __init__(self, kind: str, *, frames: int | None = None, stall: bool = False, port: int = 0) -> None:
        self.kind = kind
        self.frames = frames
        self.stall = stall
        self.connections = 0
        self.stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/live"
        self._run(self._accept)

    def kill(self) -> None:
        """Close the port and all connections at once; another server may take the port."""
        self.stopping.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> StreamServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _run(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self.connections += 1
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(4096)
            if self.kind == "silence":
                self.stopping.wait()
                return
            kind = "video/mp2t" if self.kind == "mpegts" else "multipart/x-mixed-replace; boundary=next"
            connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
            with contextlib.closing(_transport_stream(self) if self.kind == "mpegts" else _motion_jpeg(self)) as chunks:
                for data in chunks:
                    connection.sendall(data)
                    if self.stopping.wait(1 / self.rate):
                        return
            if self.stall:
                self.stopping.wait()
            connection.shutdown(socket.SHUT_RDWR)


class _Collected:
    """A file to write to that hands over what was written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def take(self) -> bytes:
        taken, self.data = self.data, b""
        return taken


def _transport_stream(server: StreamServer) -> Generator[bytes, None, None]:
    images = moving_images(50, *server.size)
    sink = _Collected()
    # Closed in any case: PyAV may crash if it has to do so by itself while the interpreter cleans up.
    with av.open(sink, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("mpeg2video", rate=server.rate, options={"g": "5", "bf": "0"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = server.size
        stream.bit_rate = 4_000_000
        stream.pix_fmt = "yuv420p"
        for number in itertools.islice(itertools.count(), server.frames):
            frame = av.VideoFrame.from_ndarray(images[number % len(images)], format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
            yield sink.take()


def _motion_jpeg(server: StreamServer) -> Generator[bytes, None, None]:
    images = moving_images(50, *server.size)
    for number in itertools.islice(itertools.count(), server.frames):
        picture = cv2.imencode(".jpg", images[number % len(images)][:, :, ::-1])[1].tobytes()
        header = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        yield header.encode() + picture + b"\r\n"


def send_stream(url: str, kind: str) -> None:
    """Send an endless video at its real pace to who listens at `url`, by RTSP ("rtsp") or as MPEG-TS ("mpegts").

    To be run in a process of its own: PyAV holds the interpreter's lock while it connects.
    """
    options = {"rtsp_transport": "tcp"} if kind == "rtsp" else {"flush_packets": "1"}
    while True:
        container = av.open(url, "w", format=kind, options=options)
        stream = container.add_stream("mpeg4", rate=50, options={"g": "5"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 64, "yuv420p", 4_000_000
        try:
            container.start_encoding()
            break
        except av.error.ConnectionRefusedError:
            time.sleep(0.05)
    for number in itertools.count():
        image = moving_images(50)[number % 50]
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p")))
        time.sleep(1 / 50)


class FileServer:
    """Serves one folder over HTTP with plain GET, as a web server does."""

    def __init__(self, folder: Path) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object, **kwargs: object) -> None:
                super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> FileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
