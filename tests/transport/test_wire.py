from __future__ import annotations

import os
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamseg.errors import WireError
from streamseg.messages import Embedded, End, Frame, Gap, Message, Segmented, Stamp, View
from streamseg.transport.slots import SlotBuffer, make_shared_file
from streamseg.transport.wire import (
    DTYPES,
    INLINE_MAX_BYTES,
    MessageDecoder,
    MessageEncoder,
    sent_ns,
    stamp_of,
    with_sent_ns,
)

TYPES = [Frame, Embedded, Segmented, Gap, End]


def stamp(ticket=0, generation=1, seq=0):
    return Stamp("cam", seq, seq, 40, (1, 1000), 5, ticket, generation)


class Shared:
    """One slot buffer as its owner and as a reader see it."""

    def __init__(self, slots=2, slot_bytes=1 << 20):
        self.fd = make_shared_file(slots * slot_bytes)
        self.owner = SlotBuffer(self.fd, slots, slot_bytes, writable=True)
        self.reader = SlotBuffer(self.fd, slots, slot_bytes, writable=False)
        self.encoder = MessageEncoder({4: self.owner}, self.place)
        self.decoder = MessageDecoder(TYPES, {4: self.reader})

    def place(self, stamp, array):
        copy = self.owner.empty(stamp.ticket, stamp.generation, array.shape, array.dtype)
        copy[...] = array
        return copy


@pytest.fixture
def shared():
    made = Shared()
    yield made
    os.close(made.fd)


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(sorted(DTYPES)).map(np.dtype),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
        elements={"allow_nan": False},
    )
)
def test_any_array_survives_without_shared_memory(array):
    view = View((0, 0, 1, 1), (1, 1), array)
    message = Embedded(Frame(stamp(), np.zeros((1, 1, 3), np.uint8)), [view], "tiny")
    parts = [bytes(part) for part in MessageEncoder({}, None).encode(message)]
    back = MessageDecoder(TYPES, {}).decode(parts)
    features = back.views[0].features
    assert features.dtype == array.dtype
    assert features.shape == array.shape
    assert (features == array).all()
    assert back.stamp == message.stamp


def test_a_large_array_travels_as_a_reference(shared):
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    parts = shared.encoder.encode(Frame(stamp(), image))
    assert len(parts) == 1
    assert len(parts[0]) < image.nbytes / 100
    assert (shared.decoder.decode(parts).image_rgb == image).all()


def test_an_array_that_is_in_its_slot_already_is_not_copied(shared):
    image = shared.owner.empty(0, 1, (100, 100, 3), np.uint8)
    image[...] = 1
    received = shared.decoder.decode(shared.encoder.encode(Frame(stamp(), image)))
    image[...] = 2
    assert (received.image_rgb == 2).all()


def test_what_came_before_is_passed_on_by_reference(shared):
    frame = Frame(stamp(), shared.owner.empty(0, 1, (100, 100, 3), np.uint8))
    parts = shared.encoder.encode(Segmented(frame, [], np.zeros((100, 100), np.uint16)))
    again = shared.encoder.encode(Segmented(frame, [], np.ones((100, 100), np.uint16)))
    first, second = shared.decoder.decode(parts), shared.decoder.decode(again)
    assert first.frame.image_rgb.__array_interface__["data"] == second.frame.image_rgb.__array_interface__["data"]


def test_an_array_of_another_frame_is_copied(shared):
    kept = shared.owner.empty(0, 1, (100, 100, 3), np.uint8)
    kept[...] = 3
    received = shared.decoder.decode(shared.encoder.encode(Frame(stamp(ticket=1), kept)))
    kept[...] = 9
    assert (received.image_rgb == 3).all()


def test_a_slot_handed_out_again_is_noticed(shared):
    parts = shared.encoder.encode(Frame(stamp(), np.zeros((100, 100, 3), np.uint8)))
    shared.owner.empty(0, 2, (1,), np.uint8)
    with pytest.raises(WireError, match="handed out again"):
        shared.decoder.decode(parts)


def test_received_arrays_are_read_only(shared):
    received = shared.decoder.decode(shared.encoder.encode(Frame(stamp(), np.zeros((2, 2, 3), np.uint8))))
    with pytest.raises(ValueError, match="read-only"):
        received.image_rgb[0, 0, 0] = 1


