"""The commit log survives what happens to files in a crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamseg import commits
from streamseg.commits import Began, CommitLog, Committed
from streamseg.errors import OutputError
from streamseg.jobs import Position


def commit(seq: int, tracker: bytes = b"\x07") -> Committed:
    return Committed(Position(seq=seq, next_index=2 * seq, tracker=tracker, failed=1), {"tracks_bytes": 10 * seq})


def write(folder: Path, count: int) -> None:
    log = CommitLog(folder, Began({"graph": [1, "a"]}, 0), None)
    for seq in range(1, count + 1):
        log.append(commit(seq))
    log.close()


def test_the_last_commit_is_read_back(tmp_path: Path) -> None:
    assert commits.read(tmp_path) is None
    write(tmp_path, 3)
    found = commits.read(tmp_path)
    assert found is not None
    assert (found.began, found.last) == (Began({"graph": [1, "a"]}, 0), commit(3))
    assert found.whole_bytes == (tmp_path / commits.NAME).stat().st_size


def test_a_log_that_was_cut_off_anywhere_ends_with_a_whole_commit(tmp_path: Path) -> None:
    write(tmp_path, 2)
    path = tmp_path / commits.NAME
    whole = path.read_bytes()
    lasts = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = commits.read(tmp_path)
        lasts.append(-1 if found is None else 0 if found.last is None else found.last.position.seq)
    assert lasts == sorted(lasts)
    assert set(lasts) == {-1, 0, 1, 2}
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged = commits.read(tmp_path)
    assert damaged is not None and damaged.last == commit(1)


def test_going_on_cuts_off_the_rest_and_counts_the_start(tmp_path: Path) -> None:
    write(tmp_path, 2)
    path = tmp_path / commits.NAME
    path.write_bytes(path.read_bytes()[:-3])
    log = CommitLog(tmp_path, Began({}, 1), commits.read(tmp_path))
    log.append(commit(9))
    log.close()
    found = commits.read(tmp_path)
    assert found is not None and (found.began.restarts, found.last) == (1, commit(9))


def test_a_long_log_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_COMPACT_BYTES", 5000)
    log = CommitLog(tmp_path, Began({"a": 1}, 0), None)
    for seq in range(1, 100):
        log.append(commit(seq, os.urandom(1000)))
    log.append(commit(100))
    log.close()
    assert (tmp_path / commits.NAME).stat().st_size < 8000
    assert [path.name for path in tmp_path.iterdir()] == [commits.NAME]
    found = commits.read(tmp_path)
    assert found is not None and (found.began.facts, found.last) == ({"a": 1}, commit(100))


def test_where_there_is_no_room_to_write_it_anew_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_COMPACT_BYTES", 5000)
    log = CommitLog(tmp_path, Began({"a": 1}, 0), None)
    in_the_way = tmp_path / f".{commits.NAME}.part"
    in_the_way.mkdir()
    for seq in range(1, 20):
        log.append(commit(seq, os.urandom(1000)))
        found = commits.read(tmp_path)
        assert found is not None and found.last is not None and found.last.position.seq == seq
    assert (tmp_path / commits.NAME).stat().st_size > 15_000
    in_the_way.rmdir()
    log.append(commit(20))
    log.close()
    assert (tmp_path / commits.NAME).stat().st_size < 2000


def test_the_name_of_a_log_that_was_written_anew_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_COMPACT_BYTES", 500)
    log = CommitLog(tmp_path, Began({}, 0), None)
    log.append(commit(1, b"x" * 1000))
    synced: list[int] = []
    sync = commits.sync_folder
    monkeypatch.setattr(
        commits,
        "sync_folder",
        lambda folder: (synced.append((folder / commits.NAME).stat().st_size), sync(folder)),
    )
    log.append(commit(2))
    log.close()
    assert synced == [(tmp_path / commits.NAME).stat().st_size]


def test_another_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / commits.NAME).write_text("shopping list")
    with pytest.raises(OutputError, match="something else"):
        commits.read(tmp_path)


def test_a_length_that_is_not_there_takes_no_memory(tmp_path: Path) -> None:
    write(tmp_path, 2)
    with (tmp_path / commits.NAME).open("r+b") as file:
        whole_bytes = file.seek(0, os.SEEK_END)
        file.write(b"\xff\xff\xff\xff1234")
        file.truncate(1 << 40)
    found = commits.read(tmp_path)
    assert found is not None
    assert (found.last, found.whole_bytes) == (commit(2), whole_bytes)


@pytest.mark.parametrize("seq", [-1, 1 << 60])
def test_a_place_that_no_stream_has_is_refused(tmp_path: Path, seq: int) -> None:
    log = CommitLog(tmp_path, Began({}, 0), None)
    log.append(Committed(Position(seq=seq, next_index=0), {}))
    log.close()
    with pytest.raises(OutputError, match="seq"):
        commits.read(tmp_path)
