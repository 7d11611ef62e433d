"""Cameras of this machine, as Linux shows them, and what FFmpeg's devices are told. No camera is opened here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from streamseg_nodes.decode import Decode
from streamseg_nodes.decode_options import ffmpeg_options
from support.command import streamseg

from streamseg.errors import GraphError, MediaError
from streamseg.video.live.cameras import CameraMode, FoundCamera, cameras_here, mode_options, parse_size
from streamseg.video.open import open_source


def machine(root: Path) -> Path:
    """A file system with two cameras, each with a second device for what is known of its pictures."""
    for number, (name, index) in enumerate([("Lens A", 0), ("Lens A", 1), ("Lens B", 0), ("Lens B", 1)]):
        about = root / f"sys/class/video4linux/video{number}"
        about.mkdir(parents=True)
        (about / "name").write_text(f"{name}\n")
        (about / "index").write_text(f"{index}\n")
        (root / "dev").mkdir(exist_ok=True)
        (root / f"dev/video{number}").touch()
    (root / "dev/v4l/by-id").mkdir(parents=True)
    (root / "dev/v4l/by-id/usb-Lens_B-video-index0").symlink_to("../../video2")
    return root


def test_cameras_are_listed_once_with_a_name_that_stays(tmp_path: Path) -> None:
    assert cameras_here(machine(tmp_path)) == [
        FoundCamera("/dev/video0", "Lens A", ""),
        FoundCamera("/dev/video2", "Lens B", "/dev/v4l/by-id/usb-Lens_B-video-index0"),
    ]
    assert cameras_here(tmp_path / "empty") == []


@pytest.mark.parametrize(
    ("device", "format_name", "options"),
    [
        ("v4l2", "mjpeg", {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}),
        ("dshow", "mjpeg", {"video_size": "1280x720", "framerate": "30", "vcodec": "mjpeg"}),
        ("dshow", "yuyv422", {"video_size": "1280x720", "framerate": "30", "pixel_format": "yuyv422"}),
        ("avfoundation", "nv12", {"video_size": "1280x720", "framerate": "30", "pixel_format": "nv12"}),
    ],
)
def test_devices_are_told_in_their_own_words(device: str, format_name: str, options: dict[str, str]) -> None:
    assert mode_options(CameraMode((1280, 720), 30.0, format_name), device) == options
    assert mode_options(CameraMode(), device) == {}


def test_decode_asks_cameras_for_a_mode_and_rtsp_servers_for_a_transport() -> None:
    options = Decode.Config(source="/dev/video0", camera_size="640x480", input_options={"framerate": "5"})
    assert ffmpeg_options(options) == {"video_size": "640x480", "framerate": "5"}
    assert ffmpeg_options(Decode.Config(source="rtsp://a/b")) == {"rtsp_transport": "tcp"}
    assert ffmpeg_options(Decode.Config(source="rtsp://a/b", rtsp_transport="udp")) == {"rtsp_transport": "udp"}
    assert ffmpeg_options(Decode.Config(source="http://a/b.mp4")) == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="v4l2 is Linux's")
def test_what_a_camera_is_asked_for_reaches_ffmpeg_by_a_stand_in_for_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any, Any]] = []

    def no_camera(name: str, mode: str, *, format: str, options: dict[str, str], timeout: Any) -> None:
        asked.append((name, format, dict(options)))
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("streamseg.video.container.av.open", no_camera)
    config = Decode.Config(source="3", camera_size="1280x720", camera_fps=30.0, camera_format="mjpeg")
    with pytest.raises(MediaError):
        open_source(config.source, options=ffmpeg_options(config))
    wanted = {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}
    assert asked[0] == ("/dev/video3", "v4l2", wanted)


def test_what_is_no_size_or_no_camera_is_refused() -> None:
    assert parse_size("1920X1080") == (1920, 1080)
    for text in ("1280", "0x720", "1280x", "1280*720", "-1x5"):
        with pytest.raises(ValueError, match="expected a size such as 1280x720"):
            parse_size(text)
    with pytest.raises(GraphError, match="camera_size: expected a size such as 1280x720, got 'big'"):
        Decode.check(Decode.Config(source="0", camera_size="big"))
    with pytest.raises(GraphError, match=r"are for cameras, and clip\.mp4 is none"):
        Decode.check(Decode.Config(source="clip.mp4", camera_fps=30.0))


def test_the_command_lists_what_there_is() -> None:
    done = streamseg("sources")
    assert done.returncode == 0
    assert "cameras:" in done.stdout
    assert "rtsp://" in done.stdout
