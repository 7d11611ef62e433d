"""Going on in a folder that somebody else has prepared: nothing outside is touched, all it says is checked."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamseg_nodes.record import output_folder
from streamseg_nodes.record.node import Record
from streamseg_nodes.record.recording import Recording
from support.bright_nodes import drawn

from streamseg.commits import Began, CommitLog, Committed
from streamseg.errors import OutputError
from streamseg.jobs import Job, Position
from streamseg.masks.png import write_labels_png
from streamseg.node import NodeContext
from streamseg.regular_files import write_own

JOB = Job(facts={"graph": "g"}, begun=True)
MARK: dict[str, Any] = {"frames": 1, "gaps": 0, "size": (48, 64), "tracks_bytes": 4, "overlay": None}


def begun(folder: Path, **mark: Any) -> Path:
    """A folder with the log of a run that has committed one frame."""
    folder.mkdir(exist_ok=True)
    (folder / "tracks.jsonl").write_bytes(b"{}\n\nmore")
    log = CommitLog(folder, Began(JOB.facts, 0), None)
    log.append(Committed(Position(seq=1, next_index=1), {**MARK, **mark}))
    log.close()
    return folder


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    recording = Recording(begun(tmp_path / "out"), overlay=False, job=JOB)
    recording.close()
    assert (tmp_path / "out" / "tracks.jsonl").read_bytes() == b"{}\n\n"


@pytest.mark.parametrize(
    "mark",
    [{"tracks_bytes": -1}, {"tracks_bytes": 1 << 60}, {"size": (1 << 40, 1 << 40)}, {"frames": "a"}, {"gaps": None}],
    ids=str,
)
def test_what_a_log_says_of_the_files_is_checked(tmp_path: Path, mark: dict[str, Any]) -> None:
    folder = begun(tmp_path / "out", **mark)
    with pytest.raises(OutputError, match="overwrite"):
        Recording(folder, overlay=False, job=JOB)
    assert (folder / "tracks.jsonl").read_bytes() == b"{}\n\nmore"


def test_a_file_is_not_made_longer_than_it_was(tmp_path: Path) -> None:
    folder = begun(tmp_path / "out", tracks_bytes=1 << 40)
    with pytest.raises(OutputError, match="there are 8; start again"):
        Recording(folder, overlay=False, job=JOB)


OURS = ("tracks.jsonl", "overlay.mp4", "run.json", "commits.log", ".commits.log.part", ".overlay.mp4.part", "masks")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("kind", ["link", "link to nothing", "fifo", "device", "folder"])
def test_nothing_is_written_through_a_name_that_is_no_file(tmp_path: Path, name: str, kind: str) -> None:
    folder = begun(tmp_path / "out")
    outside = tmp_path / "outside"
    outside.mkdir() if name == "masks" else outside.write_bytes(b"mine" * 9999)
    (folder / name).unlink(missing_ok=True)
    if kind.startswith("link"):
        (folder / name).symlink_to(outside if kind == "link" else tmp_path / "nothing")
    elif kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "device":
        if os.geteuid() != 0:
            pytest.skip("only root makes devices")
        os.mknod(folder / name, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    elif name == "masks":
        pytest.skip("that is what it should be")
    else:
        (folder / name).mkdir()
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OutputError, match=rf"expected a \w+ at .*{name}, it is"):
        Recording(folder, job=JOB)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert list(outside.iterdir()) == [] if name == "masks" else outside.read_bytes() == b"mine" * 9999
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_has_another_name_elsewhere_is_not_cut_off(tmp_path: Path) -> None:
    folder = begun(tmp_path / "out")
    (tmp_path / "other").hardlink_to(folder / "tracks.jsonl")
    with pytest.raises(OutputError, match="hard link"):
        Recording(folder, overlay=False, job=JOB)
    assert (tmp_path / "other").read_bytes() == b"{}\n\nmore"


def test_a_mask_is_not_written_through_what_stands_for_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (tmp_path / ".00001.png.part").symlink_to(mine)
    (tmp_path / "00002.png").symlink_to(mine)
    labels = np.zeros((4, 4), np.uint16)
    with pytest.raises(OutputError, match="a link"):
        write_labels_png(tmp_path / "00001.png", labels)
    write_labels_png(tmp_path / "00002.png", labels)
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "00002.png").is_symlink()


@pytest.mark.parametrize("below", ["segment-000000001", "camera/segment-000000001", "camera"])
def test_no_folder_of_the_results_leads_elsewhere(tmp_path: Path, below: str) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (root / below).parent.mkdir(parents=True)
    (root / below).symlink_to(outside)
    with pytest.raises(OutputError, match="it is a link"):
        Recording(root / below, root=root)
    assert list(outside.iterdir()) == []


def test_a_folder_that_becomes_a_link_during_the_run_is_not_written_through(tmp_path: Path) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    recording = Recording(root / "camera", root=root, job=Job(facts={"graph": "g"}, begun=False, commit_s=0.0))
    labels = np.zeros((48, 64), np.uint16)
    labels[10:20, 10:30] = 1
    recording.add(drawn(0, labels, (1,)))
    (root / "camera").rename(outside)
    (root / "camera").symlink_to(outside)
    masks = sorted(path.name for path in (outside / "masks").iterdir())
    with pytest.raises(OutputError, match="it is a link"):
        for seq in range(1, 10):
            recording.add(drawn(seq, labels, (1,)))
    assert sorted(path.name for path in (outside / "masks").iterdir()) == masks
    with contextlib.suppress(OutputError):
        recording.close()


@pytest.mark.parametrize("name", ["overlay.mp4", "tracks.jsonl", "run.json", "commits.log"])
def test_a_folder_in_the_place_of_a_file_is_seen_before_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    node = Record(Record.Config(output=str(tmp_path), overwrite=True), NodeContext("record", streams=("s",)))
    with pytest.raises(OutputError, match=name):
        node.setup()


def test_what_is_replaced_may_have_been_anything_else(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    folder = tmp_path / "out"
    folder.mkdir()
    os.mkfifo(folder / "tracks.jsonl")
    (folder / "overlay.mp4").symlink_to(mine)
    (folder / "masks").symlink_to(tmp_path)
    output_folder.check_files(folder, begun=False)
    output_folder.clear(folder)
    assert list(folder.iterdir()) == []
    assert mine.read_bytes() == b"mine"


def test_a_report_is_not_written_through_a_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    for name in ("run.json", ".run.json.part"):
        (tmp_path / name).symlink_to(mine)
    with pytest.raises(OSError, match="a link"):
        write_own(tmp_path / "run.json", b"{}")
    (tmp_path / ".run.json.part").unlink()
    write_own(tmp_path / "run.json", b"{}")
    assert mine.read_bytes() == b"mine"
    assert (tmp_path / "run.json").read_bytes() == b"{}"
