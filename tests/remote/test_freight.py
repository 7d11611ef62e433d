"""What goes along with a message, packed in every way, and what is refused of what comes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from streamseg.errors import WireError
from streamseg.messages import Embedded, Frame, Segmented, Stamp, View
from streamseg.remote.freight import Loader, billed, unload
from streamseg.remote.packing import opened, packed
from streamseg.remote.terms import Slice, Waybill
from streamseg.transport.slots import HEADER_BYTES, SlotBuffer, make_shared_file
from streamseg.transport.wire import MessageDecoder, MessageEncoder, with_sent_ns

SLOTS, SLOT_BYTES = 3, 1 << 20


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    chance = np.random.default_rng(0)
    return cv2.GaussianBlur(chance.integers(0, 256, (height, width, 3), np.uint8), (9, 9), 3)


def stamp(ticket: int = 1, generation: int = 5) -> Stamp:
    return Stamp("film", 7, 7, None, (1, 25), 1, ticket, generation)


@pytest.fixture
def machines() -> Iterator[tuple[dict[int, SlotBuffer], dict[int, SlotBuffer]]]:
    """The buffers of two machines: 0 is written on the first, 1 on the second."""
    fds = [make_shared_file(SLOTS * SLOT_BYTES) for _ in range(4)]
    here = {number: SlotBuffer(fds[number], SLOTS, SLOT_BYTES, writable=True) for number in (0, 1)}
    there = {number: SlotBuffer(fds[2 + number], SLOTS, SLOT_BYTES, writable=True) for number in (0, 1)}
    yield here, there
    for fd in fds:
        os.close(fd)


def put(buffer: SlotBuffer, array: np.ndarray, of: Stamp) -> np.ndarray:
    slot = buffer.empty(of.ticket, of.generation, array.shape, array.dtype)
    slot[...] = array
    return slot


def sent(loader: Loader, parts: list[Any]) -> tuple[Waybill, list[memoryview]]:
    head, *rest = loader.load("in", parts)
    return msgspec.msgpack.decode(head, type=Waybill), list(map(memoryview, rest))


def test_there_and_back_only_what_is_not_there_travels(machines: Any) -> None:
    """The picture goes there, the features come back, and the message means the same on both sides."""
    here, there = machines
    image = put(here[0], picture(), stamp())
    parts = with_sent_ns(MessageEncoder(here, None).encode(Frame(stamp(), image)))
    waybill, rest = sent(Loader([Frame], here, [1], "raw", 95), parts)
    assert [each.buffer for each in waybill.slices] == [0]
    frame = MessageDecoder([Frame], there).decode(unload(waybill, rest, {0: there[0]}))
    assert isinstance(frame, Frame)
    assert (frame.image_rgb == image).all()
    features = put(there[1], np.arange(2048, dtype=np.float32).reshape(2, 32, 32), stamp())
    embedded = Embedded(frame, [View((0, 0, 64, 48), (48, 64), features)], "tiny")
    parts = with_sent_ns(MessageEncoder(there, None).encode(embedded))
    waybill, rest = sent(Loader([Embedded], there, [0], "raw", 95), parts)
    assert [each.buffer for each in waybill.slices] == [1], "the picture is there already"
    back = MessageDecoder([Embedded], here).decode(unload(waybill, rest, {1: here[1]}))
    assert isinstance(back, Embedded)
    assert (back.views[0].features == features).all()
    assert np.shares_memory(back.frame.image_rgb, image), "the first machine sees its own picture"


def test_the_time_of_sending_is_that_of_the_machine(machines: Any) -> None:
    here, there = machines
    parts = [*MessageEncoder(here, None).encode(Frame(stamp(), put(here[0], picture(), stamp()))), bytes(8)]
    waybill, rest = sent(Loader([Frame], here, [1], "raw", 95), parts)
    arrived = unload(waybill, rest, {0: there[0]})
    assert len(arrived) == len(parts)
    assert arrived[-1] != bytes(8)


def test_what_was_handed_out_again_is_not_sent(machines: Any) -> None:
    here, there = machines
    parts = with_sent_ns(MessageEncoder(here, None).encode(Frame(stamp(), put(here[0], picture(), stamp()))))
    put(here[0], picture(), stamp(generation=6))
    waybill, rest = sent(Loader([Frame], here, [1], "raw", 95), parts)
    assert not waybill.slices
    with pytest.raises(WireError, match="handed out again"):
        MessageDecoder([Frame], there).decode(unload(waybill, rest, {0: there[0]}))


def test_what_comes_late_does_not_replace_what_is_newer(machines: Any) -> None:
    here, there = machines
    put(there[0], picture() // 2, stamp(generation=9))
    parts = with_sent_ns(MessageEncoder(here, None).encode(Frame(stamp(), put(here[0], picture(), stamp()))))
    unload(*sent(Loader([Frame], here, [1], "raw", 95), parts), {0: there[0]})
    assert there[0].generation(1) == 9
    assert (there[0].view(SLOT_BYTES + HEADER_BYTES, (48, 64, 3), np.dtype(np.uint8)) == picture() // 2).all()


@pytest.mark.parametrize("mode", ["raw", "lossless", "jpeg"])
@pytest.mark.parametrize(
    "array",
    [
        picture(),
        picture(1, 1),
        picture(3, 4000),
        np.zeros((480, 640), np.uint16),
        np.random.default_rng(1).integers(0, 2**16, (64, 64), np.uint16),
        np.random.default_rng(1).random((64, 64), np.float32),
        np.zeros((0, 5), np.int64),
        np.random.default_rng(1).integers(0, 255, (64, 64, 4), np.uint8),
        np.zeros((100, 100), bool),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_every_packing_gives_the_array_back(mode: Any, array: np.ndarray) -> None:
    packing, data = packed(array, mode, 95)
    dtype = array.dtype.str
    found = np.frombuffer(opened(packing, data, dtype, list(array.shape)), dtype).reshape(array.shape)
    if packing == "jpeg":
        assert mode == "jpeg"
        assert np.abs(found.astype(int) - array).mean() < 3
    else:
        assert (found == array).all()
    assert mode == "raw" or packing != "jpeg" or array.shape[-1] == 3


def test_masks_get_small_and_colors_stay_where_they_are() -> None:
    labels = np.zeros((1080, 1920), np.uint16)
    labels[100:300, 200:900] = 1
    assert len(packed(labels, "jpeg", 95)[1]) < labels.nbytes / 50
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    found = np.frombuffer(opened(*packed(red, "jpeg", 95), "|u1", [64, 64, 3]), np.uint8).reshape(64, 64, 3)
    assert found[..., 0].min() > 245
    assert found[..., 1:].max() < 10


JPEG = packed(picture(), "jpeg", 95)[1]


@pytest.mark.parametrize(
    ("packing", "data", "dtype", "shape", "said"),
    [
        ("raw", b"abc", "|u1", [4], "4 bytes came with 3"),
        ("pickle", b"abc", "|u1", [3], "packed as 'pickle'"),
        ("raw", b"abc", "|O", [3], "cannot be received"),
        ("zlib", b"abc", "|u1", [3], "cannot be decompressed"),
        ("zlib", zlib.compress(bytes(1 << 24)), "|u1", [10], "10 bytes came with 11"),
        ("jpeg", JPEG, "|u1", [48, 65, 3], "another size"),
        ("jpeg", JPEG[: len(JPEG) // 3] + b"\0", "<u2", [48, 64, 3], "packed as 'jpeg'"),
        ("jpeg", b"", "|u1", [48, 64, 3], "cannot be decoded"),
        ("delta", b"junk", "|u1", [48, 64, 3], "cannot be decompressed"),
        ("delta", zlib.compress(bytes(48 * 64)), "|u1", [48, 64, 3], "9216 bytes came with 3072"),
        ("delta", zlib.compress(bytes(48)), "<u2", [4, 2, 3], "packed as 'delta'"),
    ],
)
def test_what_is_not_that_array_is_refused(packing: str, data: bytes, dtype: str, shape: list[int], said: str) -> None:
    with pytest.raises(WireError, match=said):
        opened(packing, data, dtype, shape)


@pytest.mark.parametrize(
    ("slices", "parts", "said"),
    [
        ([Slice(1, SLOT_BYTES + 64, 1, "raw", "|u1", [1])], [b"h", b"x"], "which is not written from there"),
        ([Slice(0, 0, 1, "raw", "|u1", [1])], [b"h", b"x"], "not within one slot"),
        ([Slice(0, SLOT_BYTES - 1, 1, "raw", "|u1", [2])], [b"h", b"xy"], "not within one slot"),
        ([Slice(0, SLOTS * SLOT_BYTES + 64, 1, "raw", "|u1", [1])], [b"h", b"x"], "not within one slot"),
    ],
)
def test_nothing_is_written_beside_its_slot(machines: Any, slices: list[Slice], parts: list[bytes], said: str) -> None:
    here, _ = machines
    with pytest.raises(WireError, match=said):
        unload(Waybill("in", 1, slices), list(map(memoryview, parts)), {0: here[0]})


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"junk"],
        [msgspec.msgpack.encode(Waybill("in", 1))],
        [msgspec.msgpack.encode(Waybill("in", 0))],
        [msgspec.msgpack.encode(Waybill("in", 1)), b"h", b"x"],
        [msgspec.msgpack.encode(Waybill("in", 1, [Slice(0, 64, 1, "raw", "|u1", [1])])), b"h"],
    ],
)
def test_a_bill_that_is_not_of_its_parts_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        billed(list(map(memoryview, parts)))


def test_a_message_without_arrays_goes_as_it_is(machines: Any) -> None:
    here, there = machines
    message = Segmented(Frame(stamp(), np.zeros((2, 2, 3), np.uint8)), [], np.zeros((2, 2), np.uint16))
    parts = with_sent_ns(MessageEncoder(here, None).encode(message))
    waybill, rest = sent(Loader([Segmented], here, [], "jpeg", 95), parts)
    assert not waybill.slices
    assert list(map(bytes, unload(waybill, rest, {})))[:-1] == list(map(bytes, parts[:-1]))
    assert isinstance(MessageDecoder([Segmented], there).decode(unload(waybill, rest, {})), Segmented)
