"""The publish node, heard by real subscribers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from streamseg_nodes.publish import Publish
from support.bright_nodes import drawn

from streamseg.errors import GraphError, OutputError, WireError
from streamseg.masks import rle
from streamseg.messages import Gap
from streamseg.node import NodeContext
from streamseg.publishing import format
from streamseg.publishing.format import EndHeader, FrameHeader, GapHeader, Published

LABELS = np.zeros((30, 40), np.uint16)
LABELS[5:12, 3:20] = 1
LABELS[20:, 30:] = 2


def publisher(**options: Any) -> Publish:
    options = {"bind": "tcp://127.0.0.1:*", **options}
    node = Publish(Publish.Config(**options), NodeContext("publish"))
    node.setup()
    return node


class Listener:
    """A subscriber whose subscription the publisher knows of."""

    def __init__(self, node: Publish, topic: bytes = b"", **options: int) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        for name, value in options.items():
            self.socket.set(getattr(zmq, name), value)
        self.socket.connect(node.describe()["endpoint"])
        self.socket.subscribe(b"hello")
        self.socket.subscribe(topic)
        while not self.socket.poll(20):
            node._send([b"hello"])
        self.topic = topic

    def hear(self, wait_ms: int = 5000) -> Published | None:
        while self.socket.poll(wait_ms):
            parts = self.socket.recv_multipart()
            if parts != [b"hello"]:
                return format.decode(parts)
        return None

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def node() -> Iterator[Publish]:
    made = publisher()
    yield made
    made.close()


def test_a_listener_hears_by_which_clock_a_picture_was_taken_and_when_it_came(node: Publish) -> None:
    with Listener(node) as listener:
        node.process(drawn(0, LABELS, (7,), captured_clock="sender", arrived_ns=5))
        heard = listener.hear()
        assert heard is not None and isinstance(heard.header, FrameHeader)
        assert (heard.header.captured_ns, heard.header.captured_clock, heard.header.arrived_ns) == (1000, "sender", 5)


@pytest.mark.parametrize("masks", ["rle", "raw", "none"])
def test_a_listener_gets_every_field_and_the_exact_masks(masks: Any) -> None:
    node = publisher(masks=masks)
    message = drawn(0, LABELS, (7, 70000), index=12)
    with Listener(node) as listener:
        before_ns = time.time_ns()
        node.process(message)
        heard = listener.hear()
        assert heard is not None
        header = heard.header
        assert isinstance(header, FrameHeader)
        assert (header.v, header.stream, header.frame, header.pts_s) == (1, "s", 12, pytest.approx(1.2))
        assert (header.width, header.height, header.captured_ns) == (40, 30, 1000)
        assert (header.captured_clock, header.arrived_ns) == ("arrival", 1000)
        assert before_ns <= header.published_ns <= time.time_ns()
        assert [found.id for found in header.objects] == [7, 70000]
        for position, (found, sent) in enumerate(zip(header.objects, message.objects, strict=True)):
            assert (found.label, found.state, found.score) == (sent.label, sent.state, sent.score)
            assert (found.box_xyxy, found.area_px) == (sent.box_xyxy, sent.area_px)
            mask = heard.mask(found)
            if masks == "none":
                assert mask is None and found.mask is None
            else:
                assert mask is not None and mask.dtype == bool
                assert np.array_equal(mask, position + 1 == LABELS)
        together = heard.masks()
        if masks == "none":
            assert together is None
        else:
            assert together is not None and np.array_equal(together, [LABELS == 1, LABELS == 2])
        assert heard.image_rgb() is None
    node.close()


def test_the_header_is_plain_msgpack_and_masks_are_cocos(node: Publish) -> None:
    with Listener(node) as listener:
        node.process(drawn(0, LABELS, (7, 8)))
        parts = listener.socket.recv_multipart()
        while parts == [b"hello"]:
            parts = listener.socket.recv_multipart()
    assert parts[0] == b"s/frame"
    header = msgspec.msgpack.decode(parts[1])
    assert header["v"] == 1 and header["kind"] == "frame"
    assert header["objects"][1]["mask"] == {"encoding": "coco-rle", "part": 3}
    assert parts[3].decode() == rle.to_coco(LABELS == 2)["counts"]


@pytest.mark.parametrize("image", ["raw", "jpeg"])
def test_the_picture_can_go_along(image: Any) -> None:
    node = publisher(image=image, masks="none")
    message = drawn(0, LABELS, (1, 2))
    with Listener(node) as listener:
        node.process(message)
        heard = listener.hear()
        assert heard is not None
        picture = heard.image_rgb()
        assert picture is not None
        assert np.abs(picture.astype(int) - message.frame.image_rgb).max() <= (0 if image == "raw" else 3)
    node.close()


def test_gaps_and_the_end_are_told(node: Publish) -> None:
    with Listener(node) as listener:
        node.gap(Gap(drawn(4, LABELS, (1, 2)).stamp, "propagate", "failed", "ValueError: no luck"))
        node.finish("s")
        first, second = listener.hear(), listener.hear()
    assert first is not None and first.header == GapHeader(stream="s", frame=4, reason="ValueError: no luck")
    assert second is not None and second.header == EndHeader(stream="s")


def test_a_listener_can_choose_one_stream(node: Publish) -> None:
    with Listener(node, format.topic("s", "")) as listener:
        node.process(drawn(0, LABELS, (1, 2), stream="s2"))
        node.process(drawn(0, LABELS, (1, 2), stream="s"))
        node.finish("s2")
        node.finish("s")
        kinds = [heard.header for heard in (listener.hear(), listener.hear()) if heard]
        assert [(type(header), header.stream) for header in kinds] == [(FrameHeader, "s"), (EndHeader, "s")]
        assert listener.hear(50) is None


def test_a_listener_that_never_reads_blocks_nobody() -> None:
    node = publisher(masks="raw", queue=2)
    labels = np.ones((600, 800), np.uint16)
    with Listener(node, RCVHWM=2) as listener:
        done = threading.Event()

        def publish() -> None:
            for seq in range(300):
                node.process(drawn(seq, labels, (1,)))
            node.finish("s")
            done.set()

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        assert done.wait(60)
        thread.join()
        heard = []
        while (message := listener.hear(200)) is not None:
            heard.append(message.header)
        assert 1 <= len(heard) < 300
    node.close()


def test_a_message_outlives_the_arrays_it_was_made_of() -> None:
    node = publisher(masks="raw", image="raw")
    labels = np.ones((300, 400), np.uint16)
    with Listener(node) as listener:
        message = drawn(0, labels, (1,))
        node.process(message)
        message.labels[...] = 0
        message.frame.image_rgb[...] = 0
        heard = listener.hear()
        assert heard is not None and isinstance(heard.header, FrameHeader)
        mask, image = heard.mask(heard.header.objects[0]), heard.image_rgb()
        assert mask is not None and mask.all()
        assert image is not None and (image == 90).all()
    node.close()


@pytest.mark.parametrize(
    "bind",
    [
        "tcp://*:5560",
        "tcp://0.0.0.0:5560",
        "tcp://[::]:5560",
        "tcp://192.168.1.4:5560",
        "tcp://eth0:5560",
        "tcp://example.com:5560",
        "tcp://127.0.0.1.example.com:5560",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "udp://127.0.0.1:5560",
        "inproc://here",
        "5560",
        "",
    ],
)
def test_only_addresses_of_this_machine_alone_are_bound(bind: str) -> None:
    with pytest.raises(GraphError, match="publish: expected"):
        publisher(bind=bind)


@pytest.mark.parametrize("bind", ["tcp://localhost:*", "tcp://127.0.0.2:*", "tcp://[::1]:*"])
def test_loopback_has_several_names(bind: str) -> None:
    if "[" in bind and not _has_ipv6():
        pytest.skip("no IPv6 loopback here")
    node = publisher(bind=bind)
    with Listener(node, IPV6=1) as listener:
        node.finish("s")
        assert listener.hear() is not None
    node.close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OutputError, match=rf"127\.0\.0\.1:{port} to be free, but it is in use"):
            publisher(bind=f"tcp://127.0.0.1:{port}")


def test_an_ipc_path_is_served_and_never_taken_from_others(tmp_path: Path) -> None:
    path = tmp_path / "out.sock"
    node = publisher(bind=f"ipc://{path}")
    assert path.stat().st_mode & 0o077 == 0
    with Listener(node) as listener:
        node.finish("s")
        assert listener.hear() is not None
        with pytest.raises(OutputError, match="somebody serves it"):
            publisher(bind=f"ipc://{path}")
    node.close()
    assert not path.exists()
    path.write_text("a file of mine")
    with pytest.raises(OutputError, match="a file is there"):
        publisher(bind=f"ipc://{path}")
    assert path.read_text() == "a file of mine"
    with pytest.raises(OutputError, match="No such file"):
        publisher(bind=f"ipc://{tmp_path / 'none' / 'x'}")


def _frame_parts(masks: Any = "rle") -> list[bytes]:
    return format.encode_frame(drawn(0, LABELS, (1, 2)), 5, masks, "none")


@pytest.mark.parametrize(
    "parts",
    [[], [b"s/frame"], [b"s/frame", b""], [b"s/frame", b"\xc1"], [b"s/frame", msgspec.msgpack.encode({"v": 1})]],
)
def test_what_is_no_message_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(WireError, match="expected"):
        format.decode(parts)


def test_another_version_is_named() -> None:
    parts = _frame_parts()
    header = {**msgspec.msgpack.decode(parts[1]), "v": 2, "objects": "quite another thing"}
    with pytest.raises(WireError, match="expected version 1 of published results, got 2"):
        format.decode([parts[0], msgspec.msgpack.encode(header)])


def test_unknown_keys_are_no_trouble() -> None:
    parts = _frame_parts()
    header = {**msgspec.msgpack.decode(parts[1]), "more": 1}
    assert isinstance(format.decode([parts[0], msgspec.msgpack.encode(header), *parts[2:]]).header, FrameHeader)


# Four runs that add up to 2^64, so to nothing in 64 bits, and what is left.
WRAPPED = rle.compress([*[1 << 62] * 4, LABELS.size]).encode()


@pytest.mark.parametrize(
    ("masks", "bad"), [("rle", b"0"), ("rle", b"\xff\xff"), ("rle", WRAPPED), ("rle", b"0" * 9999), ("raw", b"short")]
)
def test_damaged_masks_are_refused(masks: str, bad: bytes) -> None:
    parts = _frame_parts(masks)
    parts[2] = bad
    heard = format.decode(parts)
    assert isinstance(heard.header, FrameHeader)
    with pytest.raises(WireError):
        heard.mask(heard.header.objects[0])
    with pytest.raises(WireError):
        heard.masks()
    missing = format.decode(parts[:2])
    with pytest.raises(WireError, match="part 2"):
        missing.mask(heard.header.objects[0])
