"""What cannot be read gives one clear sentence, without the secrets in a URL."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from support.media import FileServer, StreamServer, moving_images, write_video

from streamseg.errors import MediaError, UsageError
from streamseg.video.open import open_source


def refusal(source: str | Path, **options: object) -> str:
    """The text of the error that opening gives: exactly one sentence."""
    with pytest.raises(MediaError) as caught:
        open_source(str(source), **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert text.startswith("expected ") and "\n" not in text
    assert caught.value.__cause__ is None
    return text


@contextlib.contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Root may read everything; so be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        assert isinstance(stream, AudioStream)
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate, frame.pts, frame.time_base = 44100, 1024 * number, Fraction(1, 44100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no.mp4 does not exist" in refusal(tmp_path / "no.mp4")


def test_a_missing_image(tmp_path: Path) -> None:
    assert "no.png does not exist" in refusal(tmp_path / "no.png")


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert "found none" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes", "notes.srt"])
def test_a_text_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nThis is no video.\n" * 50)
    text = refusal(path)
    assert name in text and ("text file" in text or "not one that FFmpeg can read" in text)


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(1).integers(0, 256, 20000, dtype=np.uint8).tobytes())
    assert "noise.mp4" in refusal(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert "is empty" in refusal(tmp_path / "a.mp4")


def test_sound_without_pictures(tmp_path: Path) -> None:
    write_sound(tmp_path / "song.m4a")
    assert "found only audio streams" in refusal(tmp_path / "song.m4a")


def test_a_video_without_a_single_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving_images(3), codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    start = data.index(b"movi")
    path.write_bytes(data[: start + 4])
    assert "at least one picture" in refusal(path)


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_images(3))
    path.chmod(0o000)
    with an_ordinary_user():
        assert "not permitted" in refusal(path)


def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir(mode=0o000)
    with an_ordinary_user():
        # Whether the folder can be looked at decides what it is taken for; either way it is not permitted.
        assert "not permitted" in refusal(folder)


def test_a_camera_that_is_not_there() -> None:
    text = refusal("97")
    assert "camera 97" in text and "cameras here" in text


def test_an_unknown_protocol() -> None:
    text = refusal("rtzp://user:secret@host/x")
    assert "known protocol" in text and "secret" not in text and "rtzp://***@host/x" in text


def test_an_unreachable_address_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    text = refusal(f"http://admin:hunter2@127.0.0.1:{port}/live?token=abc", open_timeout_s=5)
    assert "cannot be reached" in text
    assert "hunter2" not in text and "abc" not in text and f"http://***@127.0.0.1:{port}/live?token=***" in text


def test_an_address_that_the_server_does_not_know(tmp_path: Path) -> None:
    with FileServer(tmp_path) as server:
        text = refusal(f"{server.url}/nothing.mp4", open_timeout_s=5)
    assert "the server answered" in text and "404" in text


def test_a_server_that_never_answers() -> None:
    with StreamServer("silence") as server:
        text = refusal(server.url, open_timeout_s=0.3)
    assert "within 0.3 s" in text


def test_a_live_source_cannot_start_later() -> None:
    with StreamServer("mjpeg") as server, pytest.raises(UsageError, match="start_index 0"):
        open_source(server.url, start_index=3)