def test_a_type_the_port_does_not_take_is_refused(shared):
    parts = shared.encoder.encode(Frame(stamp(), np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(WireError, match="not a valid message"):
        MessageDecoder([Segmented, Gap, End], {}).decode(parts)


@pytest.mark.parametrize("value", [object(), np.zeros(2, object), np.zeros(2, "datetime64[s]"), np.zeros(2, complex)])
def test_what_cannot_travel_is_refused_by_the_sender(value):
    class Odd(Message, frozen=True):
        stamp: Stamp
        value: object

    with pytest.raises(WireError, match="cannot be sent"):
        MessageEncoder({}, None).encode(Odd(stamp(), value))


def forged(ref, parts=()):
    """A frame whose image reference was written by an enemy."""
    packed = msgspec.msgpack.encode({"type": "Frame", "stamp": msgspec.to_builtins(stamp()), "image_rgb": ref})
    return [packed, *parts]


@pytest.mark.parametrize(
    "ref",
    [
        ["|u1", [4], 9, 64, 0, 1],
        ["|u1", [4], 4, 0, 0, 1],
        ["|u1", [1 << 40], 4, 64, 0, 1],
        ["|u1", [1 << 21], 4, 64, 0, 1],
        ["|u1", [-4], 4, 64, 0, 1],
        ["|u1", [4], 4, -64, 0, 1],
        ["|u1", [4], 4, 1 << 62, 0, 1],
        ["|u1", [4], 4, 64, 1, 1],
        ["|O", [4], 4, 64, 0, 1],
        ["|S8", [4], -1, 0, 0, 0],
        ["|u1", [4], -1, 0, 0, 0],
        ["|u1", [4], -1, 7, 0, 0],
        ["|u1", [2] * 9, -1, 0, 0, 0],
        ["|u1", [4], -2, 0, 0, 0],
        ["|u1"],
        "not a list",
        None,
    ],
)
def test_a_forged_reference_is_refused_before_an_array_is_made(shared, ref):
    shared.owner.empty(0, 1, (1,), np.uint8)
    with pytest.raises(WireError):
        shared.decoder.decode(forged(ref, [b"123"]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=3))
def test_random_bytes_are_refused(parts):
    with pytest.raises(WireError):
        MessageDecoder(TYPES, {}).decode(parts)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_messages_are_refused_or_read_but_nothing_else_happens(data):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    parts = [bytearray(part) for part in MessageEncoder({}, None).encode(Frame(stamp(), image))]
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(parts[0]) - 1))
        parts[0][position] = data.draw(st.integers(0, 255))
    try:
        back = MessageDecoder(TYPES, {}).decode([bytes(part) for part in parts])
    except WireError:
        return
    assert isinstance(back, tuple(TYPES))


def test_a_slot_of_another_frame_is_refused(shared):
    """Whoever forges a header cannot read what belongs to a frame that is not its own."""
    shared.owner.empty(1, 5, (4,), np.uint8)
    with pytest.raises(WireError, match="another frame"):
        shared.decoder.decode(forged(["|u1", [4], 4, (1 << 20) + 64, 1, 5]))


def test_numbers_must_lie_where_numbers_can(shared):
    shared.owner.empty(0, 1, (1,), np.uint8)
    with pytest.raises(WireError, match="no place for numbers"):
        shared.decoder.decode(forged(["<f4", [4], 4, 66, 0, 1]))


def test_what_no_receiver_would_take_is_refused_by_the_sender():
    message = Frame(stamp(), np.zeros((5000, 5000, 3), np.uint8))
    with pytest.raises(WireError, match="the limit is 64 MiB"):
        MessageEncoder({}, None).encode(message)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.lists(st.tuples(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(max_dims=3, max_side=40)), max_size=4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_frames_share_slots_and_every_array_is_its_own(frames):
    """Small arrays in the message, large ones in the slot, tickets handed out again and again: what is read is what
    was sent, and a message whose slot has gone to a later frame is refused."""
    shared = Shared()
    rng = np.random.default_rng(0)
    last = {}
    for generation, (ticket, views) in enumerate(frames, 1):
        arrays = [rng.integers(0, 2, shape).astype(dtype) for dtype, shape in views]
        frame = Frame(stamp(ticket, generation, generation), rng.integers(0, 255, (64, 64, 3), np.uint8))
        message = Embedded(frame, [View((0, 0, 1, 1), (1, 1), array) for array in arrays], "tiny")
        parts = [bytes(part) for part in shared.encoder.encode(message)]
        assert all(len(part) <= INLINE_MAX_BYTES for part in parts[1:])
        if ticket in last:
            with pytest.raises(WireError, match="handed out again"):
                shared.decoder.decode(last[ticket])
        last[ticket] = parts
        for back in (shared.decoder.decode(parts), shared.decoder.decode(parts)):
            assert (back.frame.image_rgb == frame.image_rgb).all()
            for view, array in zip(back.views, arrays, strict=True):
                assert view.features.dtype == array.dtype and (view.features == array).all()
    os.close(shared.fd)


def test_the_frame_of_an_unreadable_message_is_known_by_its_outermost_stamp() -> None:
    def packed(value: object) -> list[bytes]:
        return [msgspec.msgpack.encode(value)]

    broken = {"type": "Segmented", "objects": 3, "frame": {"type": "Frame", "stamp": stamp(seq=7), "image_rgb": None}}
    assert stamp_of(packed(broken)) == stamp(seq=7)
    assert stamp_of(packed({"earlier": broken, "stamp": stamp(seq=9)})) == stamp(seq=9)
    deep: object = broken
    for _ in range(50):
        deep = {"frame": deep}
    for nothing in ([], [b""], [b"\xc1"], packed(3), packed({"stamp": 3}), packed({"frame": {}}), packed(deep)):
        assert stamp_of(nothing) is None


def test_the_time_of_sending_travels_with_a_message_and_is_no_part_of_it():
    before_ns = time.monotonic_ns()
    parts = with_sent_ns([b"header", b"array"])
    assert parts[:2] == [b"header", b"array"]
    assert before_ns <= sent_ns(parts) <= time.monotonic_ns()
    for unsaid in ([], [b"\0" * 8], [b"header", b"array"]):
        assert sent_ns(unsaid) is None
