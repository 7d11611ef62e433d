"""Sources by odd names: cameras by links, numbers with decimals, pictures and web pages behind URLs."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.media import FileServer, moving_images, write_video

from streamseg.errors import MediaError
from streamseg.video.files.folder_reader import natural_key
from streamseg.video.open import classify, open_source


def test_cameras_are_cameras_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "front").symlink_to("/dev/video0")
    (tmp_path / "by-id").symlink_to(tmp_path / "front")
    for name in ("/dev/video0", "/dev/v4l/by-id/usb-Some_Camera-video-index0", tmp_path / "front", tmp_path / "by-id"):
        assert classify(str(name)) == "camera"
    for name in ("/dev/null", "/dev/stdin", "/dev/shm/clip.mp4", tmp_path / "video0"):
        assert classify(str(name)) == "file"
    with pytest.raises(MediaError, match=r"expected camera .*front to open"):
        open_source(str(tmp_path / "front"))


@pytest.mark.parametrize(
    "names",
    [
        ["0.125.png", "0.25.png", "0.5.png", "1.png", "1.5.png", "10.25.png"],
        ["t0.05 s.png", "t0.5 s.png"],
        ["1305031102.175304.png", "1305031102.2.png", "1305031103.1.png"],
        ["v1.2.9.png", "v1.2.10.png", "v1.10.1.png"],
        ["frame.0002.png", "frame.10.png"],
        ["2.png", "10.png", "a.png"],
    ],
)
def test_numbers_in_names_are_sorted_by_their_value(names: list[str]) -> None:
    assert sorted(map(Path, reversed(names)), key=natural_key) == list(map(Path, names))


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_behind_a_url_is_one_picture(tmp_path: Path, name: str) -> None:
    image = moving_images(1)[0]
    cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    with FileServer(tmp_path) as server, open_source(f"{server.url}/{name}") as reader:
        assert not reader.info.live
        (picture,) = reader
    assert np.abs(picture.to_rgb().astype(int) - image).mean() < 8


def test_times_count_from_the_first_frame_of_a_file(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "a.ts", moving_images(5)))) as reader:
        assert [picture.pts_s for picture in reader] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    with open_source(str(tmp_path / "a.ts"), start_index=3) as reader:
        assert [picture.pts_s for picture in reader] == pytest.approx([0.12, 0.16])


def test_a_protocol_that_this_build_lacks_is_named() -> None:
    with pytest.raises(MediaError, match="this FFmpeg has no 'nosuch'"):
        open_source("nosuch://127.0.0.1:9")


@pytest.fixture
def login_page() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = "Basic " + base64.b64encode(b"me:secret").decode()
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.end_headers()
                return
            body = b"\n <!DOCTYPE HTML>\n<html><body>Please log in</body></html>" * 30
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://me:secret@127.0.0.1:{server.server_port}/stream"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_web_page_in_the_place_of_a_stream_is_called_one(login_page: str) -> None:
    with pytest.raises(MediaError, match="answered with a web page, perhaps one to log in at") as refusal:
        open_source(login_page)
    assert "secret" not in str(refusal.value)
