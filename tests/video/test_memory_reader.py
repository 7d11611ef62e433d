"""Frames in memory on their way: from a caller's iterator over a pipe to a reader, without a graph."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from streamseg_nodes.decode import Decode
from support.disks import picture
from support.graphs import wait_until

from streamseg import frame_pipe
from streamseg.errors import MediaError, StreamsegError, UsageError
from streamseg.jobs import Job
from streamseg.node import NodeContext
from streamseg.runtime.library.feeder import Feeder
from streamseg.video.memory_reader import MemoryReader
from streamseg.video.open import Reader, SourceKind, classify, open_source
from streamseg.video.source import is_pipe, source_facts

IMAGES = [picture(index) for index in range(6)]


def read(frames: Iterable[Any], **options: Any) -> list[tuple[int, float | None, np.ndarray]]:
    """What comes out at the other end: index, time, pixels."""
    feeder_options = {key: options.pop(key) for key in ("bgr", "gray") if key in options}
    with Feeder(frames, **feeder_options) as feeder, open_source(feeder.source, **options) as reader:
        return [(each.index, each.pts_s, each.to_rgb()) for each in reader]


def test_frames_come_out_as_they_went_in() -> None:
    given = [(image, None if index == 2 else 10 + index / 3) for index, image in enumerate(IMAGES)]
    found = read(iter(given))
    assert [index for index, _, _ in found] == list(range(6))
    assert [None if s is None else round(s, 9) for _, s, _ in found] == [
        None if s is None else round(s, 9) for _, s in given
    ]
    for (_, _, image), (expected, _) in zip(found, given, strict=True):
        assert np.array_equal(image, expected)


def test_large_frames_come_whole() -> None:
    large = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), np.uint8)
    found = read([large, large[::-1]])
    assert np.array_equal(found[0][2], large)
    assert np.array_equal(found[1][2], large[::-1])


def test_colors_and_sizes_are_made_the_same() -> None:
    bgr = [image[..., ::-1] for image in IMAGES]
    assert all(np.array_equal(found, image) for (_, _, found), image in zip(read(bgr, bgr=True), IMAGES, strict=True))
    gray = cv2.cvtColor(IMAGES[0], cv2.COLOR_RGB2GRAY)
    assert np.array_equal(read([gray], gray=True)[0][2], np.dstack([gray] * 3))
    with Feeder([IMAGES[0], cv2.resize(IMAGES[1], (480, 360))]) as feeder, open_source(feeder.source) as reader:
        pictures = list(reader)
    assert [each.size_in_source for each in pictures] == [(240, 180), (480, 360)]
    assert (pictures[1].width, pictures[1].height) == (240, 180)


def test_it_begins_later_and_ends_earlier_where_that_is_asked_for() -> None:
    found = read(iter(IMAGES), start_index=2, max_frames=3)
    assert [index for index, _, _ in found] == [2, 3, 4]
    assert np.array_equal(found[0][2], IMAGES[2])


def test_no_more_is_taken_of_an_iterator_than_fits_on_the_way() -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        for number in itertools.count():
            taken.append(number)
            yield np.zeros((1080, 1920, 3), np.uint8)

    with Feeder(endless()) as feeder, open_source(feeder.source) as reader:
        assert wait_until(lambda: len(taken) == 1)
        for count in range(1, 5):
            next(reader)
            assert wait_until(lambda count=count: len(taken) > count)
            # Had it been going to take more, it would have by the next turn: it waits at the pipe.
            assert len(taken) == count + 1


def test_an_iterator_that_never_ends_is_let_go_of() -> None:
    closed = threading.Event()

    def endless() -> Iterator[np.ndarray]:
        try:
            yield from itertools.cycle(IMAGES)
        finally:
            closed.set()

    with Feeder(endless()) as feeder, open_source(feeder.source) as reader:
        next(reader)
    assert closed.wait(20)


def test_what_an_iterator_raises_comes_out_after_the_frames_before_it() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from IMAGES[:2]
        raise ValueError("the lens fell off")

    with Feeder(broken()) as feeder, open_source(feeder.source) as reader:
        assert [next(reader).index, next(reader).index] == [0, 1]
        with pytest.raises(MediaError, match="expected frame 2, but its iterator raised ValueError: the lens fell off"):
            next(reader)
        assert isinstance(feeder.error, MediaError)
        assert isinstance(feeder.error.__cause__, ValueError)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([IMAGES[0], IMAGES[1] / 255], "frame 1: expected a picture of uint8"),
        ([IMAGES[0], (IMAGES[1], "now")], "frame 1: expected the time of a frame in seconds, got a str"),
        ([(IMAGES[0], float("inf"))], "frame 0: expected the time of a frame in seconds, got inf"),
        (["a.png"], "frame 0: .*got a str"),
    ],
)
def test_a_wrong_frame_is_named(frames: list[Any], said: str) -> None:
    with Feeder(iter(frames)) as feeder, open_source(feeder.source) as reader:
        with pytest.raises(MediaError, match=said):
            list(reader)
        assert isinstance(feeder.error, UsageError)


def test_none_at_all_is_an_error() -> None:
    with pytest.raises(MediaError, match="expected at least one frame, got none"):
        read(iter([]))


def test_a_reader_that_waits_for_a_slow_iterator_can_be_stopped() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[np.ndarray]:
        yield IMAGES[0]
        go_on.wait(60)

    with Feeder(slow()) as feeder, open_source(feeder.source) as reader:
        next(reader)
        threading.Timer(0.1, reader.stop).start()
        assert list(reader) == []
        go_on.set()


@pytest.mark.parametrize("live", [None, True])
def test_what_is_known_before_the_first_frame(live: bool | None) -> None:
    node = None
    with Feeder(iter(IMAGES)) as feeder:
        node = Decode(Decode.Config(source=feeder.source, live=live))
        node.setup()
        assert node.policy == ("freshest" if live else "every-frame")
        facts = node.describe()
        assert (facts["kind"], facts["width"], facts["live"]) == ("memory", None, bool(live))
        (first, *rest) = node.produce()
        assert (first.good_until_monotonic_ns is not None) is bool(live)
        assert first.captured_clock == "arrival"
        assert 0 <= time.monotonic_ns() - first.arrived_monotonic_ns < 120e9
        assert len(rest) == 5
        assert node.describe()["width"] == 240
        node.close()


def test_a_run_cannot_go_on_with_an_iterator() -> None:
    with Feeder(iter(IMAGES)) as feeder:
        node = Decode(Decode.Config(source=feeder.source), NodeContext("decode", job=Job(facts={}, begun=True)))
        with pytest.raises(MediaError, match="their iterator cannot be gone back in; begin a new run"):
            node.setup()


def test_it_is_named_by_its_pipe() -> None:
    feeder = Feeder(IMAGES)
    assert classify(feeder.source) is SourceKind.MEMORY
    assert source_facts(feeder.source) is None
    assert not is_pipe(feeder.source)


@pytest.mark.parametrize("begun", [True, False])
def test_no_files_are_left_open(begun: bool) -> None:
    def open_files() -> list[str]:
        gc.collect()
        return sorted(path.name for path in Path("/proc/self/fd").iterdir())

    before = open_files()
    feeder = Feeder(iter(IMAGES))
    if begun:
        with feeder:
            time.sleep(0)
    del feeder
    assert wait_until(lambda: open_files() == before)


def bytes_of(data: bytes) -> Reader:
    """A reader of a pipe with this in it, and nobody who writes more."""
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    reader = open_source(f"frames:///proc/self/fd/{read_end}")
    os.close(write_end)
    os.close(read_end)
    return reader


def header(kind: int, width: int, height: int, text_bytes: int = 0) -> bytes:
    return frame_pipe._HEADER.pack(frame_pipe._MAGIC, kind, width, height, 0, 0, 0, 0, 0, text_bytes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"RIFF" * 100, "got other bytes"),
        (header(0, 4, 4), "the process that gave them is gone"),
        (header(0, 4, 4)[:20], "the process that gave them is gone"),
        (header(0, 1 << 31, 1 << 31), "expected a frame of at most"),
        (header(0, 0, 4), "expected a frame of at most"),
        (header(9, 4, 4), "got other bytes"),
        (header(2, 0, 0, 1 << 31), "got other bytes"),
        (header(2, 0, 0, 3) + b"\xff\xfe!", "!"),
        (header(0, 4, 4) + bytes(48) + header(0, 4, 5) + bytes(60), "of 4x4 like the first, got one of 4x5"),
    ],
)
def test_other_bytes_are_refused(data: bytes, said: str) -> None:
    with bytes_of(data) as reader, pytest.raises(MediaError, match=said):
        list(reader)


def test_what_is_no_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(MediaError, match="is none; give segment_video the frames"):
        open_source(f"frames://{tmp_path}/a")
    with pytest.raises(MediaError, match="cannot be opened: No such file or directory; begin a new run"):
        MemoryReader(tmp_path / "b", live=False, start_index=0, max_frames=None, max_pixels=9, max_age_s=1)
    with pytest.raises(StreamsegError):
        open_source("frames://")
