"""``results.mcap`` is read back by the libraries of others: the masks that were written, at the source's times."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zstandard
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, make_reader
from mcap.records import Message
from mcap_protobuf.decoder import DecoderFactory
from mcap_ros2.decoder import DecoderFactory as RosDecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from streamseg_nodes.record.mcap.growing import Channel, GrowingMcap, Piece
from streamseg_nodes.record.mcap.messages import MASKS
from streamseg_nodes.record.node import Record
from support.bright_nodes import drawn

from streamseg import extras
from streamseg.errors import GraphError, OutputError, UsageError
from streamseg.messages import Gap, GivenPrompt, Segmented, Stamp
from streamseg.node import NodeContext
from streamseg.video.bag.mcap_file import McapFile

FIRST_NS = 1_700_000_000_987_654_321
IDS = (7, 300)
PROMPT = GivenPrompt(7, "thing 7", (1.0, 2.0, 30.0, 40.0), [(5.0, 6.0)], [(50.0, 7.0)])


def taken_ns(seq: int) -> int:
    return FIRST_NS + seq * 33_333_333


def message(seq: int, *, clock: str = "recording", ids: tuple[int, ...] = IDS) -> Segmented:
    labels = np.zeros((48, 64), np.uint16)
    labels[10:20, 5 + seq : 15 + seq] = 1
    labels[30:40, 40 - seq : 50 - seq] = 2
    plain = drawn(seq, labels, ids)
    stamp = Stamp(
        "camera", seq, seq, seq * 3, (1, 90), taken_ns(seq), 0, seq + 1, captured_clock=clock, frame_id="left"
    )
    frame = type(plain.frame)(stamp, plain.frame.image_rgb)
    return Segmented(frame, plain.objects, plain.labels, plain.tracker, [PROMPT] if seq == 0 else [])


def record(output: Path, messages: list[Any], **options: Any) -> Path:
    node = Record(Record.Config(output=str(output), **options), NodeContext("record", streams=("camera",)))
    node.setup()
    for each in messages:
        node.gap(each) if isinstance(each, Gap) else node.process(each)
    node.finish("camera")
    node.close()
    return output / "results.mcap"


def masks_of(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((folder / "masks").iterdir())]


def raw_messages(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Topic -> (time, bytes), in order, by the reader that needs the summary."""
    found = defaultdict(list)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        for _, channel, each in reader.iter_messages():
            found[channel.topic].append((each.log_time, each.data))
    return found


def ros_messages(path: Path) -> list[tuple[str, int, Any]]:
    """(topic, time, message) by ``mcap-ros2-support``."""
    with path.open("rb") as file:
        messages = make_reader(file, decoder_factories=[RosDecoderFactory()]).iter_decoded_messages()
        return [(channel.topic, each.log_time, decoded) for _, channel, each, decoded in messages]


def expected(seq: int) -> np.ndarray:
    labels = message(seq).labels
    return np.array([0, *IDS], np.uint16)[labels]


