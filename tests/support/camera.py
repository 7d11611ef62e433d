"""A camera on loopback that fails as told: H.264 in a transport stream over TCP, sent by a timetable."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

RATE = 25
WIDTH, HEIGHT = 160, 96
_BITS = 10
_SIDE = 16


def numbered_image(number: int) -> np.ndarray:
    """(96, 160, 3) uint8 RGB picture that says its number in black and white squares at the top; much detail below."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(_BITS):
        image[:_SIDE, bit * _SIDE : (bit + 1) * _SIDE] = 230 if number >> bit & 1 else 20
    image[72:] = np.random.default_rng(number).integers(0, 256, (HEIGHT - 72, WIDTH, 3))
    image[40:72, 8 + number % 100 : 40 + number % 100] = (220, 120, 30)
    return image


def number_of(image_rgb: np.ndarray) -> int:
    """What `numbered_image` was called with."""
    squares = image_rgb[4 : _SIDE - 4].mean((0, 2)).reshape(_BITS, _SIDE).mean(1)
    return sum(1 << bit for bit in range(_BITS) if squares[bit] > 125)


class _Pieces:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def encoded(
    times_s: Sequence[float],
    *,
    gop: int = 5,
    sound: bool = False,
    first: int = 0,
    slices: int = 1,
    picture: Callable[[int], np.ndarray] = numbered_image,
) -> list[bytes]:
    """What a transport stream has to say for each frame; `times_s` are the presentation times in seconds.

    `picture` makes each from its number. With `sound` the frames after the last one of `times_s` have sound only, 250
    of them.
    """
    sink, pieces = _Pieces(), []
    # Without the second option the muxer keeps sound back for as long as no pictures come.
    options = {"flush_packets": "1", "max_interleave_delta": "100000"}
    with av.open(sink, "w", format="mpegts", options=options) as container:
        video = container.add_stream("libx264", rate=RATE)
        assert isinstance(video, VideoStream)
        video.height, video.width = picture(first).shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 90000)
        video.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:slices={slices}:sliced-threads=0:threads=1",
        }
        audio = container.add_stream("aac", rate=48000) if sound else None
        heard = 0
        for number in range(len(times_s) + (250 if sound else 0)):
            if number < len(times_s):
                frame = av.VideoFrame.from_ndarray(picture(first + number), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = round(times_s[number] * 90000), Fraction(1, 90000)
                container.mux(video.encode(frame))
            while isinstance(audio, AudioStream) and heard / 48000 < number / RATE:
                quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                quiet.sample_rate, quiet.pts, quiet.time_base = 48000, heard, Fraction(1, 48000)
                container.mux(audio.encode(quiet))
                heard += 1024
            pieces.append(sink.data)
            sink.data = b""
    return pieces


class Camera:
    """Serves pieces of a stream to whoever connects, each connection from the beginning, then says nothing more.

    Args:
        pieces: one for each frame.
        at_s: when each is sent, in seconds from the beginning of the connection; by default at `RATE`.
        hang_up: whether the connection is closed at the end.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        at_s: Callable[[int], float] = lambda number: number / RATE,
        *,
        hang_up: bool = False,
        port: int = 0,
    ) -> None:
        self._pieces = pieces
        self._at_s = at_s
        self._hang_up = hang_up
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"tcp://127.0.0.1:{self.port}"
        self.began_ns: list[int] = []
        """When each connection was made, nanoseconds since the epoch."""
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def age_s(self, number: int) -> float:
        """How long ago the picture of that number was made, in the last connection, had it been sent at once."""
        return (time.time_ns() - self.began_ns[-1]) / 1e9 - number / RATE

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.began_ns.append(time.time_ns())
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, time.monotonic()), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, began_s: float) -> None:
        with contextlib.suppress(OSError):
            for number, piece in enumerate(self._pieces):
                if self._stopping.wait(max(0.0, began_s + self._at_s(number) - time.monotonic())):
                    return
                connection.sendall(piece)
            if not self._hang_up:
                self._stopping.wait()
            connection.shutdown(socket.SHUT_RDWR)


class SegmentServer:
    """A live HLS stream of segments of `segment` frames over HTTP: each appears when its last picture was made.

    Args:
        pieces: of a stream in which every segment begins with a key frame.
    """

    def __init__(self, pieces: Sequence[bytes], segment: int) -> None:
        segments = [b"".join(pieces[at : at + segment]) for at in range(0, len(pieces), segment)]
        began_s = time.monotonic()
        last_s = segment / RATE

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                there = min(len(segments), int((time.monotonic() - began_s) / last_s))
                if self.path.endswith(".m3u8"):
                    first = max(0, there - 4)
                    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{round(last_s)}"]
                    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
                    for number in range(first, there):
                        lines += [f"#EXTINF:{last_s:.3f},", f"{number}.ts"]
                    self._answer("\n".join(lines).encode() + b"\n", "application/vnd.apple.mpegurl")
                else:
                    self._answer(segments[int(self.path.strip("/").partition(".")[0])], "video/mp2t")

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/live.m3u8"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> SegmentServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
