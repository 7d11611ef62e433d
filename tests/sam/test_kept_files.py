"""Files that can be made anew: bounded, whole or not there, used by several processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamseg.sam.files.kept_files import KeptFiles


def opened(folder: Path, most_bytes: int = 1 << 20) -> KeptFiles:
    return KeptFiles(folder, ".thing", b"THING1", most_bytes)


def test_what_one_kept_another_finds(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "down"
    opened(folder).put(b"one", b"body")
    assert opened(folder).get(b"one") == b"body"
    assert opened(folder).get(b"two") is None
    assert [path.suffix for path in folder.iterdir()] == [".thing"], "nothing half written is left"


@pytest.mark.parametrize("damage", ["byte", "magic", "cut", "empty", "renamed"])
def test_what_is_damaged_is_not_there(tmp_path: Path, damage: str) -> None:
    files = opened(tmp_path)
    files.put(b"one", b"body")
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "renamed":
        path.rename(tmp_path / f"{b'two'.hex()}.thing")
        assert files.get(b"two") is None
        return
    if damage in ("byte", "magic"):
        data[0 if damage == "magic" else -1] ^= 1
    path.write_bytes(data if damage in ("byte", "magic") else data[: 20 if damage == "cut" else 0])
    assert files.get(b"one") is None
    assert not path.exists()


def test_the_last_used_stay(tmp_path: Path) -> None:
    files = opened(tmp_path, most_bytes=5000)
    for number in range(8):
        files.put(bytes([number]), bytes(1000))
        if number != 1:
            os.utime(tmp_path / f"{bytes([number]).hex()}.thing", ns=(number, number))
    assert files.get(bytes([1])) is not None
    assert files.get(bytes([7])) is not None
    assert files.get(bytes([0])) is None
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5000


def test_without_room_nothing_is_kept(tmp_path: Path) -> None:
    files = opened(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    files.put(b"one", b"body")
    assert files.get(b"one") is None
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        opened(tmp_path / "file")
