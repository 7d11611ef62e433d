"""Publishing behind a door: who is on the list hears every frame, a stranger nothing, and nobody is disturbed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn
from support.command import eventually, streamseg
from support.media import moving_images, write_video

from streamseg.errors import GraphError, UsageError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.node import NodeContext
from streamseg.publishing import curve, format, keys, subscriber
from streamseg.publishing.format import FrameHeader

SAMPLE = Path(__file__).parents[2] / "samples" / "robot" / "subscribe.py"
LABELS = np.ones((200, 300), np.uint16)
FRAME_BYTES = LABELS.size
"""A published frame has more bytes than that: its mask is sent raw."""


class Keys:
    """Pairs of a publisher, a friend who is on its list, and a stranger who is not."""

    def __init__(self, folder: Path) -> None:
        self.server = keys.make("server", folder)
        self.friend = keys.make("friend", folder)
        self.stranger = keys.make("stranger", folder)
        self.list = folder / "list"
        self.list.mkdir(mode=0o755)
        (self.list / self.friend.public.name).write_bytes(self.friend.public.read_bytes())
        for each in (self.list / self.friend.public.name, self.list):
            each.chmod(0o755)


@pytest.fixture
def pairs(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def node(pairs: Keys) -> Iterator[Publish]:
    # Every address of this machine: what the keys are for.
    # Room for a burst: the tests publish faster than a listener can say that it has read.
    door = {"key": str(pairs.server.secret), "allow": str(pairs.list)}
    made = Publish(Publish.Config(bind="tcp://*:*", masks="raw", queue=100, **door), NodeContext("publish"))
    made.setup()
    yield made
    made.close()


def port_of(node: Publish) -> int:
    return int(node.describe()["endpoint"].rpartition(":")[2])


@contextlib.contextmanager
def context_of_its_own() -> Iterator[zmq.Context[Any]]:
    context = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)


@contextlib.contextmanager
def listener(node: Publish, own: keys.KeyFiles | None, server: keys.KeyFiles | None) -> Iterator[zmq.Socket[bytes]]:
    endpoint = f"tcp://127.0.0.1:{port_of(node)}"
    own_key, server_key = own and own.secret, server and server.public
    with context_of_its_own() as context:
        yield subscriber.listen(context, endpoint, own_key=own_key, server_key=server_key)


def let_in(node: Publish, heard: zmq.Socket[bytes]) -> bool:
    """Publish until the listener hears something, then let it hear the rest."""

    def hears() -> bool:
        node.process(drawn(0, LABELS, (1,)))
        return bool(heard.poll(20))

    found = eventually(hears, seconds=10)
    while heard.poll(100):
        heard.recv_multipart()
    return found


def frames_heard(node: Publish, heard: zmq.Socket[bytes], count: int) -> list[int]:
    """Publish so many frames, one after the other has been heard; the numbers of those that were."""
    numbers = []
    for number in range(count):
        node.process(drawn(number, LABELS, (1,)))
        if heard.poll(5000):
            header = format.decode(heard.recv_multipart()).header
            assert isinstance(header, FrameHeader)
            numbers.append(header.frame)
    return numbers


def test_who_is_on_the_list_hears_the_exact_masks(node: Publish, pairs: Keys) -> None:
    with listener(node, pairs.friend, pairs.server) as heard:
        assert let_in(node, heard)
        node.process(drawn(7, LABELS, (5,)))
        assert heard.poll(5000)
        result = format.decode(heard.recv_multipart())
        assert isinstance(result.header, FrameHeader)
        mask = result.mask(result.header.objects[0])
        assert mask is not None and mask.all() and mask.shape == LABELS.shape
    assert node.describe()["keys"] is True


STRANGERS = ["no key", "another server's key", "not on the list", "no secret of its own"]


def _enter(kind: str, socket: zmq.Socket[Any], pairs: Keys) -> None:
    server, friend = keys.load_public(pairs.server.public), keys.load_pair(pairs.friend.secret)
    stranger = keys.load_pair(pairs.stranger.secret)
    if kind == "another server's key":
        curve.introduce(socket, keys.Guest(friend, stranger.public))
    if kind == "not on the list":
        curve.introduce(socket, keys.Guest(stranger, server))
    if kind == "no secret of its own":
        # The friend's public key is no secret; what belongs to it is.
        curve.introduce(socket, keys.Guest(keys.KeyPair(friend.public, stranger.secret), server))


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_stranger_hears_nothing(node: Publish, pairs: Keys, kind: str) -> None:
    with listener(node, pairs.friend, pairs.server) as heard, context_of_its_own() as context:
        assert let_in(node, heard)
        stranger = context.socket(zmq.SUB)
        _enter(kind, stranger, pairs)
        monitor = stranger.get_monitor_socket()
        stranger.connect(f"tcp://127.0.0.1:{port_of(node)}")
        stranger.subscribe(b"")
        assert frames_heard(node, heard, 20) == list(range(20))
        assert eventually(lambda: monitor.poll(0), seconds=10)  # it has tried
        assert frames_heard(node, heard, 20) == list(range(20))
        assert not stranger.poll(200)
        stranger.disable_monitor()
    # ZeroMQ asks for a known key only once somebody has shown that the secret is theirs.
    assert (node.describe()["refused"] > 0) == (kind == "not on the list")


def _greeting(mechanism: bytes) -> bytes:
    return b"\xff" + bytes(8) + b"\x7f\x03\x01" + mechanism.ljust(20, b"\0") + b"\0" * 32


_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
MALFORMED = {
    "noise": os.urandom(5000),
    "zeros": bytes(5000),
    "a web browser": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "an old protocol": b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x02\0\0",
    "without keys": _greeting(b"NULL") + b"\x04" + bytes([len(_READY)]) + _READY + b"\x00\x01\x01",
    "a password": _greeting(b"PLAIN") + b"\x04\x10\x05HELLO\x04user\x04pass",
    "hello cut short": _greeting(b"CURVE") + b"\x04\xc8\x05HELLO\x01\x00" + bytes(50),
    "hello of zeros": _greeting(b"CURVE") + b"\x04\xc8\x05HELLO\x01\x00" + bytes(192),
    "initiate first": _greeting(b"CURVE") + b"\x06" + (300).to_bytes(8, "big") + b"\x08INITIATE" + bytes(291),
    "a message first": _greeting(b"CURVE") + b"\x00\x01\x01",
    "a huge length": _greeting(b"CURVE") + b"\x06" + b"\x7f" + b"\xff" * 7 + bytes(1000),
    "a negative length": _greeting(b"CURVE") + b"\x02" + b"\xff" * 8 + bytes(1000),
}


def _answers(port: int, sent: list[bytes], meanwhile: Any) -> bytes:
    """Send bytes over a plain connection, piece by piece; all that comes back until `meanwhile` is over."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as stranger, contextlib.suppress(OSError):
        for piece in sent:
            stranger.sendall(piece)
            with contextlib.suppress(TimeoutError):
                answer += stranger.recv(1 << 20)
        meanwhile()
        while chunk := stranger.recv(1 << 20):
            answer += chunk
    return answer


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_bytes_get_nothing_and_disturb_nobody(node: Publish, pairs: Keys, kind: str) -> None:
    with listener(node, pairs.friend, pairs.server) as heard:
        assert let_in(node, heard)
        answer = _answers(port_of(node), [MALFORMED[kind]], lambda: frames_heard(node, heard, 10))
        assert frames_heard(node, heard, 10) == list(range(10))
        # A greeting and the first word of a handshake at most; a frame is far longer.
        assert len(answer) < 500 < FRAME_BYTES


