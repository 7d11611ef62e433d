"""Topics and services over DDS, with a process on the other side that has its types and its bytes from elsewhere."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.dds_peer import PeerProcess, enter_domain, peer, until

from streamseg.errors import RunError, UsageError
from streamseg.ros2 import types
from streamseg.ros2.dds import DdsMiddleware
from streamseg.ros2.middleware import SENSOR, Qos

IMAGE = "sensor_msgs/msg/Image"
PIXELS = np.arange(40 * 30, dtype=np.int64).astype(np.uint8).reshape(30, 40)
FIELDS = {
    "header": {"stamp": {"sec": 1_764_000_000, "nanosec": 123_456_789}, "frame_id": "camera_link"},
    "height": 30,
    "width": 40,
    "encoding": "mono8",
    "is_bigendian": 0,
    "step": 40,
}


@pytest.fixture
def stranger(ros: DdsMiddleware) -> Iterator[PeerProcess]:
    with peer() as process:
        yield process


def test_an_image_of_a_stranger_comes_as_it_was_sent(ros: DdsMiddleware, stranger: PeerProcess) -> None:
    came: list[Any] = []
    ros.subscribe("/image", IMAGE, SENSOR, came.append)
    sent = {**FIELDS, "data": base64.b64encode(PIXELS).decode()}
    stranger.do("publish", topic="/image", type="Image", fields=sent)
    message = until(lambda: came)[0]
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1_764_000_000, 123_456_789)
    assert (message.header.frame_id, message.encoding, message.step) == ("camera_link", "mono8", 40)
    assert np.array_equal(message.data.reshape(30, 40), PIXELS)


def test_a_stranger_reads_what_is_published(ros: DdsMiddleware, stranger: PeerProcess) -> None:
    publisher = ros.advertise("/masks", IMAGE, Qos())
    stranger.do("listen", topic="/masks", type="Image")
    until(lambda: publisher.listeners)
    assert publisher.publish({**FIELDS, "data": PIXELS.reshape(-1)})
    heard = stranger.wait("/masks")
    assert heard["header"]["stamp"] == FIELDS["header"]["stamp"]
    assert base64.b64decode(heard["data"]) == PIXELS.tobytes()


def test_a_service_answers_later_and_from_another_thread(ros: DdsMiddleware, stranger: PeerProcess) -> None:
    asked: list[str] = []

    def remove(request: Any, answer: Callable[[dict[str, Any]], None]) -> None:
        asked.append(request.object_id)
        fields = {"object_ids": ["cup"], "object_indices": [7], "success": True, "message": "done"}
        threading.Timer(0.1, answer, [fields]).start()

    ros.serve("/remove_object", types.REMOVE_OBJECT, remove)
    fields = {"request_header": {"stamp": {"sec": 3, "nanosec": 4}, "frame_id": "f"}, "object_id": "ball"}
    stranger.do("call", service="/remove_object", type="RemoveObject", fields=fields)
    heard = stranger.wait("/remove_object")
    assert asked == ["ball"]
    assert (heard["guid"], heard["seq"]) == (0x1234_5678_9ABC_DEF0, 7)
    assert (heard["object_ids"], heard["object_indices"], heard["message"]) == (["cup"], [7], "done")


def test_who_publishes_is_known_with_type_hash_and_quality(ros: DdsMiddleware, stranger: PeerProcess) -> None:
    sent = {**FIELDS, "data": base64.b64encode(PIXELS).decode()}
    user_data = f"typehash={types.type_hash(IMAGE)};"
    stranger.do("publish", topic="/a/b", type="Image", fields=sent, reliable=False, user_data=user_data)
    (found,) = until(lambda: [each for each in ros.publishers() if each.topic == "/a/b"])
    assert (found.type, found.type_hash) == (IMAGE, types.type_hash(IMAGE))
    assert (found.qos.reliability, found.qos.durability) == ("best_effort", "volatile")


def test_a_message_that_cannot_be_read_is_counted_and_the_next_is_taken(
    ros: DdsMiddleware, caplog: pytest.LogCaptureFixture
) -> None:
    came: list[Any] = []
    subscription = ros.subscribe("/image", IMAGE, Qos(), came.append)
    writer = ros._writer("rt", "/image", IMAGE, Qos())
    whole = types.encode(IMAGE, {**FIELDS, "data": PIXELS.reshape(-1)})
    until(writer.get_matched_subscriptions)
    for data in (whole.replace(b"camera", b"cam\xffra"), whole.replace(b"camera", b"\xff\xfemera"), whole):
        assert ros._dds.write(writer, data)
    until(lambda: came)
    assert subscription.malformed == 2
    assert len(came) == 1
    assert caplog.text.count("a message that came is no sensor_msgs/msg/Image") == 1


def test_what_was_lost_is_still_known_when_it_is_closed(ros: DdsMiddleware) -> None:
    subscription = ros.subscribe("/image", IMAGE, Qos(), lambda message: None)
    assert subscription.lost == 0
    ros.close()
    assert subscription.lost == 0


def test_a_listener_that_has_gone_costs_nothing(ros: DdsMiddleware) -> None:
    publisher = ros.advertise("/masks", IMAGE, SENSOR)
    with peer() as process:
        process.do("listen", topic="/masks", type="Image", reliable=False)
        until(lambda: publisher.listeners)
    assert all(publisher.publish({**FIELDS, "data": PIXELS.reshape(-1)}) for _ in range(50))


def test_a_domain_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "seven")
    with pytest.raises(UsageError, match="expected ROS_DOMAIN_ID to be a whole number from 0 to 232, got 'seven'"):
        DdsMiddleware()


def test_a_domain_that_cannot_be_entered_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    enter_domain(monkeypatch)
    monkeypatch.setenv("CYCLONEDDS_URI", "<CycloneDDS><Domain Id='any'><General><Interfaces><NetworkInterface ")
    with pytest.raises(RunError, match="expected to enter DDS domain"):
        DdsMiddleware()
