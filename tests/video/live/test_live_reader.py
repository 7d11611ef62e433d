"""Live streams from a real server on loopback, through its death and its silence."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support.media import FileServer, StreamServer, decode_plainly, moving_images, write_video

from streamseg.errors import MediaError
from streamseg.video.live.connection import SILENT
from streamseg.video.live.live_reader import waits_s
from streamseg.video.open import Picture, Reader, open_source

QUICK = {"analyzeduration": "300000"}


def open_live(server: StreamServer, **options: object) -> Reader:
    settings = {"live": True, "read_timeout_s": 5.0, "options": QUICK} | options
    return open_source(server.url, **settings)  # type: ignore[arg-type]


def assert_one_timeline(pictures: list[Picture]) -> None:
    assert [picture.index for picture in pictures] == list(range(len(pictures)))
    assert_in_order(pictures)


def assert_in_order(pictures: list[Picture]) -> None:
    """Numbers and times only grow; where the machine is too busy some are left out."""
    assert all(later.index > earlier.index for earlier, later in itertools.pairwise(pictures))
    pts = [picture.pts for picture in pictures]
    assert None not in pts
    assert all(later > earlier for earlier, later in itertools.pairwise(pts))  # type: ignore[operator]
    assert len({picture.time_base for picture in pictures}) == 1


@pytest.mark.parametrize("kind", ["mpegts", "mjpeg"])
def test_pictures_come_from_a_stream(kind: str) -> None:
    with StreamServer(kind) as server, open_live(server, max_frames=15) as reader:
        pictures = [(picture, picture.to_rgb()) for picture in reader]
    assert_one_timeline([picture for picture, _ in pictures])
    assert len(pictures) == 15
    info = reader.info
    assert (info.kind, info.live, info.width, info.height, info.frames) == ("url", True, 96, 64, None)
    # Which picture a viewer who comes late sees first is up to the network; each is one of those that are sent.
    sent = moving_images(50)
    for _, image in pictures:
        assert min(np.abs(image.astype(int) - each).mean() for each in sent) < 8


@pytest.mark.parametrize(("kind", "protocol"), [("rtsp", "rtsp"), ("mpegts", "udp")])
def test_pictures_come_by_other_protocols(kind: str, protocol: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "rtsp" else socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        url = f"{protocol}://127.0.0.1:{free.getsockname()[1]}" + ("/live" if kind == "rtsp" else "")
    script = f"from support.media import send_stream; send_stream({url!r}, {kind!r})"
    path = os.pathsep.join(str(Path(__file__).parents[up]) for up in (2, 3))
    sender = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path})
    # There is no RTSP server at hand; but FFmpeg's reader can take the server's part.
    options = {"rtsp_flags": "listen", "listen_timeout": "30"} if kind == "rtsp" else QUICK
    try:
        with open_source(url, open_timeout_s=30, max_frames=20, options=options) as reader:
            pictures = list(reader)
    finally:
        sender.kill()
        sender.wait()
    assert_one_timeline(pictures)
    assert len(pictures) == 20 and reader.info.live and reader.info.codec == "mpeg4"


def test_a_stream_without_times_gets_those_of_its_arrival() -> None:
    with StreamServer("mjpeg") as server, open_live(server, max_frames=20) as reader:
        pictures = list(reader)
    assert reader.info.fps is None
    shown_s = pictures[-1].pts_s or 0.0
    assert shown_s == pytest.approx((pictures[-1].captured_ns - pictures[0].captured_ns) / 1e9, abs=1e-3)


@pytest.mark.parametrize("kind", ["mpegts", "mjpeg"])
def test_a_server_that_dies_and_comes_back_is_found_again(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamseg")
    first = StreamServer(kind)
    with open_live(first) as reader:
        pictures = [next(reader) for _ in range(10)]
        first.kill()
        second = StreamServer(kind, port=first.port)
        while reader.reconnects == 0:
            pictures.append(next(reader))
        pictures += [next(reader) for _ in range(10)]
        second.kill()
    assert second.connections >= 1
    assert_one_timeline(pictures)
    assert "lost" in caplog.text and "connected again" in caplog.text
    # The time without a connection shows in the presentation times.
    gaps_s = np.diff([picture.pts_s or 0.0 for picture in pictures])
    assert gaps_s.max() >= 0.5


def test_a_server_that_falls_silent_is_left_after_the_read_timeout(caplog: pytest.LogCaptureFixture) -> None:
    with StreamServer("mpegts", frames=40, stall=True) as server, open_live(server, read_timeout_s=0.3) as reader:
        pictures = []
        # A busy machine may find no picture within the timeout before the server is silent; that comes with each
        # connection, so it is waited for.
        while reader.reconnects == 0 or SILENT not in caplog.text:
            pictures.append(next(reader))
    assert_in_order(pictures)
    assert pictures


def test_a_stream_that_ends_is_opened_again_and_again() -> None:
    with StreamServer("mjpeg", frames=4) as server, open_live(server, max_frames=12) as reader:
        pictures = list(reader)
    assert_one_timeline(pictures)
    # FFmpeg does not give out the picture before the end of such a stream: three or four a connection.
    assert len(pictures) == 12 and reader.reconnects in (2, 3)


def test_a_stream_that_ends_ends_the_reader_if_so_asked() -> None:
    with StreamServer("mjpeg", frames=4) as server, open_live(server, reconnect=False) as reader:
        assert len(list(reader)) in (3, 4)
    assert reader.reconnects == 0


def test_after_so_many_failures_in_a_row_it_gives_up() -> None:
    server = StreamServer("mjpeg")
    with open_source(server.url.replace("//", "//me:secret@"), reconnect_attempts=2, open_timeout_s=1.0) as reader:
        next(reader)
        server.kill()
        with pytest.raises(MediaError, match="2 attempts in a row failed") as caught:
            for _ in reader:
                pass
    assert "secret" not in str(caught.value)


def test_stop_ends_a_reader_that_waits_for_data() -> None:
    with StreamServer("mjpeg", frames=5, stall=True) as server, open_live(server, read_timeout_s=0.5) as reader:
        timer = threading.Timer(0.2, reader.stop)
        timer.start()
        pictures = list(reader)
        timer.join()
    assert 1 <= len(pictures) <= 5
    assert reader.reconnects == 0


def test_stop_ends_a_reader_that_waits_to_connect_again() -> None:
    server = StreamServer("mjpeg")
    with open_live(server) as reader:
        next(reader)
        server.kill()
        threading.Timer(0.3, reader.stop).start()
        for _ in reader:
            pass
    assert reader.reconnects == 0


def test_a_file_on_a_web_server_is_read_to_its_end_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_images(30))
    with FileServer(tmp_path) as server, open_source(f"{server.url}/a.mp4") as reader:
        images = [picture.to_rgb() for picture in reader]
    assert not reader.info.live and reader.reconnects == 0
    np.testing.assert_array_equal(images, decode_plainly(path))


def test_waits_double_up_to_two_seconds() -> None:
    waits = list(waits_s(8))
    for wait_s, base_s in zip(waits, [0.5, 1, 2, 2, 2, 2, 2, 2], strict=True):
        assert base_s <= wait_s <= 1.25 * base_s
    assert len(list(itertools.islice(waits_s(None), 100))) == 100
