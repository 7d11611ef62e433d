"""Two runs never record into one folder at once, and a graph never gives one folder to two of its nodes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from streamseg_nodes.record.node import Record
from support.bright_nodes import drawn
from support.command import light_graph, streamseg, tracks
from support.media import moving_images, write_video
from test_record import disk, record

from streamseg.cli.running import resuming
from streamseg.commits import Began, CommitLog
from streamseg.errors import OutputError, UsageError
from streamseg.jobs import Job
from streamseg.node import NodeContext


@contextlib.contextmanager
def recording(output: Path, job: Job | None = None, **options: Any) -> Any:
    node = Record(Record.Config(output=str(output), **options), NodeContext("record", streams=("s",), job=job))
    node.setup()
    try:
        yield node
    finally:
        node.close()


def test_a_folder_that_another_run_records_into_is_refused_at_once(tmp_path: Path) -> None:
    with recording(tmp_path / "out") as first:
        first.process(drawn(0, disk(20), (1,)))
        with pytest.raises(OutputError, match="another run does; wait for it, end it, or choose another output"):
            record(tmp_path / "out", [], overwrite=True)
        first.process(drawn(1, disk(20), (1,)))
    assert [line["frame"] for line in tracks(tmp_path / "out")] == [0, 1]
    record(tmp_path / "out", [drawn(0, disk(20), (1,))], overwrite=True)
    assert len(tracks(tmp_path / "out")) == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_runs_that_begin_before_the_folder_is_made_one_is_refused(tmp_path: Path, overwrite: bool) -> None:
    with (
        recording(tmp_path / "out", overwrite=overwrite) as first,
        recording(tmp_path / "out", overwrite=overwrite) as second,
    ):
        second.process(drawn(0, disk(20), (1,)))
        with pytest.raises(OutputError, match="another run does"):
            first.process(drawn(0, disk(40), (7,)))
        assert first.describe()["folder"] is None
        assert second.describe()["folder"] == str(tmp_path / "out")
    assert [line["id"] for line in tracks(tmp_path / "out")] == [1]


def test_a_folder_that_was_filled_since_the_start_is_refused(tmp_path: Path) -> None:
    with recording(tmp_path / "out") as late:
        record(tmp_path / "out", [drawn(0, disk(20), (1,))])
        with pytest.raises(OutputError, match="has files in it"):
            late.process(drawn(0, disk(40), (7,)))
        assert late.describe()["folder"] is None
    assert [line["id"] for line in tracks(tmp_path / "out")] == [1]


def test_the_run_that_is_refused_writes_no_report_into_the_others_folder(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_images(3))
    with recording(tmp_path / "results") as first:
        first.process(drawn(0, disk(20), (1,)))
        done = streamseg("run", light_graph(tmp_path, video), "--overwrite")
    assert done.returncode == 5
    assert "another run does" in done.stderr
    assert not (tmp_path / "results" / "run.json").exists()


def graph_of_two(first: Path, second: Path) -> dict[str, Any]:
    return {
        "nodes": {
            "decode": {"options": {"source": "clip.mp4"}},
            "square": {"use": "support.segmenting:Square", "options": {}},
            "one": {"use": "record", "options": {"output": str(first)}},
            "two": {"use": "record", "options": {"output": str(second)}},
        },
        "links": ["decode -> square", "square -> one", "square -> two"],
    }


def test_two_record_nodes_with_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(json.dumps(graph_of_two(tmp_path / "out", tmp_path / "x" / ".." / "out")))
    done = streamseg("run", tmp_path / "graph.yaml")
    assert done.returncode == 2
    assert "'one' and 'two' both record into" in done.stderr


def test_two_record_nodes_are_resumed_each_in_its_own_folder(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
        CommitLog(folder, Began({"graph": graph_of_two(*folders)}, 0), None).close()
    graph = resuming.graph_in(tmp_path / "two")
    assert [graph.nodes[name].options["output"] for name in ("one", "two")] == list(map(str, folders))
    folders[1].rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="recorded into several folders"):
        resuming.graph_in(tmp_path / "moved")
