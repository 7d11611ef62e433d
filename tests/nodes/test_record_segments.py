"""Runs of days: segments, how long they are kept, masks without a file each, and logs that stay small."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from streamseg_nodes.record.node import Record
from support.bright_nodes import drawn
from support.command import streamseg, tracks
from support.media import moving_images, write_video
from support.storm import chained_graph
from test_record import disk, gap, mask, messages, overlay_frames, record

from streamseg import commits
from streamseg.errors import GraphError
from streamseg.jobs import Job
from streamseg.masks import rle
from streamseg.messages import Segmented
from streamseg.node import NodeContext
from streamseg.tracking.records import read_tracks

FACTS = {"graph": "of a test"}


def segment(folder: Path, number: int) -> Path:
    return folder / f"segment-{number:09d}"


def recorder(output: Path, job: Job | None = None, **options: Any) -> Record:
    node = Record(Record.Config(output=str(output), **options), NodeContext("record", streams=("s",), job=job))
    node.setup()
    return node


def check_segments(output: Path, count: int, frames: int) -> None:
    """Every frame is in its segment once, in every file."""
    for number in range(-(-count // frames)):
        expected = list(range(number * frames, min(count, (number + 1) * frames)))
        here = segment(output, number)
        assert [track.frame for track in read_tracks(here / "tracks.jsonl")] == expected
        assert sorted(int(path.stem) for path in (here / "masks").iterdir()) == expected
        times = [time for time, _ in overlay_frames(here / "overlay.mp4")]
        assert times == pytest.approx([k / 10 for k in range(len(expected))])


def test_a_recording_in_segments_has_every_frame_in_one_of_them(tmp_path: Path) -> None:
    facts = record(tmp_path, messages(25), segment_frames=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [segment(tmp_path, k).name for k in range(3)]
    check_segments(tmp_path, 25, 10)
    assert facts["frames"] == {"s": 25}


def test_a_segment_may_begin_with_a_gap_and_live_frames_that_are_missing_are_in_none(tmp_path: Path) -> None:
    first, last = drawn(0, disk(20), (1,)), drawn(2, disk(20), (1,), index=57)
    record(tmp_path, [first, gap(1), last], segment_frames=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [segment(tmp_path, k).name for k in (0, 1, 57)]
    assert not mask(segment(tmp_path, 1) / "masks" / "00001.png").any()
    assert len(overlay_frames(segment(tmp_path, 1) / "overlay.mp4")) == 1


@pytest.mark.parametrize("stopped_at", [4, 10, 11, 17])
def test_a_recording_in_segments_is_gone_on_with_without_a_hole(tmp_path: Path, stopped_at: int) -> None:
    options = {"segment_frames": 10}
    first = recorder(tmp_path, Job(facts=FACTS, commit_s=0.0), **options)
    for seq in range(stopped_at):
        first.process(drawn(seq, disk(20 + seq), (1,)))
    # As by SIGKILL: nothing is closed, and what comes after the last commit is lost.
    for recording in first._recordings.values():
        recording._current._commits.close()  # type: ignore[union-attr]
        recording._current._tracks.close()  # type: ignore[union-attr]
    for fd in first._locks.values():
        os.close(fd)  # type: ignore[arg-type]
    left = Record.left(Record.Config(output=str(tmp_path), **options), ("s",), None)
    assert left is not None and left.facts == FACTS
    begins = left.positions["s"].seq
    assert begins <= stopped_at
    second = recorder(tmp_path, Job(facts=FACTS, positions=left.positions, begun=True), **options)
    for seq in range(begins, 25):
        second.process(drawn(seq, disk(20 + seq), (1,)))
    second.finish("s")
    assert second.describe()["frames"] == {"s": 25}
    second.close()
    check_segments(tmp_path, 25, 10)
    found = Record.left(Record.Config(output=str(tmp_path), **options), ("s",), None)
    assert found is not None and found.positions["s"].seq == 25


def test_segments_that_are_older_than_what_is_kept_are_removed_and_nothing_else(tmp_path: Path) -> None:
    node = recorder(tmp_path, segment_frames=5, keep_s=3600)
    for seq in range(20):
        if seq == 15:
            (segment(tmp_path, 1) / "notes.txt").write_text("mine")
            for number, age_s in ((0, 4000), (1, 4000)):
                for path in (*segment(tmp_path, number).iterdir(), segment(tmp_path, number)):
                    os.utime(path, (time.time() - age_s,) * 2)
        node.process(drawn(seq, disk(20), (1,)))
    node.finish("s")
    node.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [segment(tmp_path, k).name for k in (1, 2, 3)]
    assert [path.name for path in segment(tmp_path, 1).iterdir()] == ["notes.txt"]
    assert [track.frame for track in read_tracks(segment(tmp_path, 2) / "tracks.jsonl")] == list(range(10, 15))


def test_overwriting_removes_segments(tmp_path: Path) -> None:
    record(tmp_path, messages(12), segment_frames=5)
    record(tmp_path, messages(3), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "overlay.mp4", "tracks.jsonl"]


def test_masks_can_be_run_lengths_in_the_lines_of_the_tracks(tmp_path: Path) -> None:
    labels = disk(20) + 2 * disk(45)
    empty = np.zeros((48, 64), np.uint16)
    record(tmp_path, [drawn(0, labels, (1, 300)), drawn(1, empty, (1,))], mask_format="rle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["overlay.mp4", "tracks.jsonl"]
    one, other, none = read_tracks(tmp_path / "tracks.jsonl")
    for track, label in ((one, 1), (other, 2)):
        assert track.mask is not None
        np.testing.assert_array_equal(rle.decode(rle.decompress(track.mask.counts), *track.mask.size), labels == label)
    assert none.mask is None and "mask" not in tracks(tmp_path)[2]
    with pytest.raises(GraphError, match="mask_format: rle writes masks into the tracks"):
        recorder(tmp_path / "x", mask_format="rle", tracks=False)


def test_the_commit_log_of_a_long_run_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_COMPACT_BYTES", 50_000)
    node = recorder(tmp_path, Job(facts=FACTS, commit_s=0.0), overlay=False, masks=False)
    largest = 0
    for seq in range(300):
        plain: Segmented = drawn(seq, disk(20), (1,))
        # A state of about the size that a real one has.
        state = msgspec.Raw(msgspec.msgpack.encode(os.urandom(5_000)))
        node.process(msgspec.structs.replace(plain, tracker=state))
        node._recordings["s"]._commits.wait()  # type: ignore[union-attr]
        largest = max(largest, (tmp_path / commits.NAME).stat().st_size)
    node.finish("s")
    node.close()
    assert 45_000 < largest < 65_000
    found = commits.read(tmp_path)
    assert found is not None and found.last is not None and found.last.position.seq == 300


def test_a_run_in_segments_is_resumed_by_the_command(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_images(12))
    path = chained_graph(tmp_path, video, tmp_path / "out")
    graph = yaml.safe_load(path.read_text())
    graph["nodes"]["record"]["options"]["segment_frames"] = 5
    path.write_text(yaml.safe_dump(graph))
    done = streamseg("run", path)
    assert done.returncode == 0, done.stderr
    names = [segment(tmp_path, number).name for number in range(3)]
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["run.json", *names]
    # As if the command had been killed while it wrote the last segment, and before it had committed any of it.
    (tmp_path / "out" / "run.json").unlink()
    (segment(tmp_path / "out", 2) / commits.NAME).unlink()
    again = streamseg("run", "--resume", tmp_path / "out")
    assert again.returncode == 0, again.stderr
    assert "going on at frame 10" in again.stderr
    for number, frames in enumerate((5, 5, 2)):
        assert len(overlay_frames(segment(tmp_path / "out", number) / "overlay.mp4")) == frames
    assert json.loads((tmp_path / "out" / "run.json").read_text())["frames_out"] == 12
