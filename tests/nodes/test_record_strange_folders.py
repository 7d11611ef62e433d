"""Going on in a folder that somebody else has prepared: nothing outside is touched, all it says is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamseg_nodes.record.recording import Recording

from streamseg.commits import Began, CommitLog, Committed
from streamseg.errors import OutputError
from streamseg.jobs import Job, Position

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
