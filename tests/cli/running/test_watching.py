"""``--metrics``, ``--trace`` and ``streamseg top``: what people type, and what is said when it cannot be."""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import COMMAND, Running, eventually, light_graph, running, streamseg, told
from support.media import moving_images, write_video
from support.watched import Scrape, free_port, get, scrape

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live run of half a minute that needs no model."""
    folder = tmp_path_factory.mktemp("watched")
    return light_graph(folder, write_video(folder / "film.mp4", moving_images(30 * 20), rate=20), live=True)


@contextlib.contextmanager
def watched(graph: Path, tmp_path: Path, *words: object) -> Iterator[tuple[Running, int]]:
    """The command with ``--metrics``, and the port it says."""
    with running("run", graph, "-o", tmp_path / "out", "--metrics", "127.0.0.1:0", *words) as run:
        assert run.process.stderr is not None
        line = run.process.stderr.readline()
        found = re.fullmatch(r"streamseg: metrics: https?://127\.0\.0\.1:(\d+)/metrics\n", line)
        assert found is not None, line
        yield run, int(found[1])


def test_a_run_can_be_watched_from_its_start_to_its_end(graph: Path, tmp_path: Path) -> None:
    with watched(graph, tmp_path) as (run, port):
        # At once, before any process is set up.
        assert get(port, "/healthz").status == 200
        assert eventually(lambda: get(port, "/readyz").status == 200)
        assert eventually(lambda: scrape(port)("streamseg_frames_out_total", stream="decode") >= 10)
        found = scrape(port)
        assert found("streamseg_objects", stream="decode", state="TRACKED") == 1
        assert found("streamseg_up") == found("streamseg_ready") == 1
        run.send(2)
        code, _, errors = run.wait()
        assert code == 130, errors
        with pytest.raises(ConnectionRefusedError):
            get(port, "/healthz")


def test_top_prints_one_table(graph: Path, tmp_path: Path) -> None:
    with watched(graph, tmp_path) as (_, port):
        assert eventually(lambda: scrape(port)("streamseg_frames_out_total", stream="decode") >= 10)
        for words in ([f"127.0.0.1:{port}", "--once"], [port]):
            done = streamseg("top", *words)
            assert done.returncode == 0, done.stderr
            lines = done.stdout.splitlines()
            assert f"at 127.0.0.1:{port}  running for 0:00:" in lines[0] and lines[0].endswith("ready")
            assert [line.split()[0] for line in lines[2:6]] == ["NODE", "decode", "square", "record"]
            stream = dict(zip(lines[7].split(), lines[8].split(), strict=False))
            assert stream["STREAM"] == "decode" and int(stream["OUT"]) >= 10
            assert "1\N{NO-BREAK SPACE}TRACKED" in done.stdout


class Terminal:
    """A terminal of 100 columns in which a command runs; keeps all that it writes."""

    def __init__(self, *words: object) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def _read(self) -> None:
        # Reading fails once nobody holds the other end any more.
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                self.text += data.decode("utf-8", "replace")

    def close(self) -> int:
        code = self.process.wait(timeout=30)
        self._thread.join(timeout=10)
        os.close(self._master)
        return code


@pytest.mark.parametrize("how", ["q", "Ctrl-C"])
def test_top_lives_until_somebody_ends_it(graph: Path, tmp_path: Path, how: str) -> None:
    with watched(graph, tmp_path) as (_, port):
        assert eventually(lambda: get(port, "/readyz").status == 200)
        terminal = Terminal("top", port)
        try:
            # More than one picture of it, on the terminal's other page.
            assert eventually(lambda: terminal.text.count("STREAM") >= 3), terminal.text
            assert terminal.process.poll() is None
            terminal.type("x")
            if how == "q":
                terminal.type("q")
            else:
                terminal.process.send_signal(2)
            assert terminal.close() == 0
        finally:
            terminal.process.kill()
            terminal.process.wait()
    # The page that was there before comes back, and the cursor with it.
    assert terminal.text.count("\x1b[?1049h") == terminal.text.count("\x1b[?1049l") == 1
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.text


def test_top_says_that_the_run_is_over(graph: Path, tmp_path: Path) -> None:
    with watched(graph, tmp_path) as (run, port):
        assert eventually(lambda: get(port, "/readyz").status == 200)
        terminal = Terminal("top", port)
        try:
            assert eventually(lambda: "STREAM" in terminal.text), terminal.text
            run.send(2)
            run.wait()
            assert terminal.close() == 0
        finally:
            terminal.process.kill()
            terminal.process.wait()
    assert f"the run at 127.0.0.1:{port} is over" in terminal.text


def test_top_where_there_is_nothing(tmp_path: Path) -> None:
    port = free_port()
    done = streamseg("top", port)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr == (
        f"streamseg: error: nothing listens at 127.0.0.1:{port}; start a run with --metrics, or say where one is: "
        f"streamseg top HOST:PORT\n"
    )
    done = told("top", "camera.local:http")
    assert done.returncode == 2 and "expected HOST:PORT or a port, such as 127.0.0.1:9400" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n<html>")

        thread = threading.Thread(target=answer)
        thread.start()
        done = streamseg("top", other.getsockname()[1])
        thread.join()
    assert done.returncode == 7 and "is no run of this streamseg" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "here"], "metrics: expected HOST:PORT or a port, such as 127.0.0.1:9400, got 'here'"),
        (["--metrics", "0.0.0.0:9400"], "network could read them; give --metrics-token and --metrics-cert and"),
        (["--metrics", "0.0.0.0:9400"], "ssh -L"),
        (["--metrics-token", "token"], "expected --metrics HOST:PORT with --metrics-token"),
        (["--metrics", "--metrics-token", "gone"], "metrics: the file with the token, gone, cannot be read"),
        (["--metrics", "--inline"], "expected a run of processes with --metrics, got --inline"),
        (["--trace", "t.json", "--inline"], "expected a run of processes with --trace, got --inline"),
        (["--trace", "nowhere/t.json"], "expected to write a trace to nowhere/t.json, got: No such file or directory"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    graph: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = told("run", graph, "-o", tmp_path / "out", *words, cwd=tmp_path)
    assert done.returncode in (2, 5) and said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["run", "serve", "ros2"])
def test_all_that_run_processes_have_the_flags(command: str) -> None:
    done = streamseg(command, "--help")
    for flag in ("--metrics", "--metrics-token", "--metrics-cert", "--metrics-key", "--trace"):
        assert re.search(rf"^  {flag} \[?[A-Z]", done.stdout, re.MULTILINE), flag


def test_a_port_in_use(graph: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = told("run", graph, "-o", tmp_path / "out", "--metrics", port)
    assert done.returncode == 5
    assert f"expected 127.0.0.1:{port} to be free for the metrics, but the port is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_files_on_the_page_are_no_run_of_processes(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", moving_images(3))
    done = streamseg("serve", film, "--port", free_port(), "--metrics")
    assert done.returncode == 2
    assert "expected a run of processes with --metrics, got files, which the page plays itself" in done.stderr


def without(tmp_path: Path, package: str) -> dict[str, str]:
    """An environment in which a package cannot be imported."""
    (tmp_path / f"{package}.py").write_text(f"raise ImportError('no {package}')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


def test_packages_that_are_missing_are_named(graph: Path, tmp_path: Path) -> None:
    environment = without(tmp_path, "prometheus_client")
    done = streamseg("run", graph, "-o", tmp_path / "out", "--metrics", env=environment)
    assert done.returncode == 2 and "pip install 'streamseg[metrics]'" in done.stderr
    assert "'prometheus_client' for --metrics" in done.stderr
    done = streamseg("top", env=without(tmp_path, "rich"))
    assert done.returncode == 2 and "'rich' for 'streamseg top'" in done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_others_may_watch_with_a_token_by_https(graph: Path, tmp_path: Path) -> None:
    cert, key, token = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "token"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(words, check=True, capture_output=True)
    token.write_text(TOKEN)
    closed = ["--metrics-token", token, "--metrics-cert", cert, "--metrics-key", key]
    with watched(graph, tmp_path, *closed) as (_, port):
        context = ssl.create_default_context(cafile=str(cert))

        def ask(**headers: str) -> tuple[int, str]:
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
            connection.request("GET", "/metrics", headers=headers)
            response = connection.getresponse()
            with contextlib.closing(connection):
                return response.status, response.read().decode()

        assert ask()[0] == 401
        assert ask(Authorization="Bearer something-else")[0] == 401
        # Who has the token may call this machine what they like.
        status, text = ask(Authorization=f"Bearer {TOKEN}", Host="camera-7.example")
        assert status == 200 and Scrape(text)("streamseg_up") == 1
        # Neither somebody who talks no TLS nor one who says nothing keeps others from being heard.
        with pytest.raises((OSError, http.client.HTTPException)):
            get(port, "/metrics")
        with socket.create_connection(("127.0.0.1", port)):
            assert ask(Authorization=f"Bearer {TOKEN}")[0] == 200
        done = streamseg("top", f"https://127.0.0.1:{port}", "--once", "--token", token, "--ca", cert)
        assert done.returncode == 0 and "square" in done.stdout, done.stderr
        done = streamseg("top", f"https://127.0.0.1:{port}", "--once", "--ca", cert)
        assert done.returncode == 7 and "wants its token; give --token FILE" in done.stderr
        done = streamseg("top", f"https://127.0.0.1:{port}", "--once", "--token", token)
        assert done.returncode == 7 and "--ca FILE names the one to trust" in done.stderr
        done = streamseg("top", port, "--once", "--token", token)
        assert done.returncode == 7 and f"https://127.0.0.1:{port}" in done.stderr
    words = ["run", graph, "-o", tmp_path / "other", "--metrics", *closed[:2], "--metrics-cert", token]
    done = streamseg(*words, "--metrics-key", key)
    assert done.returncode == 2 and "expected a certificate and its key in" in done.stderr