def test_a_recorded_conversation_cannot_be_played_again(node: Publish, pairs: Keys) -> None:
    recorded: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy, context_of_its_own() as context:
        threading.Thread(target=_record, args=(proxy, port_of(node), recorded), daemon=True).start()
        endpoint = f"tcp://127.0.0.1:{proxy.getsockname()[1]}"
        heard = subscriber.listen(context, endpoint, own_key=pairs.friend.secret, server_key=pairs.server.public)
        assert let_in(node, heard)
    assert b"INITIATE" in b"".join(recorded) and b"MESSAGE" in b"".join(recorded)
    with listener(node, pairs.friend, pairs.server) as heard:
        assert let_in(node, heard)
        answer = _answers(port_of(node), recorded, lambda: frames_heard(node, heard, 20))
    assert b"WELCOME" in answer
    assert len(answer) < 500 < FRAME_BYTES


def _record(proxy: socket.socket, port: int, recorded: list[bytes]) -> None:
    """Pass one conversation on, and keep what the client says."""
    client, _ = proxy.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:

        def pour(origin: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
            with contextlib.suppress(OSError):
                while chunk := origin.recv(65536):
                    kept.append(chunk)
                    target.sendall(chunk)
                target.shutdown(socket.SHUT_WR)

        back = threading.Thread(target=pour, args=(server, client, []), daemon=True)
        back.start()
        pour(client, server, recorded)
        back.join(5)


def test_a_flood_of_connections_keeps_nobody_out(node: Publish, pairs: Keys) -> None:
    with contextlib.ExitStack() as stack:
        heard = stack.enter_context(listener(node, pairs.friend, pairs.server))
        assert let_in(node, heard)
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", port_of(node)))) for _ in range(300)]
        for each in crowd[::2]:
            with contextlib.suppress(OSError):
                each.sendall(_greeting(b"CURVE") + os.urandom(2000))
        assert frames_heard(node, heard, 20) == list(range(20))
        late = stack.enter_context(listener(node, pairs.friend, pairs.server))
        assert let_in(node, late)
        # Those who say nothing are sent away.
        assert eventually(lambda: all(_closed(each) for each in crowd), seconds=15)


def _closed(each: socket.socket) -> bool:
    each.setblocking(False)
    try:
        while each.recv(65536):
            continue
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


_FEW_FILES = """
import resource, sys, time
import numpy as np
from streamseg.node import NodeContext
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
node = Publish(Publish.Config(bind="tcp://*:*", key=sys.argv[1], allow=sys.argv[2]), NodeContext("publish"))
node.setup()
print(node.describe()["endpoint"].rpartition(":")[2], flush=True)
while True:
    node.process(drawn(0, np.ones((20, 30), np.uint16), (1,)))
    time.sleep(0.01)
"""


@pytest.mark.slow
def test_a_flood_that_uses_up_every_open_file_ends_with_the_flood(pairs: Keys) -> None:
    words = [sys.executable, "-c", _FEW_FILES, str(pairs.server.secret), str(pairs.list)]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process,
        context_of_its_own() as context,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        endpoint = f"tcp://127.0.0.1:{process.stdout.readline().strip()}"

        def friend() -> zmq.Socket[bytes]:
            return subscriber.listen(context, endpoint, own_key=pairs.friend.secret, server_key=pairs.server.public)

        early = friend()
        assert early.poll(10_000)
        for _ in range(150):
            crowd = stack.enter_context(socket.socket())
            crowd.setblocking(False)
            crowd.connect_ex(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        assert eventually(lambda: len(list(Path(f"/proc/{process.pid}/fd").iterdir())) >= 60)
        while early.poll(0):
            early.recv_multipart()
        assert early.poll(10_000)  # who was there before goes on to hear
        late = friend()
        assert late.poll(60_000)  # who comes late gets in when the crowd has been sent away
        assert process.poll() is None


def test_a_listener_may_not_say_much(node: Publish, pairs: Keys) -> None:
    with listener(node, pairs.friend, pairs.server) as heard, listener(node, pairs.friend, pairs.server) as chatty:
        assert let_in(node, chatty) and let_in(node, heard)
        chatty.subscribe(b"x" * 50_000)  # with more of it PyZMQ before 27.3 crashes
        assert frames_heard(node, heard, 20) == list(range(20))


@pytest.mark.parametrize("how", ["ended", "crashed"])
def test_without_the_thread_that_knows_the_keys_nobody_gets_in(
    node: Publish, pairs: Keys, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = node._doorkeeper
    assert keeper is not None
    if how == "ended":
        keeper.close()
    else:
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        monkeypatch.setattr(keeper, "callback", lambda domain, key: 1 / 0)
    with listener(node, pairs.friend, pairs.server) as heard:

        def said() -> bool:
            node.process(drawn(0, LABELS, (1,)))
            return "nobody new is let in" in caplog.text

        assert eventually(said, seconds=10)
        assert not keeper.alive
        for number in range(20):
            node.process(drawn(number, LABELS, (1,)))
        assert not heard.poll(300)


def _graph(**publish: Any) -> config.Graph:
    return config.parse(
        {
            "nodes": {
                "decode": {"options": {"source": "none.mp4"}},
                "bright": {"use": "support.bright_nodes:Bright"},
                "publish": {"options": publish},
            },
            "links": ["decode -> bright -> publish"],
        }
    )


@pytest.mark.parametrize("bind", ["tcp://0.0.0.0:5560", "tcp://*:5560", "tcp://[::]:5560", "tcp://eth0:5560"])
def test_an_open_door_is_refused_before_anything_starts(bind: str) -> None:
    with pytest.raises(GraphError, match="anyone on the network could listen; give keys"):
        Plan(_graph(bind=bind))


def test_a_door_that_does_not_close_is_refused_before_anything_starts(pairs: Keys, tmp_path: Path) -> None:
    bind, key, allow = "tcp://*:5560", str(pairs.server.secret), str(pairs.list)
    Plan(_graph(bind=bind, key=key, allow=allow))
    with pytest.raises(UsageError, match="allow is missing"):
        Plan(_graph(bind=bind, key=key))
    with pytest.raises(UsageError, match="key is missing"):
        Plan(_graph(bind=bind, allow=allow))
    (tmp_path / "nobody").mkdir()
    with pytest.raises(UsageError, match="found no file"):
        Plan(_graph(bind=bind, key=key, allow=str(tmp_path / "nobody")))
    with pytest.raises(GraphError, match="IP address"):
        Plan(_graph(bind="tcp://robot.example.com:5560", key=key, allow=allow))
    pairs.server.secret.chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        Plan(_graph(bind=bind, key=key, allow=allow))


def test_the_command_refuses_an_open_door_and_leaves_nothing(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", moving_images(3), codec="ffv1", pix_fmt="bgr0")
    words = ("run", clip, "--box", "0,0,9,9", "-o", tmp_path / "out", "--publish", "tcp://0.0.0.0:5560")
    done = streamseg(*words)
    assert done.returncode == 2
    assert "anyone on the network could listen" in done.stderr
    assert not (tmp_path / "out").exists()
    done = streamseg(*words[:-2], "--publish-key", "x")
    assert done.returncode == 2 and "--publish" in done.stderr


def test_the_robot_sample_gets_in_with_keys(node: Publish, pairs: Keys, tmp_path: Path) -> None:
    words = [f"tcp://127.0.0.1:{port_of(node)}", str(pairs.friend.secret), str(pairs.server.public)]
    said = tmp_path / "said.txt"
    with said.open("w") as output, subprocess.Popen([sys.executable, "-u", SAMPLE, *words], stdout=output) as robot:
        try:

            def heard() -> bool:
                node.process(drawn(0, LABELS, (9,), stream="camera"))
                return "\n" in said.read_text()

            assert eventually(heard, seconds=20)
            node.finish("camera")
            assert robot.wait(20) == 0
        finally:
            robot.kill()
    assert said.read_text().split("; ")[1].startswith(f"9 thing 9 TRACKED 0.75 [0,0,300,200] {FRAME_BYTES} px\n")


def test_a_header_that_names_a_huge_frame_is_refused_before_memory_is_taken() -> None:
    parts = format.encode_frame(drawn(0, LABELS, (1,)), 5, "rle", "jpeg")
    header = {**msgspec.msgpack.decode(parts[1]), "width": 1 << 40, "height": 1 << 20}
    heard = format.decode([parts[0], msgspec.msgpack.encode(header), *parts[2:]])
    assert isinstance(heard.header, FrameHeader)
    for read in (lambda: heard.mask(heard.header.objects[0]), heard.image_rgb):
        with pytest.raises(format.WireError, match="pixels"):
            read()


def test_more_masks_than_memory_holds_are_refused_before_it_is_taken() -> None:
    parts = format.encode_frame(drawn(0, LABELS, (1,)), 5, "rle", "none")
    header = msgspec.msgpack.decode(parts[1])
    many = {**header, "width": 8192, "height": 8192, "objects": header["objects"] * 1000}
    heard = format.decode([parts[0], msgspec.msgpack.encode(many), *parts[2:]])
    with pytest.raises(format.WireError, match="one by one"):
        heard.masks()