def test_ros_messages_are_read_by_the_readers_of_ros(tmp_path: Path) -> None:
    path = record(tmp_path, [message(seq) for seq in range(9)], mcap="ros2")
    seen = defaultdict(list)
    for topic, log_ns, decoded in ros_messages(path):
        seen[topic].append((log_ns, decoded))
    counts = {topic.removeprefix("/streamseg/"): len(found) for topic, found in seen.items()}
    assert counts == {"masks": 9, "overlay": 9, "detections": 9, "states": 9, "prompts": 1}
    for seq, (log_ns, mask) in enumerate(seen[MASKS]):
        assert log_ns == mask.header.stamp.sec * 10**9 + mask.header.stamp.nanosec == taken_ns(seq)
        assert (mask.encoding, mask.step, mask.is_bigendian, mask.header.frame_id) == ("16UC1", 128, 0, "left")
        np.testing.assert_array_equal(np.frombuffer(mask.data, "<u2").reshape(48, 64), expected(seq))
    detections = seen["/streamseg/detections"][3][1]
    first = detections.detections[0]
    assert (detections.header.stamp.sec, detections.header.stamp.nanosec) == divmod(taken_ns(3), 10**9)
    assert first.id == "7"
    said = [(each.hypothesis.class_id, each.hypothesis.score) for each in first.results]
    assert said == [("thing 7", 0.75), ("TRACKED", 0.75)]
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (13.0, 15.0)
    assert (first.bbox.size_x, first.bbox.size_y) == (10.0, 10.0)
    states = seen["/streamseg/states"][3][1]
    assert [(status.level, status.name, status.message) for status in states.status] == [
        (0, "object 7", "TRACKED"),
        (0, "object 300", "TRACKED"),
    ]
    prompts = json.loads(seen["/streamseg/prompts"][0][1].data)
    assert prompts["prompts"][0] | {"id": 7, "box_xyxy": [1, 2, 30, 40]} == prompts["prompts"][0]
    overlay = seen["/streamseg/overlay"][0][1]
    assert cv2.imdecode(np.frombuffer(overlay.data, np.uint8), cv2.IMREAD_COLOR).shape == (48, 64, 3)


def test_ros_messages_are_read_by_rosbags(tmp_path: Path) -> None:
    path = record(tmp_path, [message(seq) for seq in range(9)], mcap="ros2")
    pictures = masks_of(tmp_path)
    found = []
    with AnyReader([path]) as reader:
        assert sum(each.msgcount for each in reader.connections) == 37
        for connection, log_ns, data in reader.messages():
            decoded = reader.deserialize(data, connection.msgtype)
            if connection.topic == MASKS:
                assert log_ns == decoded.header.stamp.sec * 10**9 + decoded.header.stamp.nanosec
                found.append((log_ns, decoded.data.view("<u2").reshape(48, 64)))
    assert [log_ns for log_ns, _ in found] == [taken_ns(seq) for seq in range(9)]
    for (_, mask), picture in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(mask, picture)


def test_foxgloves_messages_are_read_by_their_schemas(tmp_path: Path) -> None:
    path = record(tmp_path, [message(seq) for seq in range(5)], mcap="foxglove")
    seen = defaultdict(list)
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        topics = [MASKS, "/streamseg/overlay", "/streamseg/boxes"]
        for _, channel, each, decoded in reader.iter_decoded_messages(topics):
            seen[channel.topic].append((each.log_time, decoded))
    assert {topic: len(found) for topic, found in seen.items()} == dict.fromkeys(topics, 5)
    for seq, (log_ns, mask) in enumerate(seen[MASKS]):
        assert log_ns == mask.timestamp.seconds * 10**9 + mask.timestamp.nanos == taken_ns(seq)
        assert (mask.encoding, mask.width, mask.height, mask.step) == ("16UC1", 64, 48, 128)
        np.testing.assert_array_equal(np.frombuffer(mask.data, "<u2").reshape(48, 64), expected(seq))
    boxes = seen["/streamseg/boxes"][2][1]
    assert [(p.x, p.y) for p in boxes.points[0].points] == [(7, 10), (17, 10), (17, 20), (7, 20)]
    assert boxes.texts[0].text == "7 thing 7 tracked 0.75"
    plain = raw_messages(path)
    detections = [json.loads(data) for _, data in plain["/streamseg/detections"]]
    assert detections[2]["detections"][1]["box_xyxy"] == [38, 30, 48, 40]
    states = [json.loads(data) for _, data in plain["/streamseg/states"]]
    assert [(each["frame"], each["objects"][0]["state"]) for each in states] == [(n, "TRACKED") for n in range(5)]
    assert [json.loads(data)["frame"] for _, data in plain["/streamseg/prompts"]] == [0]


