"""``streamseg listen`` prints and records what is published, and says in a sentence why nothing comes."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn
from support.command import Running, running, streamseg, told

from streamseg.errors import OutputError, UsageError
from streamseg.masks import rle
from streamseg.messages import Gap
from streamseg.node import NodeContext
from streamseg.publishing import format, keys, recorded
from streamseg.publishing.format import FrameHeader

LABELS = np.zeros((30, 40), np.uint16)
LABELS[5:12, 3:20] = 1
LABELS[20:, 30:] = 2
LINE = re.compile(
    r"camera frame \d+, \d+\.\d ms old, \d+\.\d\d ms on the way; "
    r"7 thing 7 TRACKED 0\.75 \[3,5,20,12\] 119 px; 8 thing 8 TRACKED 0\.75 \[30,20,40,30\] 100 px"
)


class Publishing:
    """A publisher in a thread, which sends a frame, or nothing but heartbeats, until the block ends."""

    def __init__(self, *, frames: bool = True, **options: Any) -> None:
        self.node = Publish(
            Publish.Config(**{"bind": "tcp://127.0.0.1:*", **options}), NodeContext("publish", streams=["camera"])
        )
        self.node.setup()
        self.address = self.node.describe()["endpoint"]
        self.frames = frames
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        number = 0
        while not self._over.wait(0.02):
            self.node.tick()
            if self.frames:
                self.node.process(drawn(number, LABELS, (7, 8), index=number, stream="camera"))
                number += 1

    def __enter__(self) -> Publishing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.node.close()


@contextlib.contextmanager
def listening(*words: object) -> Iterator[tuple[Running, Callable[[str], str]]]:
    """The command, and what waits until it has said something on standard error."""
    with running("listen", *words) as run:
        assert run.process.stderr is not None
        errors = run.process.stderr

        def says(text: str) -> str:
            for line in errors:
                if text in line:
                    return line
            raise AssertionError(f"it ended without saying {text!r}")

        yield run, says


@pytest.fixture
def publishing() -> Iterator[Publishing]:
    with Publishing() as made:
        yield made


def test_each_message_is_a_line(publishing: Publishing) -> None:
    done = streamseg("listen", publishing.address, "--count", 5, "--topic", "camera/")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and all(map(LINE.fullmatch, lines)), lines
    assert f"connected to {publishing.address}" in done.stderr
    assert re.search(r"heard in \d+\.\d s: 5 frame; camera: frames \d+ to \d+; a frame was \d+ ms old", done.stderr)


def test_what_is_no_frame_is_a_line_too() -> None:
    with (
        Publishing(frames=False) as made,
        listening(made.address, "--topic", "camera") as (run, says),
    ):
        says("connected")
        gap = Gap(drawn(4, LABELS, (7, 8), stream="camera").stamp, "propagate", "failed", "ValueError: \x1b[31mno luck")
        made.node.gap(gap)
        made.node.finish("camera")
        said = _until(run, "camera end")
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
    assert re.search(r"^camera gap 4: ValueError: .*no luck$", said, re.MULTILINE) and "\x1b" not in said
    assert code == 130 and "heard in" in errors and "Traceback" not in errors


def _until(run: Running, last: str) -> str:
    assert run.process.stdout is not None
    said = ""
    for line in run.process.stdout:
        said += line
        if line.strip() == last:
            break
    return said


@pytest.mark.parametrize("masks", ["rle", "raw"])
def test_json_and_recordings_have_the_exact_masks(masks: str, tmp_path: Path) -> None:
    file = tmp_path / "heard.jsonl"
    with Publishing(masks=masks, image="raw") as made:
        words = ("listen", made.address, "--count", 3, "--topic", "camera/frame", "--record", file)
        first = streamseg(*words, "--json", "--masks")
        assert first.returncode == 0, first.stderr
        # As after a power cut in the middle of a line.
        with file.open("ab") as torn:
            torn.write(b'{"received_ns":17')
        second = streamseg(*words, "--json")
        assert second.returncode == 0, second.stderr
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert len(lines) == 3 and "image" not in lines[0]
    for line in lines:
        assert (line["kind"], line["stream"], line["width"], line["height"]) == ("frame", "camera", 40, 30)
        assert [found["mask"] for found in line["objects"]] == [rle.to_coco(LABELS == 1), rle.to_coco(LABELS == 2)]
    assert "mask" not in json.loads(second.stdout.splitlines()[0])["objects"][0]
    heard = list(recorded.read(file))
    assert len(heard) == 6 and [each.received_ns for each in heard[:3]] == [line["received_ns"] for line in lines]
    for each in heard:
        assert isinstance(each.message.header, FrameHeader)
        for position, found in enumerate(each.message.header.objects):
            mask = each.message.mask(found)
            assert mask is not None and np.array_equal(mask, position + 1 == LABELS)
        image_rgb = each.message.image_rgb()
        assert image_rgb is not None and (image_rgb == 90).all()


def test_a_recording_keeps_what_it_does_not_know_and_refuses_what_is_none(tmp_path: Path) -> None:
    parts = format.encode_frame(drawn(0, LABELS, (7, 8)), 5, "none", "none")
    header = {**format.msgspec.msgpack.decode(parts[1]), "more": [1, {"k": "v"}]}
    path = tmp_path / "heard.jsonl"
    with recorded.Recorder(path) as recorder:
        recorder.add(format.decode([parts[0], format.msgspec.msgpack.encode(header)]), 17)
    line = json.loads(path.read_text())
    assert line["more"] == [1, {"k": "v"}] and line["received_ns"] == 17 and line["objects"][0]["mask"] is None
    (again,) = recorded.read(path)
    assert format.msgspec.msgpack.decode(again.message.parts[1])["more"] == [1, {"k": "v"}]
    notes = tmp_path / "notes.txt"
    for text in ("my notes\n", "my notes", '{"a": 1}\n', "[]\n"):
        notes.write_text(text)
        with pytest.raises(OutputError, match="new or a recording"):
            recorded.Recorder(notes)
        assert notes.read_text() == text
    for text in ("{}\n", "nonsense\n", path.read_text().replace('"v":1', '"v":2'), path.read_text() + "{\n"):
        notes.write_text(text)
        with pytest.raises(UsageError, match=r"line [12] of"):
            list(recorded.read(notes))
    with pytest.raises(UsageError, match="cannot read"):
        list(recorded.read(tmp_path / "none"))
    with pytest.raises(OutputError, match="cannot write"):
        recorded.Recorder(tmp_path / "none" / "heard.jsonl")


def test_nobody_there_is_said_and_then_the_publisher_comes_goes_and_comes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with listening(address) as (run, says):
        assert "waiting for one to come" in says("nobody is there")
        for _ in range(2):
            with Publishing(bind=address):
                says("connected to")
                assert LINE.fullmatch(_line(run))
            says("the publisher has gone")
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
    assert code == 130 and "heard in" in errors


def _line(run: Running) -> str:
    assert run.process.stdout is not None
    return run.process.stdout.readline().rstrip("\n")


def test_a_topic_that_nobody_publishes_is_named_with_those_that_are(publishing: Publishing) -> None:
    with listening(publishing.address, "--topic", "kamera") as (run, says):
        assert "begins with 'kamera'; there is camera/frame" in says("nothing comes")
        run.send(signal.SIGINT)
        assert run.wait()[1] == ""


def test_a_publisher_that_hangs_and_one_that_says_nothing_are_told_apart() -> None:
    with Publishing() as made, listening(made.address) as (run, says):
        says("connected")
        assert LINE.fullmatch(_line(run))
        made.node.tick = lambda: None  # type: ignore[method-assign]
        made.frames = False
        assert "not even a heartbeat" in says("nothing for 3 s")
        with listening(made.address) as (_, says_too):
            assert "nothing comes yet" in says_too("connected, but")


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, keys.KeyFiles]:
    return {name: keys.make(name, tmp_path) for name in ("server", "friend", "stranger")}


def test_keys_open_the_door_and_wrong_ones_are_said_to_be(pairs: dict[str, keys.KeyFiles]) -> None:
    server, friend, stranger = pairs["server"], pairs["friend"], pairs["stranger"]
    closed = Publishing(key=str(server.secret), allow=str(friend.public))
    with closed, Publishing() as opened:
        right = ("--own-key", friend.secret, "--server-key", server.public)
        assert streamseg("listen", closed.address, "--count", 1, *right).returncode == 0
        for address, words, said in (
            (closed.address, ("--own-key", stranger.secret, "--server-key", server.public), "does not know our key"),
            (
                closed.address,
                ("--own-key", friend.secret, "--server-key", stranger.public),
                "not the publisher whose .key",
            ),
            (closed.address, (), "lets in only who has a key"),
            (closed.address, ("--own-key", friend.secret), "server_key is missing"),
            (opened.address, right, "has no keys"),
        ):
            done = streamseg("listen", address, *words)
            assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, done.stderr
            assert done.stderr.splitlines()[-1].startswith("streamseg: error: ")


def test_another_program_behind_the_port_is_no_publisher() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken, _ = server.accept()
                    with taken:
                        taken.recv(100)
                        taken.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        done = streamseg("listen", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert done.returncode == 2 and "no publisher of streamseg" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("5560",),
        ("tcp://127.0.0.1",),
        ("tcp://127.0.0.1:*",),
        ("tcp://127.0.0.1:70000",),
        ("http://127.0.0.1:5560",),
        ("ipc://",),
        (f"ipc:///{'x' * 200}",),
        ("tcp://127.0.0.1:5560", "--masks"),
        ("tcp://127.0.0.1:5560", "--count", "0"),
        ("tcp://127.0.0.1:5560", "--own-key", "none", "--server-key", "none"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: tuple[str, ...]) -> None:
    done = told("listen", *words)
    assert done.returncode == 2 and done.stderr.startswith("streamseg: error: ") and done.stderr.count("\n") == 1


def test_messages_that_are_not_understood_are_said_once_and_counted() -> None:
    with Publishing(frames=False) as made, listening(made.address) as (run, says):
        says("connected")
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            made.node._send([b"camera/frame", b"\xc1"])
            made.node._send([b"camera/frame"])
            time.sleep(0.05)
        says("not understood")
        run.send(signal.SIGINT)
        _, _, errors = run.wait()
    assert re.search(r"; \d+ messages were not understood\n", errors) and errors.count("expected") == 0
