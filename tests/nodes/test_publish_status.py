"""Whoever listens can tell a camera that is gone from a publisher that is dead."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import zmq
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn
from support.camera import RATE, Camera, encoded

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.messages import SourceStatus
from streamseg.node import NodeContext
from streamseg.publishing import format
from streamseg.publishing.format import EndHeader, FrameHeader, HeartbeatHeader, StatusHeader
from streamseg.publishing.subscriber import listen
from streamseg.runtime.supervision.supervisor import Supervisor

LABELS = np.ones((8, 8), np.uint16)


def heard(
    socket: zmq.Socket[bytes], do: Callable[[], None], enough: Callable[[list[format.Header]], bool]
) -> list[format.Header]:
    found: list[format.Header] = []
    while not enough(found):
        do()
        while socket.poll(10):
            found.append(format.decode(socket.recv_multipart()).header)
    return found


def beats_in(headers: list[format.Header]) -> list[HeartbeatHeader]:
    return [header for header in headers if isinstance(header, HeartbeatHeader)]


def test_a_heartbeat_comes_for_each_stream_that_is_silent() -> None:
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*"), NodeContext("publish", streams=["a", "b", "s"]))
    node.setup()
    context = zmq.Context()
    socket = listen(context, node.describe()["endpoint"])

    def keep_s_busy() -> None:
        node.process(drawn(0, LABELS, (7,)))
        node.tick()
        # What a listener has not taken yet fills its queue, and then what comes is dropped for it.
        time.sleep(0.02)

    headers = heard(socket, keep_s_busy, lambda found: len(beats_in(found)) >= 4)
    beats = beats_in(headers)
    assert {beat.stream for beat in beats} == {"a", "b"} and len(headers) - len(beats) > 20
    assert {beat.state for beat in beats} == {None}
    assert all(abs(time.time_ns() - beat.published_ns) < 60e9 for beat in beats)

    node.status(SourceStatus("a", "lost", "no data within the read timeout", 12, 0))
    node.finish("b")
    later = heard(socket, node.tick, lambda found: len(beats_in(found)) >= 4)
    status = next(header for header in later if isinstance(header, StatusHeader))
    assert (status.stream, status.state, status.since_ns, status.attempts) == ("a", "lost", 12, 0)
    after = later[later.index(status) :]
    assert {header.state for header in after if isinstance(header, HeartbeatHeader) and header.stream == "a"} == {
        "lost"
    }
    of_b = [header for header in later if header.stream == "b"]
    end = next(position for position, header in enumerate(of_b) if isinstance(header, EndHeader))
    assert of_b[end + 1 :] == []
    node.close()
    context.destroy(linger=0)


def test_older_messages_are_as_they_were() -> None:
    """A listener of before knows the same keys, in messages with the same topics and the same version."""
    parts = format.encode_frame(drawn(0, LABELS, (7,)), 5, "none", "none")
    header = msgspec.msgpack.decode(parts[1])
    assert parts[0] == b"s/frame"
    keys = {"kind", "stream", "frame", "pts_s", "captured_ns", "published_ns", "width", "height", "objects", "image"}
    added = {"damaged", "pixel_aspect", "scaled_from", "captured_clock", "arrived_ns"}
    assert set(header) == {*keys, *added, "v"} and header["v"] == 1
    del header["damaged"]
    old = format.decode([parts[0], msgspec.msgpack.encode(header)]).header
    assert isinstance(old, FrameHeader) and old.damaged is False


def test_a_listener_of_before_hears_no_messages_that_it_does_not_know() -> None:
    status = format.encode_status(SourceStatus("s", "lost", "no data", 12, 0), 5)
    for parts in (status, format.encode_heartbeat("s", None, 5)):
        assert not parts[0].startswith(format.topic("s", "")) and parts[0].startswith(format.word("s"))
    assert not status[0].startswith(format.word("s-2")) and not format.word("s-2", "status").startswith(
        format.word("s")
    )


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_listener_hears_that_a_camera_is_gone_and_back(replicas: int) -> None:
    count = 40
    with Camera([*encoded([n / RATE for n in range(count)])]) as camera:
        options = {"source": camera.url, "read_timeout_s": 1.0, "input_options": {"analyzeduration": "300000"}}
        graph = config.parse(
            {
                "nodes": {
                    "camera": {"use": "decode", "options": options},
                    "bright": {"use": "support.bright_nodes:Bright"},
                    "cleanup": {"replicas": replicas},
                    "publish": {"options": {"bind": "tcp://127.0.0.1:*"}},
                },
                "links": ["camera -> bright -> cleanup -> publish"],
            }
        )
        context = zmq.Context()
        headers: list[format.Header] = []
        socket = None
        with Supervisor(Plan(graph)) as supervisor:
            while not any(isinstance(header, StatusHeader) and header.state == "back" for header in headers):
                supervisor.pump(20)
                if socket is None and "publish" in supervisor.facts:
                    socket = listen(context, supervisor.facts["publish"]["endpoint"], "camera")
                while socket is not None and socket.poll(0):
                    headers.append(format.decode(socket.recv_multipart()).header)
            supervisor.stop()
            supervisor.run()
        context.destroy(linger=0)
    statuses = [header for header in headers if isinstance(header, StatusHeader)]
    states = [status.state for status in statuses]
    back = states.index("back")
    assert states[0] == "lost" and back > 1 and set(states[1:back]) == {"reconnecting"}
    assert "read timeout" in statuses[0].reason and statuses[0].since_ns > 0
    between = headers[headers.index(statuses[0]) : headers.index(statuses[back])]
    assert not any(isinstance(header, FrameHeader) for header in between)
