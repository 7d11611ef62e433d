"""What reaches terminal, log and files of what strangers and cameras say: no passwords, nothing a terminal obeys."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import streamseg

BOX = ("--box", "1,1,9,9")

URLS = [
    "rtsp://127.0.0.1:1/user=admin_password=HUNTER2_channel=1_stream=0.sdp?real_stream",
    "rtsp://admin:2024#HUNTER2@127.0.0.1:1/live",
    "rtsp://admin:12/HUNTER2@127.0.0.1:1/live",
    "rtsp://admin:one HUNTER2 three@127.0.0.1:1/live",
    "http://127.0.0.1:1/video.cgi?loginuse=admin&loginpas=HUNTER2",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("how", [("--json", "-vv"), ("--json", "--inline")])
def test_no_password_is_shown_or_kept(tmp_path: Path, url: str, how: tuple[str, ...]) -> None:
    done = streamseg("run", url, *BOX, *how, "--no-reconnect", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "HUNTER2" not in done.stderr + done.stdout
    for path in tmp_path.rglob("*"):
        assert "HUNTER2" not in path.name
        assert path.is_dir() or b"HUNTER2" not in path.read_bytes()


@pytest.mark.parametrize(
    "words", [("run", "{}.mp4", *BOX), ("run", "clip.mp4", "--mask", "{}.png"), ("check", "{}.yaml")]
)
def test_names_do_not_reach_the_terminal_as_orders(tmp_path: Path, words: tuple[str, ...]) -> None:
    name = "a\x1b]0;title\x07\x1b[31m\r\u202eb"
    done = streamseg(*(word.format(name) for word in words), cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert r"\x1b]0;title\x07\x1b[31m" in done.stderr
    assert not set(done.stderr + done.stdout) & set("\x1b\x07\r\u202e")
