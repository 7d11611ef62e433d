from __future__ import annotations

import os
import shutil
import stat

import numpy as np
import pytest

from streamseg.errors import RunError, WireError
from streamseg.transport.slots import HEADER_BYTES, SlotBuffer, make_shared_file
from streamseg.transport.sockets import make_run_dir

SLOTS, SLOT_BYTES = 3, 1 << 20


@pytest.fixture
def fd():
    number = make_shared_file(SLOTS * SLOT_BYTES)
    yield number
    os.close(number)


def both(fd):
    return SlotBuffer(fd, SLOTS, SLOT_BYTES, writable=True), SlotBuffer(fd, SLOTS, SLOT_BYTES, writable=False)


def test_what_the_owner_writes_a_reader_sees_without_a_copy(fd):
    owner, reader = both(fd)
    array = owner.empty(2, 1, (5, 7), np.float32)
    array[...] = np.arange(35).reshape(5, 7)
    seen = reader.view(owner.find(array), (5, 7), np.dtype(np.float32))
    assert (seen == array).all()
    array[0, 0] = -1
    assert seen[0, 0] == -1


def test_a_reader_cannot_write(fd):
    owner, reader = both(fd)
    offset = owner.find(owner.empty(0, 1, (4,), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        reader.view(offset, (4,), np.dtype(np.uint8))[0] = 1


def test_arrays_of_one_frame_do_not_overlap_and_the_next_frame_uses_the_room_again(fd):
    owner, _ = both(fd)
    first, second = owner.empty(1, 1, (100,), np.uint8), owner.empty(1, 1, (100,), np.uint8)
    assert owner.find(second) >= owner.find(first) + 100
    again = owner.empty(1, 2, (100,), np.uint8)
    assert owner.find(again) == owner.find(first)


def test_a_slot_knows_its_generation(fd):
    owner, reader = both(fd)
    assert reader.generation(1) == 0
    owner.empty(1, 7, (1,), np.uint8)
    assert reader.generation(1) == 7


def test_a_full_slot_says_what_to_change(fd):
    owner, _ = both(fd)
    with pytest.raises(RunError, match="slot_mb"):
        owner.empty(0, 1, (SLOT_BYTES,), np.uint8)


def test_arrays_elsewhere_or_not_contiguous_are_not_found(fd):
    owner, _ = both(fd)
    array = owner.empty(0, 1, (10, 10), np.uint8)
    assert owner.find(np.zeros((10, 10), np.uint8)) is None
    assert owner.find(array[:, ::2]) is None
    assert owner.find(array[2:5]) == owner.find(array) + 20


@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, 1), (HEADER_BYTES - 1, 1), (SLOT_BYTES - 10, 20), (SLOTS * SLOT_BYTES, 1), (-1, 1)],
)
def test_a_view_outside_one_slot_is_refused(fd, offset, count):
    _, reader = both(fd)
    with pytest.raises(WireError, match="slot"):
        reader.view(offset, (count,), np.dtype(np.uint8))


def test_memory_is_taken_up_only_where_it_is_written():
    size = 1 << 33
    fd = make_shared_file(size)
    try:
        SlotBuffer(fd, 4, size // 4, writable=True).empty(3, 1, (1000,), np.uint8)[...] = 1
        assert os.fstat(fd).st_blocks * 512 < 1 << 20
    finally:
        os.close(fd)


def test_the_directory_of_the_sockets_is_private(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    before = os.umask(0)
    try:
        run_dir, owner_fd = make_run_dir()
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
    finally:
        os.close(owner_fd)
        shutil.rmtree(run_dir)
