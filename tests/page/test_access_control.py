"""Who gets in to the page, what a browser may do with it, what becomes of what it says. Real sockets, no browser."""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from streamseg_nodes.page.address import Address, Secrets, checked, open_port, parse
from streamseg_nodes.page.server import PageServer
from support.command import eventually, streamseg
from support.pages import token_file
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from streamseg.commands import Answer, Applied, Refused, Reply
from streamseg.errors import GraphError, OutputError, UsageError

TOKEN = "0123456789abcdef-token"
LOG = logging.getLogger("test")


class Run:
    """What is behind the page: keeps what it is given, answers when told to."""

    def __init__(self) -> None:
        self.given: list[tuple[dict[str, Any], Reply]] = []

    def give(self, body: bytes, reply: Reply) -> None:
        self.given.append((msgspec.msgpack.decode(body), reply))

    def answer(self, answer: Answer) -> None:
        self.given.pop(0)[1](answer)


@contextmanager
def page(run: Run | None = None, secrets: Secrets = Secrets(), **settings: Any) -> Iterator[PageServer]:  # noqa: B008
    address = Address("127.0.0.1", 0)
    titles = {"left": "Left", "right": "Right"}
    server = PageServer(
        open_port(address), address, secrets, titles=titles, give=(run or Run()).give, log=LOG, **settings
    )
    server.start()
    try:
        yield server
    finally:
        server.close()


def port_of(server: PageServer) -> int:
    return int(server.url.rstrip("/").rpartition(":")[2])


