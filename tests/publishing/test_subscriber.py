"""A listener that is slower than the stream acts on what is now, not on what waited for it."""

from __future__ import annotations

import threading
import time

import numpy as np
import zmq
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn

from streamseg.node import NodeContext
from streamseg.publishing.format import EndHeader, FrameHeader, HeartbeatHeader
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