def test_few_objects_make_a_mask_of_bytes(tmp_path: Path) -> None:
    path = record(tmp_path, [message(0, ids=(7, 9))], mcap="ros2", overlay=False)
    (mask,) = [decoded for topic, _, decoded in ros_messages(path) if topic == MASKS]
    assert mask.encoding == "mono8"
    assert set(np.frombuffer(mask.data, np.uint8)) == {0, 7, 9}
    assert "/streamseg/overlay" not in raw_messages(path)


def test_of_a_file_the_times_count_from_its_beginning(tmp_path: Path) -> None:
    path = record(tmp_path, [message(seq, clock="reading") for seq in range(4)], mcap="foxglove")
    assert [log_ns for log_ns, _ in raw_messages(path)[MASKS]] == [seq * 3 * 10**9 // 90 for seq in range(4)]


def test_a_gap_is_said_and_has_no_mask(tmp_path: Path) -> None:
    gap = Gap(message(1).stamp, "embed", "dropped", "too slow")
    for schemas in ("foxglove", "ros2"):
        path = record(tmp_path / schemas, [message(0), gap, message(2)], mcap=schemas)
        plain = raw_messages(path)
        assert [log_ns for log_ns, _ in plain[MASKS]] == [taken_ns(0), taken_ns(2)]
        assert [log_ns for log_ns, _ in plain["/streamseg/states"]] == [taken_ns(seq) for seq in range(3)]
        assert b"dropped at embed: too slow" in plain["/streamseg/states"][1][1]


def test_the_mcap_file_may_be_all_there_is(tmp_path: Path) -> None:
    path = record(tmp_path / "out", [message(0)], mcap="ros2", overlay=False, masks=False, tracks=False)
    assert {each.name for each in path.parent.iterdir() if each.is_file()} == {"results.mcap"}
    with pytest.raises(GraphError, match="all off"):
        record(tmp_path / "none", [message(0)], overlay=False, masks=False, tracks=False)


def test_a_package_that_is_missing_is_named_before_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rosbags.typesys", None)
    with pytest.raises(UsageError, match=r"'rosbags' to write ROS 2 messages.*pip install 'streamseg\[bags\]'"):
        record(tmp_path / "out", [message(0)], mcap="ros2")
    assert not (tmp_path / "out").exists()
    assert extras.command("bags") == "pip install 'streamseg[bags]'"


CHANNELS = [Channel("/a", "json", "A", "jsonschema", b"{}"), Channel("/b", "json", "B", "jsonschema", b"{}")]


def piece(numbers: range) -> Piece:
    made = Piece()
    for number in numbers:
        made.add(1 + number % 2, 1000 + number, number, b"%d" % number * 100)
    return made


def numbers_in(path: Path, *, seeking: bool = True) -> list[int]:
    data = path.read_bytes()
    if seeking:
        return sorted(each.sequence for _, _, each in make_reader(io.BytesIO(data), True).iter_messages())
    found = []
    for _, _, each in NonSeekingReader(io.BytesIO(data)).iter_messages(log_time_order=False):
        assert isinstance(each, Message)
        found.append(each.sequence)
    return found


def test_a_file_is_whole_after_every_piece_and_can_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "results.mcap"
    growing = GrowingMcap(path, "", CHANNELS, None)
    growing.append(piece(range(5)), sync=True)
    assert numbers_in(path) == list(range(5))
    mark = growing.append(piece(range(5, 9)), sync=True)
    growing.append(piece(range(9, 12)), sync=True)
    assert numbers_in(path) == list(range(12))
    again = GrowingMcap(path, "", CHANNELS, mark)
    assert numbers_in(path) == list(range(12)), "what is there stays until there is more"
    again.append(piece(range(9, 20)), sync=False)
    again.close()
    assert numbers_in(path) == numbers_in(path, seeking=False) == list(range(20))
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None and summary.statistics is not None
    assert summary.statistics.channel_message_counts == {1: 10, 2: 10}
    with path.open("rb") as file:
        for index in summary.chunk_indexes:
            file.seek(index.chunk_start_offset)
            assert file.read(1) == b"\x06"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OutputError, match="bytes of an earlier run"):
        GrowingMcap(path, "", CHANNELS, mark)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.mcap"
    growing = GrowingMcap(path, "", CHANNELS, None)
    growing.append(piece(range(5)), sync=False)
    with monkeypatch.context() as patched:

        def full(fd: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr("os.fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            growing.append(piece(range(5, 9)), sync=True)
    growing.close()
    assert numbers_in(path) == list(range(5))
    growing.append(piece(range(5, 7)), sync=True)
    assert numbers_in(path) == list(range(7))


def test_definitions_of_ros_types_are_those_of_ros(tmp_path: Path) -> None:
    """A reader that knows vision_msgs from elsewhere reads ours."""
    path = record(tmp_path, [message(0)], mcap="ros2")
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    definitions = {schema.name: schema.data.decode() for schema in summary.schemas.values()}
    store = get_typestore(Stores.EMPTY)
    for name, text in definitions.items():
        store.register(
            {each: fields for each, fields in get_types_from_msg(text, name).items() if each not in store.types}
        )
    assert "vision_msgs/msg/BoundingBox2D" in store.types
    assert store.hash_rihs01("vision_msgs/msg/Point2D").startswith("RIHS01_")


def _grown(path: Path) -> tuple[list[int], list[int]]:
    """A file that grew by three commits: its length without the summary after each, and how many messages it had."""
    grown = GrowingMcap(path, "ros2", [Channel("/t", "json", "t", "jsonschema", b"{}")], None)
    lengths, counts = [], []
    for commit in range(3):
        piece = Piece()
        for number in range(20):
            seq = 20 * commit + number
            piece.add(1, 1_000 + seq, seq, json.dumps({"seq": seq, "data": "x" * 500}).encode())
        lengths.append(grown.append(piece, sync=False).bytes)
        counts.append(20 * (commit + 1))
    grown.close()
    return lengths, counts


def _by_record(data: bytes) -> list[int]:
    """Numbers of the messages that a reader which goes from record to record finds before it stops."""
    found = []
    with contextlib.suppress(McapError, ValueError, struct.error, zstandard.ZstdError):
        for _, _, each in NonSeekingReader(io.BytesIO(data), validate_crcs=True).iter_messages(log_time_order=False):
            found.append(each.sequence)
    return found


def _by_streamseg(path: Path) -> list[int]:
    file = McapFile(path)
    try:
        (topic,) = file.topics
        return [json.loads(bytes(file.read(entry.place)))["seq"] for entry in file.entries(topic)]
    finally:
        file.close()


def test_wherever_a_write_was_cut_off_what_was_committed_is_read(tmp_path: Path) -> None:
    lengths, counts = _grown(tmp_path / "whole.mcap")
    whole = (tmp_path / "whole.mcap").read_bytes()
    random = np.random.default_rng(3)
    for number, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        end = lengths[number + 1] if number + 1 < len(lengths) else len(whole)
        for cut in (length, *random.integers(length, end, 12)):
            # The machine died while the next piece was written over the summary: some of it came, some did not.
            for left in (whole[:cut], whole[:cut] + bytes(min(300, end - int(cut)))):
                path = tmp_path / "cut.mcap"
                path.write_bytes(left)
                assert _by_record(left)[:count] == list(range(count)), cut
                assert _by_streamseg(path)[:count] == list(range(count)), cut
    # Those that begin at the end find nothing there.
    path.write_bytes(whole[: lengths[1] + 40])
    with pytest.raises(McapError), path.open("rb") as file:
        list(make_reader(file).iter_messages())
    with pytest.raises(Exception, match=r"(?i)mcap|magic|end"), AnyReader([path]) as reader:
        list(reader.messages())