def get(server: PageServer, path: str = "/", method: str = "GET", body: str = "", **headers: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return answer


def live(server: PageServer, *, origin: str | None = "", cookie: str = "") -> ClientConnection:
    headers = {"Cookie": cookie} if cookie else {}
    own = server.url.rstrip("/") if origin == "" else origin
    return connect(f"ws://127.0.0.1:{port_of(server)}/live", origin=own, additional_headers=headers, close_timeout=1)  # type: ignore[arg-type]


def heard(line: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind; others and pictures are passed over."""
    while True:
        message = line.recv(timeout=20)
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return dict(found)


def picture(number: int) -> bytes:
    header = json.dumps({"seq": number}).encode()
    return struct.pack("<I", len(header)) + header + bytes(100_000)


def show(server: PageServer, stream: str, number: int) -> None:
    server.hub.post(lambda: server.hub.show(stream, picture(number)))


def seen(line: ClientConnection, timeout_s: float = 20) -> int:
    """The number of the next picture."""
    while True:
        message = line.recv(timeout=timeout_s)
        if isinstance(message, bytes):
            (length,) = struct.unpack("<I", message[:4])
            return int(json.loads(message[4 : 4 + length])["seq"])


def test_what_a_browser_is_told_of_the_page() -> None:
    with page() as server:
        found = get(server)
        assert found.status == 200
        policy = found.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (found.headers["X-Content-Type-Options"], found.headers["Cross-Origin-Opener-Policy"]) == (
            "nosniff",
            "same-origin",
        )
        assert "http" not in found.text.replace("http://www.w3.org", ""), "nothing is fetched from elsewhere"
        assert get(server, "/app.js").headers["Content-Type"].startswith("text/javascript")
        for path in ("/../node.py", "/%2e%2e/node.py", "//etc/passwd", "/static/app.js", "/app.js/"):
            assert get(server, path).status == 404, path
        assert get(server, "/", "POST", Origin=server.url.rstrip("/")).status == 405


def test_other_hosts_and_other_pages_are_turned_away() -> None:
    with page(names=["robot.example"]) as server:
        port = port_of(server)
        for host in ("127.0.0.1", "localhost", "[::1]", "192.168.1.7", "robot.example", socket.gethostname()):
            assert get(server, Host=f"{host}:{port}").status == 200, host
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "a@127.0.0.1"):
            assert get(server, Host=host).status in (400, 421), host
        others = ("http://evil.example", "null", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", None)
        for origin in others:
            with pytest.raises(InvalidStatus) as refused, live(server, origin=origin):
                pass
            assert refused.value.response.status_code == 403
        with live(server) as line:
            heard(line, "hello")


def test_without_the_token_nothing_is_to_be_had() -> None:
    with page(secrets=Secrets(TOKEN)) as server:
        for path in ("/", "/app.js", "/health", "/nothing", f"/?token={TOKEN}x", "/?token="):
            found = get(server, path)
            assert found.status == 401, path
            assert "canvas" not in found.text
            assert "Left" not in found.text
            assert TOKEN not in found.text
            assert found.headers["Set-Cookie"] is None
        for cookie in ("", f"streamseg-{port_of(server)}={TOKEN}", "=;=", "streamseg=x"):
            with pytest.raises(InvalidStatus) as refused, live(server, cookie=cookie):
                pass
            assert refused.value.response.status_code == 401
        origin = server.url.rstrip("/")
        assert get(server, "/enter", "POST", "token=" + "x" * 10_000, Origin=origin).status == 401
        assert get(server, "/enter", "POST", f"token={TOKEN}", Origin="http://evil.example").status == 403


def test_with_the_token_a_cookie_opens_the_door() -> None:
    with page(secrets=Secrets(TOKEN)) as server:
        for found in (
            get(server, f"/?token={TOKEN}"),
            get(server, "/enter", "POST", f"token={TOKEN}", Origin=server.url.rstrip("/")),
        ):
            cookie = found.headers["Set-Cookie"]
            assert found.status == 200
            assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
            assert TOKEN not in cookie
            value = cookie.partition(";")[0]
            assert get(server, "/app.js", Cookie=value).status == 200
            with live(server, cookie=value) as line:
                assert [each["title"] for each in heard(line, "hello")["streams"]] == ["Left", "Right"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_with_a_certificate_it_is_https(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*words, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    address, secrets = checked("127.0.0.1:0", str(token_file(tmp_path, TOKEN)), str(cert), str(key))
    assert checked("0.0.0.0:0", str(token_file(tmp_path, TOKEN)), str(cert), str(key))[0].host == "0.0.0.0"
    server = PageServer(open_port(address), address, secrets, titles={}, give=Run().give, log=LOG)
    server.start()
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=str(cert))
    connection = http.client.HTTPSConnection("localhost", port_of(server), context=context, timeout=20)
    connection.request("GET", f"/?token={TOKEN}")
    assert "Secure" in str(connection.getresponse().headers["Set-Cookie"])
    connection.close()
    server.close()
    key.write_text("no key")
    with pytest.raises(OutputError, match="expected to serve the page at https"):
        PageServer(open_port(address), address, secrets, titles={}, give=Run().give, log=LOG).start()


@pytest.mark.parametrize("bind", ["0.0.0.0:1", "*:1", "[::]:1", "192.168.0.3:1"])
def test_others_need_a_token_and_a_certificate(bind: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="give --page-token and --page-cert"):
        checked(bind, None, None, None)
    with pytest.raises(GraphError, match="give --page-cert and --page-key too"):
        checked(bind, str(token_file(tmp_path, TOKEN)), None, None)


def test_addresses_tokens_and_files_that_are_none(tmp_path: Path) -> None:
    assert parse("9000") == Address("127.0.0.1", 9000)
    assert parse("localhost:0").loopback
    assert parse("[::1]:9000").host == "::1"
    for bind in ("", "nowhere:80", "127.0.0.1", "127.0.0.1:70000", "http://127.0.0.1:80", "1.2.3:80"):
        with pytest.raises(GraphError, match="page: expected"):
            parse(bind)
    with pytest.raises(UsageError, match="at least 16"):
        checked("80", str(token_file(tmp_path, "short")), None, None)
    with pytest.raises(UsageError, match="cannot be read"):
        checked("80", str(tmp_path / "gone"), None, None)
    with pytest.raises(UsageError, match="got one of them"):
        checked("80", None, str(tmp_path), None)
    with pytest.raises(UsageError, match=r"the certificate .*gone is not there"):
        checked("80", None, str(tmp_path / "gone"), str(tmp_path / "gone"))


def test_a_port_in_use_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=f"expected 127.0.0.1:{port} to be free for the page"):
            open_port(Address("127.0.0.1", port))
        (tmp_path / "picture.png").write_bytes(b"")
        done = streamseg("serve", "tcp://127.0.0.1:9", "--port", port)
    assert done.returncode == 5
    assert "to be free for the page, but the port is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_prompts_are_answered_and_others_hear_of_them() -> None:
    run = Run()
    with page(run) as server, live(server) as one, live(server) as other:
        heard(other, "hello")
        one.send(json.dumps({"type": "prompt", "number": 7, "stream": "left", "prompt": {"points": [[1, 2]]}}))
        assert eventually(lambda: run.given)
        assert run.given[0][0] == {"points": [[1, 2]], "stream": "left"}
        run.answer(Applied(what="added", id=3, stream="left", frame=9, state="TRACKED"))
        answer = heard(one, "answer")
        assert (answer["number"], answer["applied"]["id"], answer["text"]) == (
            7,
            3,
            "object 3 added from frame 9 on, tracked",
        )
        assert heard(other, "event")["text"].startswith("Somebody else: object 3 added")
        other.send(json.dumps({"type": "prompt", "number": 1, "stream": "left", "prompt": {"id": 3, "undo": True}}))
        assert "Somebody else has corrected object 3" in heard(other, "answer")["text"]
        one.send(json.dumps({"type": "prompt", "number": 8, "stream": "left", "prompt": {"id": 3, "undo": True}}))
        assert eventually(lambda: run.given)
        run.answer(Refused("PromptError", "no."))
        assert heard(one, "answer") == {"type": "answer", "number": 8, "applied": None, "text": "no."}


def test_what_strangers_say_reaches_nobody() -> None:
    run = Run()
    with page(run) as server, live(server) as line:
        for prompt in (
            {"mask": "/etc/passwd"},
            {"text": "a dog"},
            {"points": [[1] * 9]},
            {"points": [[1, 2]] * 999},
            {"label": "x" * 999},
            {"id": "1"},
        ):
            line.send(json.dumps({"type": "prompt", "number": 1, "stream": "left", "prompt": prompt}))
            assert "not understood" in heard(line, "event")["text"]
        for text in ("", "[" * 5000, '{"type":"nothing"}', '{"type":"watch"}'):
            line.send(text)
            assert "not understood" in heard(line, "event")["text"]
        line.send(json.dumps({"type": "prompt", "number": 1, "stream": "up", "prompt": {"points": [[1, 2]]}}))
        assert "no stream called 'up'" in heard(line, "answer")["text"]
        for number in range(21):
            line.send(
                json.dumps({"type": "prompt", "number": number, "stream": "left", "prompt": {"points": [[1, 2]]}})
            )
        assert "20 prompts of yours wait" in heard(line, "answer")["text"]
        assert len(run.given) == 20
        line.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            heard(line, "never")
        with live(server) as again:
            heard(again, "hello")


def test_a_slow_browser_gets_fewer_pictures_and_the_newest() -> None:
    with page() as server, live(server) as slow, live(server) as quick:
        for line in (slow, quick):
            heard(line, "viewers")
        for number in range(1, 31):
            show(server, "left", number)
            assert seen(quick) == number
            quick.send('{"type":"shown"}')
            assert eventually(lambda: server.hub.wants("left"))
        # It has said nothing, so it has got two; then comes the newest, and nothing in between.
        assert [seen(slow), seen(slow)] == [1, 2]
        slow.send('{"type":"shown"}')
        assert seen(slow) == 30
        with pytest.raises(TimeoutError):
            seen(slow, 0.2)


def test_pictures_are_wanted_only_where_somebody_looks() -> None:
    with page() as server:
        assert not server.hub.wants("left")
        with live(server) as line:
            heard(line, "hello")
            assert eventually(lambda: server.hub.wants("left"))
            assert not server.hub.wants("right")
            line.send(json.dumps({"type": "watch", "stream": "right"}))
            assert eventually(lambda: server.hub.wants("right"))
            assert not server.hub.wants("left")
            show(server, "right", 5)
            assert seen(line) == 5
        assert eventually(lambda: not server.hub.wants("right"))
        with live(server) as late:
            late.send(json.dumps({"type": "watch", "stream": "right"}))
            assert seen(late) == 5, "whoever comes sees the last picture at once"


def test_only_so_many_may_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamseg_nodes.page.hub.MOST_VIEWERS", 3)
    with page() as server, ExitStack() as stack:
        for _ in range(3):
            heard(stack.enter_context(live(server)), "hello")
        with live(server) as one_more, pytest.raises(ConnectionClosed, match="too many"):
            heard(one_more, "hello")


def test_the_end_is_said() -> None:
    with page() as server, live(server) as line:
        heard(line, "hello")
        server.hub.post(lambda: server.hub.end("The run is over."))
        assert heard(line, "over")["text"] == "The run is over."
        with pytest.raises(ConnectionClosed):
            heard(line, "more")
