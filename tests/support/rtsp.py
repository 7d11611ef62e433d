"""A camera on loopback that speaks RTSP: H.264 over RTP in its TCP connection, with sender reports as told."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from support.camera import HEIGHT, RATE, WIDTH, numbered_image

_SINCE_1900_S = 2_208_988_800
_CLOCK = 90_000
_MTU = 1400
_FIRST_TICK = 0xFFFF_0000
"""So that the ticks of RTP wrap soon, which they may do at any time."""


class RtspCamera:
    """Sends numbered pictures (`support.camera.numbered_image`) to whoever asks, each connection from the beginning.

    Args:
        count: how many pictures; then nothing more.
        wall_ns: what the camera's own clock shows when it takes a picture, nanoseconds since the epoch.
        reports: before which pictures a sender report goes out.
        at_s: when each picture is taken and sent, in seconds from the beginning of the connection.
        detail: whether every picture is too large for one packet; otherwise only key frames need several.
    """

    def __init__(
        self,
        count: int,
        wall_ns: Callable[[int], int],
        reports: Callable[[int], bool] = lambda number: number % 10 == 0,
        at_s: Callable[[int], float] = lambda number: number / RATE,
        *,
        detail: bool = True,
    ) -> None:
        self._wall_ns = wall_ns
        self._reports = reports
        self._at_s = at_s
        self.pictures = list(_encoded(count, detail))
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/camera"
        self.sent_ns: dict[int, int] = {}
        """When each picture was sent in the last connection, by the clock of this machine."""
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> RtspCamera:
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
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as asked:
            while (line := asked.readline()) and not line.startswith(b"PLAY"):
                self._answer(connection, line, _headers(asked))
            connection.sendall(_reply(_headers(asked), "Session: 1\r\n"))
            self._play(connection)
            self._stopping.wait()

    def _answer(self, connection: socket.socket, line: bytes, headers: dict[str, str]) -> None:
        if line.startswith(b"DESCRIBE"):
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
                f"a=control:{self.url}/0\r\n"
            )
            connection.sendall(_reply(headers, "Content-Type: application/sdp\r\n", body))
        elif line.startswith(b"SETUP"):
            transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            connection.sendall(_reply(headers, transport))
        else:
            connection.sendall(_reply(headers, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"))

    def _play(self, connection: socket.socket) -> None:
        began_s = time.monotonic()
        sequence = packets = octets = 0
        for number, picture in enumerate(self.pictures):
            at_s = self._at_s(number)
            if self._stopping.wait(max(0.0, began_s + at_s - time.monotonic())):
                return
            ticks = (_FIRST_TICK + round(at_s * _CLOCK)) % 2**32
            self.sent_ns[number] = time.time_ns()
            if self._reports(number):
                connection.sendall(_interleaved(1, _report(self._wall_ns(number), ticks, packets, octets)))
            payloads = list(_payloads(picture))
            for payload in payloads:
                last = payload is payloads[-1]
                header = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence % 2**16, ticks, 1)
                connection.sendall(_interleaved(0, header + payload))
                sequence, packets, octets = sequence + 1, packets + 1, octets + len(payload)


def _encoded(count: int, detail: bool) -> Iterator[bytes]:
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.framerate, codec.time_base = Fraction(RATE), Fraction(1, RATE)
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": "keyint=5:min-keyint=5:scenecut=0:repeat-headers=1",
    }
    for number in range(count):
        image = numbered_image(number)
        if not detail:
            image[HEIGHT // 3 :] = 90
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        yield b"".join(bytes(packet) for packet in codec.encode(frame))


def _payloads(picture: bytes) -> Iterator[bytes]:
    """The units of a picture as RTP carries them, those too long for one packet in pieces (RFC 6184)."""
    for piece in picture.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        if len(piece) <= _MTU:
            yield piece
            continue
        head, rest = piece[0], piece[1:]
        for at in range(0, len(rest), _MTU):
            first, last = at == 0, at + _MTU >= len(rest)
            yield bytes([head & 0xE0 | 28, first << 7 | last << 6 | head & 0x1F]) + rest[at : at + _MTU]


def _report(wall_ns: int, ticks: int, packets: int, octets: int) -> bytes:
    seconds, rest_ns = divmod(wall_ns, 10**9)
    fraction = rest_ns * 2**32 // 10**9
    return struct.pack(
        ">BBHIIIIII", 0x80, 200, 6, 1, (seconds + _SINCE_1900_S) % 2**32, fraction, ticks, packets, octets
    )


def _interleaved(channel: int, packet: bytes) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def _headers(asked: object) -> dict[str, str]:
    headers = {}
    while line := asked.readline().strip():  # type: ignore[attr-defined]
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _reply(headers: dict[str, str], more: str, body: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{more}{length}\r\n{body}".encode()
