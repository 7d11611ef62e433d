"""Downloads from a real HTTP server on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamseg.errors import CheckpointError
from streamseg.sam import checkpoints
from streamseg.sam.files.download import ProgressBar
from streamseg.sam.models import MODELS, ModelInfo

CONTENT = bytes(range(256)) * 20_000
"""5 MB: several reads."""


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at every path; answers Range requests unless told not to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.understands_ranges = True
        self.status: int | None = None
        self.breaks_after: list[int] = []
        """How many bytes each of the next answers sends before it breaks off."""

    def info(self, content: bytes = CONTENT) -> ModelInfo:
        return dataclasses.replace(
            MODELS["vit_b"],
            url=f"http://127.0.0.1:{self.server_port}/sam.pth",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            file_name="sam.pth",
        )


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.status is not None:
            self.send_error(self.server.status)
            return
        start = 0
        if asked and self.server.understands_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks_after:
            body = body[: self.server.breaks_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def test_downloaded_once_and_verified(server, cache):
    info = server.info()
    seen: list[tuple[int, int | None]] = []
    assert not checkpoints.is_here(info)
    path = checkpoints.locate(info, progress=lambda done, total: seen.append((done, total)))
    assert path == cache / "sam.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not path.with_name("sam.pth.part").exists()
    assert checkpoints.is_here(info)
    assert checkpoints.locate(info) == path
    assert server.ranges == [None], "the second time it is there"


def test_goes_on_where_an_earlier_attempt_stopped(server, cache):
    cache.mkdir()
    (cache / "sam.pth.part").write_bytes(CONTENT[:3_000_000])
    assert checkpoints.locate(server.info()).read_bytes() == CONTENT
    assert server.ranges == ["bytes=3000000-"]


def test_a_server_without_ranges_starts_over(server, cache):
    server.understands_ranges = False
    cache.mkdir()
    (cache / "sam.pth.part").write_bytes(b"x" * 3_000_000)
    assert checkpoints.locate(server.info()).read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_again(server):
    server.breaks_after = [1_000_000, 500_000]
    assert checkpoints.locate(server.info()).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_server_that_goes_away_midway_leaves_what_came(server, cache):
    server.breaks_after = [2_000_000, 0]
    info = server.info()
    with pytest.raises(CheckpointError, match=r"cannot download http.*2,000,000 bytes are kept") as caught:
        checkpoints.locate(info)
    assert str(cache / "sam.pth") in str(caught.value)
    assert not (cache / "sam.pth").exists()
    assert checkpoints.locate(info).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=2000000-"


def test_wrong_bytes_are_removed(server, cache):
    info = dataclasses.replace(server.info(), sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"SHA-256 .* instead of 0000.*removed"):
        checkpoints.locate(info)
    assert not list(cache.glob("sam.pth*[!k]")), "neither the file nor its part"


def test_more_bytes_than_expected_are_not_taken(server, cache):
    info = dataclasses.replace(server.info(), size_bytes=1000)
    with pytest.raises(CheckpointError, match="SHA-256"):
        checkpoints.locate(info, progress=lambda done, total: None if done <= 1000 else pytest.fail("took too much"))


def test_an_answer_that_is_an_error(server):
    server.status = 403
    with pytest.raises(CheckpointError, match="answered 403"):
        checkpoints.locate(server.info())


def test_offline_names_the_address_and_the_place(cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/sam.pth"
        info = dataclasses.replace(MODELS["vit_b"], url=url, file_name="sam.pth")
        with pytest.raises(CheckpointError) as caught:
            checkpoints.locate(info)
    assert url in str(caught.value) and str(cache / "sam.pth") in str(caught.value)


def test_not_allowed_to_download(cache):
    info = MODELS["vit_l"]
    with pytest.raises(CheckpointError) as caught:
        checkpoints.locate(info, download=False)
    assert str(info.url) in str(caught.value) and str(cache / info.file_name) in str(caught.value)


def test_two_at_once_download_once(server):
    info = server.info()
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(checkpoints.locate(info).read_bytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 3
    assert server.ranges == [None]


def test_a_cached_file_that_was_damaged_is_not_used(server, cache):
    path = checkpoints.locate(server.info())
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(CheckpointError, match=r"is damaged.*remove it"):
        checkpoints.locate(server.info())


def test_a_cache_that_cannot_be_a_folder(server, cache):
    cache.write_text("in the way")
    with pytest.raises(CheckpointError, match=r"cannot write .*STREAMSEG_CACHE"):
        checkpoints.locate(server.info())


def test_the_bar_is_drawn_on_a_terminal_only(server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    silent, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr("sys.stderr", silent)
    path = checkpoints.locate(server.info())
    path.unlink()
    monkeypatch.setattr("sys.stderr", terminal)
    checkpoints.locate(server.info())
    assert silent.getvalue() == ""
    assert terminal.getvalue().endswith(f"[{'#' * 30}] 5 of 5 MB\n")


def test_a_bar_without_a_total(capsys):
    ProgressBar("x")(2_000_000, None)
    assert capsys.readouterr().err == f"\rx [{' ' * 30}] 2 MB"
