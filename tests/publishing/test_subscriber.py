"""A listener that is slower than the stream acts on what is now, not on what waited for it."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn
from support.command import eventually

from streamseg.errors import WireError
from streamseg.messages import Gap
from streamseg.node import NodeContext
from streamseg.publishing import format
from streamseg.publishing.format import EndHeader, FrameHeader, GapHeader, HeartbeatHeader, Published
from streamseg.publishing.subscriber import listen, newest

LABELS = np.ones((96, 160), np.uint16)


def test_a_slow_listener_gets_the_newest_frame_each_time() -> None:
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*", masks="raw"), NodeContext("publish", streams=["s"]))
    node.setup()
    context = zmq.Context()
    socket = listen(context, node.describe()["endpoint"], "s")
    sent = 0
    stopping = threading.Event()

    def send() -> None:
        nonlocal sent
        while not stopping.wait(0.01):
            node.process(drawn(sent, LABELS, (7,), index=sent))
            sent += 1
        node.finish("s")

    sender = threading.Thread(target=send)
    sender.start()
    behind, heard = [], []
    while len(heard) < 15:
        for message in newest(socket):
            assert isinstance(message.header, FrameHeader)
            behind.append(sent - message.header.frame)
            heard.append(message.header.frame)
            assert message.mask(message.header.objects[0]) is not None
        time.sleep(0.2)
    # Twenty frames were sent meanwhile, each time.
    assert heard == sorted(set(heard)) and heard[-1] - heard[0] > 14 * 8
    assert sorted(behind)[len(behind) // 2] <= 4
    stopping.set()
    sender.join()
    kinds: list[type] = []
    while EndHeader not in kinds:
        kinds += [type(message.header) for message in newest(socket, 5000)]
    assert kinds[-1] is EndHeader and kinds.count(FrameHeader) <= 2
    node.close()
    assert newest(socket, 100) == []
    context.destroy(linger=0)


def test_only_frames_give_way_and_only_to_frames_of_their_stream() -> None:
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*", queue=100), NodeContext("publish", streams=["a", "b"]))
    node.setup()
    context = zmq.Context()
    socket = listen(context, node.describe()["endpoint"])
    while not any(isinstance(message.header, HeartbeatHeader) for message in newest(socket, 20)):
        node.tick()
    for number in range(3):
        node.process(drawn(number, LABELS, (7,), index=number, stream="a"))
    node.process(drawn(0, LABELS, (7,), index=0, stream="b"))
    node.finish("b")
    deadline_s = time.monotonic() + 30
    found: list[tuple[str, str]] = []
    while ("b", "EndHeader") not in found and time.monotonic() < deadline_s:
        found += [(m.header.stream, type(m.header).__name__) for m in newest(socket, 100)]
    assert ("b", "FrameHeader") in found and ("b", "EndHeader") in found and ("a", "FrameHeader") in found
    node.close()
    context.destroy(linger=0)


@contextmanager
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """A publisher that may send anything, and a listener that it has."""
    context = zmq.Context()
    sender = context.socket(zmq.XPUB)
    sender.bind("tcp://127.0.0.1:*")
    listener = listen(context, sender.get(zmq.LAST_ENDPOINT).decode(), waiting=100)
    sender.recv()
    try:
        yield sender, listener
    finally:
        context.destroy(linger=0)


BAD = [b"s/frame", b"nonsense"]


def all_that_comes(listener: zmq.Socket[bytes], until: int, *more: Any) -> list[Published]:
    """What `newest` gives, at once or in several turns."""
    found: list[Published] = []
    deadline_s = time.monotonic() + 30
    while len(found) < until and time.monotonic() < deadline_s:
        found += newest(listener, 100, *more)
    return found


def test_a_bad_message_takes_no_good_one_with_it(caplog: pytest.LogCaptureFixture) -> None:
    gap = format.encode_gap(Gap(drawn(0, LABELS, (7,)).stamp, "propagate", "failed", "no luck"))
    with pair() as (sender, listener):
        for parts in (gap, format.encode_end("s"), BAD):
            sender.send_multipart(parts)
        time.sleep(0.2)  # so that they are taken in one go
        assert [type(each.header) for each in all_that_comes(listener, 2)] == [GapHeader, EndHeader]
        with contextlib.suppress(WireError):
            assert newest(listener, 100) == []
        sender.send_multipart(BAD)
        with pytest.raises(WireError, match="expected a header as publish sends it"):
            newest(listener, 5000)
        told: list[WireError] = []
        for parts in (BAD, format.encode_end("s"), BAD, format.encode_end("s")):
            sender.send_multipart(parts)
        assert len(all_that_comes(listener, 2, told.append)) == 2 and len(told) == 2


@pytest.mark.parametrize("pts_s", [math.nan, math.inf, -math.inf, 1e300])
def test_a_time_that_is_none_is_no_message(pts_s: float) -> None:
    message = drawn(0, LABELS, (7,))
    parts = format.encode_frame(message, 0, "none", "none")
    header = msgspec.msgpack.decode(parts[1])
    with pytest.raises(WireError, match="expected the time of a frame in seconds, got pts_s"):
        format.decode([parts[0], msgspec.msgpack.encode({**header, "pts_s": pts_s})])
    assert format.decode(parts).kind == "frame"


def test_a_flood_is_taken_in_turns() -> None:
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*", queue=1000), NodeContext("publish", streams=["s"]))
    node.setup()
    context = zmq.Context()
    socket = listen(context, node.describe()["endpoint"], waiting=1000)
    stopping = threading.Event()
    parts = format.encode_gap(Gap(drawn(0, LABELS, (7,)).stamp, "propagate", "failed", "no luck"))

    def flood() -> None:
        while not stopping.is_set():
            node._send(parts)

    sender = threading.Thread(target=flood)
    sender.start()
    try:
        # There is always one more; without an end to the taking none of these would come back.
        for _ in range(3):
            while not newest(socket, 1000):
                pass
    finally:
        stopping.set()
        sender.join()
        node.close()
        context.destroy(linger=0)


def test_the_lines_of_the_samples_readme_hear_a_publisher() -> None:
    readme = (Path(__file__).parents[2] / "samples" / "robot" / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*"), NodeContext("publish", streams=["s"]))
    node.setup()
    assert code.count("tcp://127.0.0.1:5560") == 1 and code.count("wait_ms=3000") == 1
    code = code.replace("tcp://127.0.0.1:5560", node.describe()["endpoint"]) + "    print(masks.shape, masks.sum())\n"
    words = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(listener.stdout or ()))
        reader.start()

        def hears() -> bool:
            node.process(drawn(5, LABELS, (7,), index=5))
            return bool(said)

        assert eventually(hears, seconds=30)
        reader.join()
        errors = listener.stderr.read() if listener.stderr else ""
    node.close()
    assert said[0] == "5 ['TRACKED']\n" and said[-1] == f"(1, 96, 160) {LABELS.size}\n", (said, errors)
