"""Bags of robots are read like videos: every picture, with its own stamp, from any frame on."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.writer import CompressionType, IndexType
from support.bags import (
    COMPRESSED,
    RECORDED_LATER_NS,
    STEP_NS,
    TOPIC,
    compressed_message,
    foxglove_mcap,
    foxglove_message,
    jpeg,
    json_mcap,
    raw_message,
    ros_bag,
    ros_mcap,
    stamp_ns,
    video_messages,
)
from support.media import moving_images

from streamseg.errors import MediaError, UsageError
from streamseg.video.open import SourceKind, classify, open_source
from streamseg.video.reader import Picture

COUNT = 25
IMAGES = moving_images(COUNT)
RAW = [raw_message(image, stamp_ns(number)) for number, image in enumerate(IMAGES)]
JPEGS = [cv2.imdecode(np.frombuffer(jpeg(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for image in IMAGES]


def read(source: Path, **options: Any) -> list[tuple[Picture, np.ndarray]]:
    with open_source(str(source), **options) as reader:
        return [(picture, picture.to_rgb()) for picture in reader]


def check(found: list[tuple[Picture, np.ndarray]], images: list[np.ndarray], first: int = 0) -> None:
    assert [picture.index for picture, _ in found] == list(range(first, len(images)))
    for picture, image in found:
        assert (picture.captured_ns, picture.captured_clock) == (stamp_ns(picture.index), "recording")
        assert picture.frame_id == "camera"
        assert picture.pts == stamp_ns(picture.index) - stamp_ns(0)
        np.testing.assert_array_equal(image, images[picture.index])


WITHOUT_SUMMARY = {
    "repeat_channels": False,
    "repeat_schemas": False,
    "use_statistics": False,
    "index_types": IndexType.NONE,
}
MAKERS: dict[str, Callable[[Path], Path]] = {
    "sqlite3": lambda folder: ros_bag(folder / "bag", RAW),
    "sqlite3, a file": lambda folder: next(ros_bag(folder / "bag", RAW).glob("*.db3")),
    "sqlite3, messages compressed": lambda folder: ros_bag(folder / "bag", RAW, mode="message"),
    "sqlite3, file compressed": lambda folder: ros_bag(folder / "bag", RAW, mode="file"),
    "mcap in a folder": lambda folder: ros_bag(folder / "bag", RAW, storage="mcap"),
    "mcap, file compressed": lambda folder: ros_bag(folder / "bag", RAW, storage="mcap", mode="file"),
    "mcap, zstd": lambda folder: ros_mcap(folder / "bag.mcap", RAW),
    "mcap, lz4": lambda folder: ros_mcap(folder / "bag.mcap", RAW, compression=CompressionType.LZ4),
    "mcap, not compressed": lambda folder: ros_mcap(folder / "bag.mcap", RAW, compression=CompressionType.NONE),
    "mcap, without chunks": lambda folder: ros_mcap(folder / "bag.mcap", RAW, use_chunking=False),
    "mcap, without a summary": lambda folder: ros_mcap(
        folder / "bag.mcap",
        RAW,
        repeat_channels=False,
        repeat_schemas=False,
        use_statistics=False,
        index_types=IndexType.NONE,
    ),
    "foxglove raw": lambda folder: foxglove_mcap(
        folder / "bag.mcap", [foxglove_message("RawImage", image, number) for number, image in enumerate(IMAGES)]
    ),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_picture_comes_with_its_stamp(make: Callable[[Path], Path], tmp_path: Path) -> None:
    bag = make(tmp_path)
    assert classify(str(bag)) is SourceKind.BAG
    with open_source(str(bag)) as reader:
        assert (reader.info.width, reader.info.height, reader.info.frames) == (96, 64, COUNT)
        assert reader.info.fps == pytest.approx(1e9 / STEP_NS, rel=1e-3)
        check([(picture, picture.to_rgb()) for picture in reader], IMAGES)
        assert reader.damaged == 0
        assert [f"{TOPIC} (" in note for note in reader.notes] == [True], reader.notes
    check(read(bag, start_index=17), IMAGES, 17)


@pytest.mark.parametrize("kind", ["ros2", "protobuf", "json"])
def test_pictures_that_are_compressed(kind: str, tmp_path: Path) -> None:
    bag = tmp_path / "bag.mcap"
    if kind == "ros2":
        messages = [compressed_message(image, stamp_ns(number)) for number, image in enumerate(IMAGES)]
        bag = ros_bag(tmp_path / "bag", messages, kind=COMPRESSED)
    elif kind == "protobuf":
        foxglove_mcap(bag, [foxglove_message("CompressedImage", image, n) for n, image in enumerate(IMAGES)])
    else:
        json_mcap(bag, IMAGES)
    check(read(bag), JPEGS)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_video_in_messages_is_the_same_from_any_frame_on(codec: str, tmp_path: Path) -> None:
    bag = foxglove_mcap(tmp_path / "bag.mcap", video_messages(IMAGES, codec))
    whole = read(bag)
    decoded = [image for _, image in whole]
    check(whole, decoded)
    assert len(whole) == COUNT
    difference = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(decoded, IMAGES, strict=True)])
    assert difference < 12, difference
    check(read(bag, start_index=13), decoded, 13)


def test_video_with_a_damaged_message_goes_on(tmp_path: Path) -> None:
    messages = video_messages(IMAGES, "h264", every=5)
    messages[7].data = b"\x00\x00\x00\x01\x65junk"
    with open_source(str(foxglove_mcap(tmp_path / "bag.mcap", messages))) as reader:
        indices = [picture.index for picture in reader]
        assert (indices, reader.damaged) == ([n for n in range(COUNT) if n != 7], 1)


def test_a_range_of_time(tmp_path: Path) -> None:
    bag = ros_bag(tmp_path / "bag", RAW)
    step_s = STEP_NS / 1e9
    indices = [picture.index for picture, _ in read(bag, start_s=4.5 * step_s, end_s=9.5 * step_s)]
    assert indices == [5, 6, 7, 8, 9]
    assert [picture.index for picture, _ in read(bag, start_s=4.5 * step_s, start_index=8, max_frames=2)] == [8, 9]
    with pytest.raises(UsageError, match=r"got 100 s to the end; those of /camera/image are from 0 to 0\.800 s"):
        open_source(str(bag), start_s=100.0)


def test_several_topics_are_listed_and_one_can_be_chosen(tmp_path: Path) -> None:
    bag = ros_mcap(tmp_path / "bag.mcap", RAW, topics=("/left", "/right"))
    with pytest.raises(UsageError, match=r"2 topics: /left \(sensor_msgs/msg/Image\), /right .* --topic NAME"):
        open_source(str(bag))
    check(read(bag, topic="/right"), IMAGES)
    with pytest.raises(UsageError, match="did you mean '/right'"):
        open_source(str(bag), topic="/rihgt")


def test_a_bag_without_images_says_what_it_has(tmp_path: Path) -> None:
    bag = ros_bag(tmp_path / "bag", RAW, topics=())
    with pytest.raises(MediaError, match=r"none: /chatter \(std_msgs/msg/String\)"):
        open_source(str(bag))
    with pytest.raises(UsageError, match=r"expected images on /chatter, it has std_msgs/msg/String"):
        open_source(str(ros_bag(tmp_path / "other", RAW)), topic="/chatter")


def test_what_is_no_bag(tmp_path: Path) -> None:
    for name in ("bag.mcap", "bag.db3"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 100)
        with pytest.raises(MediaError, match=r"is something else|is not a database"):
            open_source(str(tmp_path / name))
    with pytest.raises(MediaError, match="does not exist"):
        open_source(str(tmp_path / "gone.mcap"))
    with pytest.raises(UsageError, match=r"expected a bag .* with topic"):
        open_source(str(tmp_path / "clip.mp4"), topic="/camera")
    with pytest.raises(UsageError, match="say --topic NAME"):
        open_source(str(ros_bag(tmp_path / "bag", RAW)), stream=1)


@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.NONE])
def test_an_mcap_file_that_is_cut_off_is_read_up_to_there(compression: CompressionType, tmp_path: Path) -> None:
    bag = ros_mcap(tmp_path / "bag.mcap", RAW, compression=compression)
    bag.write_bytes(bag.read_bytes()[: int(bag.stat().st_size * 0.6)])
    with open_source(str(bag)) as reader:
        found = [(picture, picture.to_rgb()) for picture in reader]
        assert any("is cut off" in note for note in reader.notes), reader.notes
    assert 5 < len(found) < COUNT
    check(found, IMAGES[: len(found)])


def test_an_mcap_file_whose_writer_died_is_read(tmp_path: Path) -> None:
    bag = ros_mcap(tmp_path / "bag.mcap", RAW, finished=False)
    found = read(bag)
    assert len(found) > 10
    check(found, IMAGES[: len(found)])


def test_a_database_that_is_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = next(ros_bag(tmp_path / "bag", RAW).glob("*.db3"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as reader:
        found = [(picture, picture.to_rgb()) for picture in reader]
        assert any("cut off" in note for note in reader.notes), reader.notes
    assert 5 < len(found) < COUNT
    check(found, IMAGES[: len(found)])


def test_a_bag_without_its_metadata_is_read(tmp_path: Path) -> None:
    bag = ros_bag(tmp_path / "bag", RAW)
    (bag / "metadata.yaml").unlink()
    check(read(bag), IMAGES)


def test_messages_that_are_wrong_are_left_out_and_counted(tmp_path: Path) -> None:
    messages = list(RAW)
    messages[0] = b"\x00\x01\x00\x00junk"
    messages[3] = raw_message(IMAGES[3], stamp_ns(3), "purple8")
    messages[5] = raw_message(IMAGES[5], stamp_ns(5), step=17)
    messages[8] = raw_message(IMAGES[8], stamp_ns(8), data=IMAGES[8].reshape(-1)[:1000])
    messages[9] = messages[9][:500]
    with open_source(str(ros_bag(tmp_path / "bag", messages))) as reader:
        found = {picture.index: picture.to_rgb() for picture in reader}
        assert (sorted(found), reader.damaged) == ([n for n in range(COUNT) if n not in (0, 3, 5, 8, 9)], 5)
        assert sum("is left out" in note for note in reader.notes) == 1
    for number, image in found.items():
        np.testing.assert_array_equal(image, IMAGES[number])
    with pytest.raises(MediaError, match="none of its 2 messages can be decoded"):
        open_source(str(ros_mcap(tmp_path / "bad.mcap", messages[8:10])))


def test_a_damaged_chunk_costs_its_own_messages_only(tmp_path: Path) -> None:
    bag = ros_mcap(tmp_path / "bag.mcap", RAW, compression=CompressionType.NONE)
    data = bytearray(bag.read_bytes())
    data[len(data) // 2] ^= 0xFF
    bag.write_bytes(data)
    with open_source(str(bag)) as reader:
        found = [(picture.index, picture.to_rgb()) for picture in reader]
        assert 1 <= reader.damaged <= 4
        assert len(found) == COUNT - reader.damaged
    for number, image in found:
        np.testing.assert_array_equal(image, IMAGES[number])


def test_a_picture_of_another_size_is_scaled_and_said(tmp_path: Path) -> None:
    messages = list(RAW)
    messages[4] = raw_message(moving_images(1, 192, 128)[0], stamp_ns(4))
    found = read(ros_bag(tmp_path / "bag", messages))
    assert found[4][1].shape == (64, 96, 3)
    assert [picture.size_in_source for picture, _ in found[3:6]] == [(96, 64), (192, 128), (96, 64)]


def test_without_a_stamp_the_time_of_recording_is_taken(tmp_path: Path) -> None:
    bag = ros_bag(tmp_path / "bag", [raw_message(image, 0) for image in IMAGES])
    with open_source(str(bag)) as reader:
        assert [picture.captured_ns for picture in reader] == [stamp_ns(n) + RECORDED_LATER_NS for n in range(COUNT)]
        assert sum("no stamp" in note for note in reader.notes) == 1


def test_the_files_of_a_bag_that_was_split_are_one(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    ros_mcap(folder / "bag_0.mcap", RAW)
    whole = sqlite3.connect(next(ros_bag(tmp_path / "later", RAW).glob("*.db3")))
    whole.execute("UPDATE messages SET timestamp = timestamp + 10000000000")
    whole.commit()
    whole.close()
    shutil.copy(next((tmp_path / "later").glob("*.db3")), folder / "bag_1.db3")
    found = read(folder)
    assert [picture.index for picture, _ in found] == list(range(2 * COUNT))
    for picture, image in found:
        np.testing.assert_array_equal(image, IMAGES[picture.index % COUNT])
