"""The nodes for ROS 2, with a process of its own on the other side of DDS."""

from __future__ import annotations

import base64
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from streamseg_nodes.ros2.image import Ros2Image
from streamseg_nodes.ros2.masks import Ros2Masks
from support.dds_peer import PeerProcess, enter_domain, peer, until

from streamseg.errors import GraphError
from streamseg.messages import Frame, ObjectResult, Segmented, SourceStatus, Stamp
from streamseg.node import Captured, NodeContext

PICTURE = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
STAMP_NS = 1_764_000_000_123_456_789


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[PeerProcess]:
    enter_domain(monkeypatch)
    with peer() as process:
        yield process


class Running:
    """A source at work; what it captures and says is collected."""

    def __init__(self, **options: Any) -> None:
        self.said: list[SourceStatus] = []
        self.captured: list[Captured[Frame]] = []
        context = NodeContext("image", tell_status=self.said.append)
        self.node = Ros2Image(Ros2Image.Config(**{"diagnostics": "", **options}), context)

    def __enter__(self) -> Running:
        self.node.setup()
        threading.Thread(target=self._collect, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.node.close()

    def frame(self, captured: Captured[Frame]) -> Frame:
        c = captured
        stamp = Stamp("image", 0, c.index, c.pts, c.time_base, c.captured_ns, 0, 1, scaled_from=c.scaled_from)
        return c.make(stamp)

    def _collect(self) -> None:
        for captured in self.node.produce():
            self.captured.append(captured)


def image(picture: np.ndarray = PICTURE, stamp_ns: int = STAMP_NS, **fields: Any) -> dict[str, Any]:
    sec, nanosec = divmod(stamp_ns, 10**9)
    return {
        "header": {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "camera_link"},
        "height": picture.shape[0],
        "width": picture.shape[1],
        "encoding": "bgr8",
        "is_bigendian": 0,
        "step": picture.shape[1] * 3,
        "data": base64.b64encode(picture[..., ::-1].tobytes()).decode(),
        **fields,
    }


def test_an_image_enters_with_the_stamp_of_its_header(stranger: PeerProcess) -> None:
    with Running(topic="/camera/image_raw") as source:
        stranger.do("publish", topic="/camera/image_raw", type="Image", fields=image())
        (captured,) = until(lambda: source.captured)
        assert (captured.captured_ns, captured.captured_clock, captured.frame_id) == (STAMP_NS, "sender", "camera_link")
        assert (captured.pts, captured.time_base) == (STAMP_NS, (1, 10**9))
        assert captured.arrived_ns is not None
        assert np.array_equal(source.frame(captured).image_rgb, PICTURE)


def test_an_image_without_a_stamp_has_the_time_that_it_came(stranger: PeerProcess) -> None:
    with Running() as source:
        before_ns = time.time_ns()
        stranger.do("publish", topic="/image", type="Image", fields=image(stamp_ns=0))
        (captured,) = until(lambda: source.captured)
        assert captured.captured_clock == "arrival"
        assert captured.pts is None
        assert before_ns <= captured.captured_ns <= time.time_ns()


def test_compressed_images_are_taken_by_the_name_of_the_topic(stranger: PeerProcess) -> None:
    data = cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes()
    with Running(topic="/image/compressed") as source:
        fields = {
            "header": image()["header"],
            "format": "rgb8; png compressed bgr8",
            "data": base64.b64encode(data).decode(),
        }
        cut_off = {**fields, "data": base64.b64encode(data[:-40]).decode()}
        stranger.do("publish", topic="/image/compressed", type="CompressedImage", fields=cut_off)
        until(lambda: source.node.describe()["dropped"]["refused"] == 1)
        stranger.do("publish", topic="/image/compressed", type="CompressedImage", fields=fields)
        (captured,) = until(lambda: source.captured)
        assert np.array_equal(source.frame(captured).image_rgb, PICTURE)


def test_images_that_cannot_be_taken_are_counted_said_once_and_harm_no_other(
    stranger: PeerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = [
        image(encoding="rgb12"),
        image(step=10),
        image(data=base64.b64encode(bytes(50)).decode()),
        image(height=0, data=""),
    ]
    with Running(reliability="reliable", depth=50) as source:
        for number, fields in enumerate([*wrong, *wrong, image()], 1):
            stranger.do("publish", topic="/image", type="Image", fields=fields)
            # One by one: a newer one would take the place of one that nobody has looked at.
            until(lambda number=number: source.node.describe()["received"] >= number)
            until(lambda number=number: source.node._bad.total() + len(source.captured) >= number)
        (captured,) = until(lambda: source.captured)
        assert captured.index == 8
        assert np.array_equal(source.frame(captured).image_rgb, PICTURE)
        assert source.node.describe()["dropped"]["refused"] == 8
        assert source.node.dropped == 8
    for words in ("got 'rgb12'", "a step of at least 96 bytes", "expected 2304 bytes", "an image with pixels"):
        assert sum(words in record.getMessage() for record in caplog.records) == 1


def test_images_of_another_size_are_scaled_to_the_first_and_marked(stranger: PeerProcess) -> None:
    larger = np.full((48, 64, 3), 90, np.uint8)
    with Running() as source:
        stranger.do("publish", topic="/image", type="Image", fields=image())
        until(lambda: source.captured)
        stranger.do("publish", topic="/image", type="Image", fields=image(larger))
        until(lambda: len(source.captured) == 2)
        frame = source.frame(source.captured[1])
        assert frame.stamp.scaled_from == (64, 48)
        assert frame.image_rgb.shape == (24, 32, 3)
        assert (frame.image_rgb == 90).all()
        assert "they are scaled to 32x24" in source.node.describe()["notes"][0]


def test_a_topic_that_nobody_publishes_is_said_with_those_that_there_are(stranger: PeerProcess) -> None:
    stranger.do("publish", topic="/camera/image_raw", type="Image", fields=image(), wait=False)
    with Running(topic="/camera/image", silent_s=3.0) as source:
        said = until(lambda: source.said)[0]
        assert said.state == "lost"
        assert said.reason == (
            "nobody publishes /camera/image; topics with sensor_msgs/msg/Image are: /camera/image_raw"
        )
        stranger.do("publish", topic="/camera/image", type="Image", fields=image())
        until(lambda: source.captured)
        assert [each.state for each in source.said] == ["lost", "back"]
        assert source.said[1].since_ns == said.since_ns


@pytest.mark.parametrize(
    ("command", "options", "reason"),
    [
        ({"reliable": False}, {"reliability": "reliable"}, "/image is published best_effort and volatile, which"),
        ({"type": "String", "fields": {"data": "x"}}, {}, "/image has std_msgs/msg/String, not sensor_msgs/msg/Image"),
    ],
)
def test_why_nothing_comes_is_said(
    stranger: PeerProcess, command: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    stranger.do("publish", **{"topic": "/image", "type": "Image", "fields": image(), "wait": False, **command})
    with Running(silent_s=3.0, **options) as source:
        assert until(lambda: source.said)[0].reason.startswith(reason)


def test_another_definition_of_the_message_is_said_once(
    stranger: PeerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    user_data = f"typehash=RIHS01_{'0' * 64};"
    with Running() as source:
        for stamp_ns in range(1, 4):
            fields = image(stamp_ns=stamp_ns)
            stranger.do("publish", topic="/image", type="Image", fields=fields, user_data=user_data)
            until(lambda count=stamp_ns: len(source.captured) >= count)
        notes = until(lambda: source.node.describe()["notes"])
        time.sleep(1.5)
        assert notes == source.node.describe()["notes"]
        assert notes[0].startswith("the publisher of /image has another definition of sensor_msgs/msg/Image (RIHS01_0")


def results(ids: list[int], **stamp: Any) -> Segmented:
    labels = np.zeros((24, 32), np.uint16)
    objects = []
    for number, (identity, x) in enumerate(zip(ids, itertools.count(2, 6)), 1):
        labels[4:8, x : x + 4] = number
        objects.append(ObjectResult(identity, "TRACKED", 0.75, (x, 4.0, x + 4.0, 8.0), 16, "cup"))
    objects.append(ObjectResult(9, "LOST", 0.0, None, 0))
    made = {"captured_ns": STAMP_NS, "frame_id": "camera_link", **stamp}
    frame = Frame(Stamp("image", 0, 0, None, (1, 10**9), ticket=0, generation=1, **made), PICTURE)
    return Segmented(frame, objects, labels)


@pytest.fixture
def sink(stranger: PeerProcess) -> Iterator[Callable[..., Ros2Masks]]:
    nodes = []

    def make(**options: Any) -> Ros2Masks:
        node = Ros2Masks(Ros2Masks.Config(**options), NodeContext("masks"))
        nodes.append(node)
        node.setup()
        for topic, kind in (("/masks", "Image"), ("/detections", "Detection2DArray"), ("/drawn", "CompressedImage")):
            stranger.do("listen", topic=topic, type=kind, reliable=False)
        stranger.do("listen", topic="/diagnostics", type="DiagnosticArray")
        until(lambda: all(each is None or each.listeners for each in (node._masks, node._detections, node._overlay)))
        return node

    yield make
    for node in nodes:
        node.close()


def pixels(heard: dict[str, Any]) -> np.ndarray:
    kind = {"mono8": np.uint8, "16UC1": "<u2"}[heard["encoding"]]
    return np.frombuffer(base64.b64decode(heard["data"]), kind).reshape(heard["height"], heard["width"])


def test_masks_and_detections_have_the_header_of_the_image(
    stranger: PeerProcess, sink: Callable[..., Ros2Masks]
) -> None:
    sink(overlay="drawn").process(results([3, 7]))
    header = image()["header"]
    heard = stranger.wait("/masks")
    assert heard["header"] == header
    assert heard["encoding"] == "mono8"
    assert sorted(np.unique(pixels(heard))) == [0, 3, 7]
    assert (pixels(heard)[4:8, 8:12] == 7).all()
    found = stranger.wait("/detections")
    assert found["header"] == header
    first, _, lost = found["detections"]
    assert first["id"] == "3"
    assert [each["hypothesis"] for each in first["results"]] == [
        {"class_id": "cup", "score": 0.75},
        {"class_id": "TRACKED", "score": 0.75},
    ]
    assert first["bbox"]["center"]["position"] == {"x": 4.0, "y": 6.0}
    assert (first["bbox"]["size_x"], first["bbox"]["size_y"]) == (4.0, 4.0)
    assert (lost["id"], lost["results"][1]["hypothesis"]["class_id"], lost["bbox"]["size_x"]) == ("9", "LOST", 0.0)
    drawn = stranger.wait("/drawn")
    assert drawn["header"] == header
    assert cv2.imdecode(np.frombuffer(base64.b64decode(drawn["data"]), np.uint8), 1).shape == (24, 32, 3)


def test_ids_above_255_are_16_bits(stranger: PeerProcess, sink: Callable[..., Ros2Masks]) -> None:
    sink().process(results([3, 300]))
    heard = stranger.wait("/masks")
    assert (heard["encoding"], heard["step"]) == ("16UC1", 64)
    assert sorted(np.unique(pixels(heard))) == [0, 3, 300]


def test_results_of_a_scaled_image_have_its_own_size(stranger: PeerProcess, sink: Callable[..., Ros2Masks]) -> None:
    sink().process(results([3], scaled_from=(64, 48)))
    heard = stranger.wait("/masks")
    assert pixels(heard).shape == (48, 64)
    assert (pixels(heard)[8:16, 4:12] == 3).all()
    assert np.count_nonzero(pixels(heard)) == 64
    assert stranger.wait("/detections")["detections"][0]["bbox"]["size_x"] == 8.0


def test_diagnostics_say_that_the_source_is_away(stranger: PeerProcess, sink: Callable[..., Ros2Masks]) -> None:
    node = sink()
    node.process(results([3]))
    node.status(SourceStatus("image", "lost", "nobody publishes", 0))

    def said(fields: dict[str, Any]) -> bool:
        node.tick()
        return fields["status"][0]["message"] == "image is away"

    end_s = time.monotonic() + 20
    while not any(name == "/diagnostics" and said(fields) for name, fields in list(stranger.heard)):
        assert time.monotonic() < end_s
        node.tick()
        time.sleep(0.1)
    (status,) = next(f for n, f in stranger.heard if n == "/diagnostics" and said(f))["status"]
    assert (status["level"], status["name"]) == (3, "streamseg_masks: masks")
    assert {each["key"]: each["value"] for each in status["values"]}["frames"] == "1"


def test_two_outputs_on_one_topic_are_refused() -> None:
    with pytest.raises(GraphError, match="a topic of its own for each output of ros2_masks, got /a, /a"):
        Ros2Masks.check(Ros2Masks.Config(masks="a", detections="/a"))
