"""Source strings: what they name, and how they are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamseg.video.source import classify, local_path, redact, redact_text


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "camera"),
        ("12", "camera"),
        ("/dev/video3", "camera"),
        ("video=Integrated Camera", "camera"),
        ("rtsp://host/live", "url"),
        ("http://host/a.mp4", "url"),
        ("https://host/a.png", "url"),
        ("udp://@:1234", "url"),
        ("srt://host:9000", "url"),
        ("tcp://host:9000", "url"),
        ("clip.mp4", "file"),
        ("./0", "file"),
        ("file:///tmp/a.mp4", "file"),
        ("picture.JPG", "folder"),
        (".", "folder"),
        ("C:\\clips\\a.mp4", "file"),
    ],
)
def test_classify(source: str, kind: str) -> None:
    assert classify(source) == kind


def test_a_folder_is_told_from_a_file_by_looking(tmp_path: Path) -> None:
    (tmp_path / "odd.mp4").mkdir()
    assert classify(str(tmp_path / "odd.mp4")) == "folder"


def test_file_urls_are_unwrapped() -> None:
    assert local_path("file:///tmp/my%20clip.mp4") == Path("/tmp/my clip.mp4")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("/home/me/a@b/clip.mp4?token=1", "/home/me/a@b/clip.mp4?token=1"),
        ("rtsp://host:554/live", "rtsp://host:554/live"),
        ("rtsp://admin:1234@host:554/live", "rtsp://***@host:554/live"),
        ("rtsp://admin@host/live", "rtsp://***@host/live"),
        ("rtsp://admin:p@ss:w@host/live", "rtsp://***@host/live"),
        ("rtsp://admin:pa/ss?#x@host/live", "rtsp://***@host/live"),
        ("http://host/@user/live", "http://host/@user/live"),
        ("http://host:80/@user/live", "http://host:80/@user/live"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("udp://@239.0.0.1:1234", "udp://***@239.0.0.1:1234"),
        ("http://host/a?token=abc&channel=1", "http://host/a?token=***&channel=1"),
        ("http://host/a?channel=1&API_KEY=abc#top", "http://host/a?channel=1&API_KEY=***#top"),
        ("http://host/a?user=me&pwd=x;y&password=z", "http://host/a?user=***&pwd=***;y&password=***"),
        (
            "https://b.s3/a.mp4?X-Amz-Signature=ff&X-Amz-Credential=k%2F1",
            "https://b.s3/a.mp4?X-Amz-Signature=***&X-Amz-Credential=***",
        ),
        ("srt://host:9000?passphrase=abc&mode=caller", "srt://host:9000?passphrase=***&mode=caller"),
        ("http://host/a?keyframes=5&monkey=1", "http://host/a?keyframes=5&monkey=1"),
    ],
)
def test_redact(source: str, shown: str) -> None:
    assert redact(source) == shown
    assert redact(shown) == shown


def test_urls_in_a_text_are_redacted() -> None:
    text = "Connection refused: 'rtsp://a:b@host/x' and http://host/?sig=1 too"
    assert redact_text(text) == "Connection refused: 'rtsp://***@host/x' and http://host/?sig=*** too"


@pytest.mark.parametrize("text", ["a" * 300_000, "a+." * 100_000, "http://" * 50_000, "x://" + "?key=" * 50_000])
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    """With a scheme of any length the first of them took minutes; the test's time limit would end it."""
    redact_text(text)
