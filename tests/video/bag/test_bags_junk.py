"""Bags of strangers: whatever bytes are in them, there are pictures or a sentence, and no more memory than is taken."""

from __future__ import annotations

import contextlib
import random
import resource
import struct
from pathlib import Path

import pytest
import zstandard
from mcap.writer import CompressionType
from support.bags import (
    foxglove_mcap,
    foxglove_message,
    json_mcap,
    raw_message,
    ros_bag,
    ros_mcap,
    stamp_ns,
    video_messages,
)
from support.media import moving_images

from streamseg.errors import MediaError, StreamsegError
from streamseg.video.bag.topics import DamagedMessageError
from streamseg.video.bag.unpacking import unpack
from streamseg.video.open import open_source

IMAGES = moving_images(8, 48, 32)
RAW = [raw_message(image, stamp_ns(number)) for number, image in enumerate(IMAGES)]

MAKERS = {
    "zstd": lambda path: ros_mcap(path, RAW, chunk_size=9_000),
    "plain": lambda path: ros_mcap(path, RAW, compression=CompressionType.NONE, chunk_size=9_000),
    "unchunked": lambda path: ros_mcap(path, RAW, use_chunking=False),
    "protobuf": lambda path: foxglove_mcap(path, [foxglove_message("RawImage", i, n) for n, i in enumerate(IMAGES)]),
    "json": lambda path: json_mcap(path, IMAGES),
    "video": lambda path: foxglove_mcap(path, video_messages(moving_images(8), "h264")),
    "sqlite": lambda path: next(ros_bag(path.with_suffix(""), RAW).glob("*.db3")),
}


def read(path: Path) -> None:
    with contextlib.suppress(StreamsegError), open_source(str(path)) as reader:
        for picture in reader:
            picture.to_rgb()


@pytest.mark.parametrize("name", MAKERS)
def test_damaged_bytes_are_pictures_or_a_sentence(name: str, tmp_path: Path) -> None:
    path = MAKERS[name](tmp_path / "bag.mcap")
    data, chance = path.read_bytes(), random.Random(name)
    target = tmp_path / f"damaged{path.suffix}"
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.randint(1, 8)] = chance.randbytes(chance.randint(0, 8))
        target.write_bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])])
        read(target)


@pytest.mark.parametrize("name", ["zstd", "sqlite"])
def test_junk_at_the_head_or_the_tail(name: str, tmp_path: Path) -> None:
    path = MAKERS[name](tmp_path / "bag.mcap")
    data, chance = path.read_bytes(), random.Random(0)
    for _ in range(60):
        at = chance.choice([chance.randrange(200), len(data) - 1 - chance.randrange(min(len(data) - 1, 3000))])
        damaged = bytearray(data)
        damaged[at] = chance.randrange(256)
        path.write_bytes(damaged)
        read(path)


def test_what_unpacks_to_more_than_it_says_is_not_unpacked() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = zstandard.ZstdCompressor().compress(bytes(512 << 20))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedMessageError, match="not as long as it says"):
        unpack("zstd", bomb, 1000)
    with pytest.raises(DamagedMessageError, match="more than the 1024 MiB"):
        unpack("zstd", bomb, 1 << 40)
    with pytest.raises(DamagedMessageError, match="expected zstd or lz4"):
        unpack("brotli", b"", 10)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - max(before, grown) < 100 << 10


def test_sizes_that_are_only_claimed_take_no_memory(tmp_path: Path) -> None:
    path = ros_mcap(tmp_path / "bag.mcap", RAW, use_chunking=False)
    data = path.read_bytes()
    at = data.index(b"\x05" + struct.pack("<Q", len(RAW[0]) + 22))
    path.write_bytes(data[: at + 1] + struct.pack("<Q", 1 << 62) + data[at + 9 :])
    with contextlib.suppress(MediaError), open_source(str(path)) as reader:
        assert list(reader) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20
