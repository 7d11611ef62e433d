"""Whatever the code of a node does, it costs one frame, or the run ends with one sentence."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import streamseg
from support.graphs import TOYS, lines, own_children, run, toy_graph

from streamseg.errors import GraphError, RunError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.messages import Gap
from streamseg.runtime.library.result_iterator import ResultIterator
from streamseg.runtime.plain_text import LONGEST_CHARS, plain_text
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.runtime.supervision.worker_output import WorkerOutput

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

BAD = "support.bad_nodes:Bad"


def bad_graph(path: Path, how: str, **graph: Any) -> dict[str, Any]:
    """count -> bad -> write, as plain data."""
    plain = config.to_plain(toy_graph(path, **graph))
    plain["nodes"]["sum"] = {"use": BAD, "options": {"how": how, "path": str(path) + ".pid"}}
    return plain


GOES_WRONG = {
    "a number": "expected a Summed, as its type arguments say, got int",
    "another message": "got Frame",
    "a kept one": "a message that was kept",
    "complex numbers": "an array of complex128 cannot be sent",
    "an object": "a object cannot be sent",
    "a huge number": "OverflowError",
    "half a letter": "UnicodeEncodeError",
    "what nobody can read": "it could not be read",
    "unprintable": "UnprintableError: (it cannot say what it is)",
    "half a letter in an error": "ValueError: a\\ud800b",
    "a long error": "(100000000 characters)",
    "an exit": "SystemExit: 0",
    "a canceled task": "CancelledError: too late",
    "ask": "is it ready?",
}


def test_a_frame_that_goes_wrong_is_a_gap_and_the_others_arrive(tmp_path: Path) -> None:
    """Each in a frame of its own, with one between them that is good."""
    hows = [how for pair in zip([""] * len(GOES_WRONG), GOES_WRONG, strict=True) for how in pair]
    plain = bad_graph(tmp_path / "out", "", count={"frames": len(hows) + 1})
    plain["nodes"]["sum"]["options"]["hows"] = hows
    supervisor = run(config.parse(plain))
    found = lines(tmp_path / "out")
    assert [line["seq"] for line in found[:-1]] == list(range(len(hows) + 1))
    gaps = {hows[line["seq"]]: line["reason"] for line in found if line.get("gap") == "failed"}
    assert list(gaps) == list(GOES_WRONG)
    for how, reason in GOES_WRONG.items():
        assert reason in gaps[how]
        assert len(gaps[how]) < 2 * LONGEST_CHARS
    assert supervisor.stats["count"].finished == {"done": len(GOES_WRONG) + 1, "failed": len(GOES_WRONG)}
    assert own_children() == set()


@pytest.mark.parametrize("how", ["a number", "what nobody can read"])
def test_the_calling_process_gets_a_gap_too(tmp_path: Path, how: str) -> None:
    with Supervisor(Plan(config.parse(bad_graph(tmp_path / "out", how)), results_from="sum")) as supervisor:
        found = [isinstance(message, Gap) for message in ResultIterator(supervisor)]
    assert found == [False] * 3 + [True] + [False] * 6


def test_a_source_may_give_wrong_frames(tmp_path: Path) -> None:
    plain = config.to_plain(toy_graph(tmp_path / "out"))
    plain["nodes"]["count"] = {"use": "support.bad_nodes:BadCounter"}
    supervisor = run(config.parse(plain))
    assert [line.get("gap") for line in lines(tmp_path / "out")[:-1]] == ["failed", "failed", None, None]
    assert supervisor.stats["count"].failed == 2


@pytest.mark.parametrize("how", ["close", "exit from close", "describe at last"])
def test_what_goes_wrong_after_the_work_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    supervisor = run(config.parse(bad_graph(tmp_path / "out", how)))
    assert supervisor.complete
    assert len(lines(tmp_path / "out")) == 11
    assert "the node could not" in caplog.text


def test_an_error_of_setup_names_its_node(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="node 'sum' could not be set up: RuntimeError: boom"):
        run(config.parse(bad_graph(tmp_path / "out", "set up")))


def test_a_node_cannot_end_its_process_without_a_word(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="node 'sum' could not be set up: SystemExit: 0"):
        run(config.parse(bad_graph(tmp_path / "out", "exit from setup")))
    plain = config.to_plain(toy_graph(tmp_path / "out"))
    plain["nodes"]["count"] = {"use": "support.bad_nodes:ExitingCounter"}
    with pytest.raises(RunError, match="reading ended with SystemExit: 0"):
        run(config.parse(plain))
    assert len(lines(tmp_path / "out")) == 4, "three frames and the end"


def test_a_module_that_exits_when_it_is_imported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exits_at_once.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plain = bad_graph(tmp_path / "out", "")
    plain["nodes"]["sum"] = {"use": "exits_at_once:Node"}
    with pytest.raises(GraphError, match="cannot be imported: SystemExit: 0"):
        Plan(config.parse(plain))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("allow itself few files", r"lowered the limit \(RLIMIT_NOFILE\) from \d+ to 12; leave it as it is"),
        ("use up all files", r"has no more open files \(ulimit -n\); raise that limit"),
    ],
)
def test_a_node_that_leaves_its_process_no_files_is_told_so(tmp_path: Path, how: str, words: str) -> None:
    """ZeroMQ would end the process at the next socket, without a word that helps."""
    with pytest.raises(RunError, match=f"node 'sum': expected .*{words}"):
        run(config.parse(bad_graph(tmp_path / "out", how)))


def test_a_run_in_which_nothing_moves_is_ended_and_says_where_its_frames_are(tmp_path: Path) -> None:
    plain = bad_graph(tmp_path / "out", "never ready", recovery={"stall_s": 2})
    with pytest.raises(RunError, match=r"6 frames of 'count' are in flight: sum passed on 3 and has \d that it cannot"):
        run(config.parse(plain))
    found = lines(tmp_path / "out")
    assert [line.get("seq") for line in found] == [0, 1, 2, None], "the sink has flushed"


@pytest.mark.slow
def test_one_long_frame_is_no_stall(tmp_path: Path) -> None:
    graph = toy_graph(tmp_path / "out", count={"frames": 2}, total={"sleep_s": 3.5}, recovery={"stall_s": 2})
    run(graph)
    assert len(lines(tmp_path / "out")) == 3


@pytest.mark.parametrize("replicas", [2, 3])
def test_copies_of_a_sink_come_to_an_end_with_every_frame(tmp_path: Path, replicas: int) -> None:
    graph = config.parse(
        {
            "nodes": {
                "count": {"use": TOYS + "Counter", "options": {"frames": 30}},
                "post": {
                    "use": "support.bad_nodes:Post",
                    "replicas": replicas,
                    "options": {"folder": str(tmp_path)},
                },
            },
            "links": ["count -> post"],
        }
    )
    supervisor = run(graph)
    assert supervisor.stats["count"].finished == {"done": 30}
    parts = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(parts) == replicas
    assert sorted(seq for part in parts for seq in part["seqs"]) == list(range(30))
    assert all(part["ended"] == ["count"] and part["stopped"] == [] for part in parts)


def test_a_process_that_a_node_has_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(yaml.safe_dump(bad_graph(tmp_path / "out", "leave a child")))
    done = streamseg("run", graph)
    child = int((tmp_path / "out.pid").read_text())
    try:
        os.kill(child, 0)  # it is still there, and yet the command and its output have come to their end
    finally:
        os.kill(child, signal.SIGKILL)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", [(), ("--inline",)], ids=["processes", "inline"])
def test_what_a_node_prints_is_not_in_the_report(tmp_path: Path, way: tuple[str, ...]) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(yaml.safe_dump(bad_graph(tmp_path / "out", "print")))
    done = streamseg("run", graph, "--json", "-v", *way)
    assert json.loads(done.stdout)["frames_out"] == 10
    assert '{"not": "a report"}' in done.stderr


def test_a_line_without_an_end_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamseg")
    run(config.parse(bad_graph(tmp_path / "out", "a long line")))
    (line,) = [record.getMessage() for record in caplog.records if "yyy" in record.getMessage()]
    assert len(line) < 70_000
    assert len(lines(tmp_path / "out")) == 11


@pytest.fixture
def pipe() -> Iterator[tuple[WorkerOutput, int]]:
    read, write = os.pipe()
    output = WorkerOutput("w", read)
    yield output, write
    output.finish()
    os.close(write)


def test_lines_of_a_worker_keep_their_level_and_lose_their_secrets(
    pipe: tuple[WorkerOutput, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streamseg")
    output, write = pipe
    os.write(write, b"ERROR no answer from rtsp://ann:hunter2@camera\n" + b"z" * 40_000 + b"\nprinted\n\xff\nrest")
    output.finish()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "INFO", "INFO", "INFO"]
    assert "rtsp://***@camera" in caplog.text and "hunter2" not in caplog.text
    assert output.last_lines[2:] == ["printed", "\ufffd", "rest"]
    assert len(output.last_lines[1]) < 20_000


def test_a_text_is_not_cut_within_a_word() -> None:
    assert plain_text("short") == "short"
    assert plain_text("one rtsp://ann:hunter2@camera", 20).startswith("one … (")
    assert plain_text("\ud800") == "\\ud800"


def limited(which: int, value: int) -> Any:
    return lambda: resource.setrlimit(which, (value, value))


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (limited(resource.RLIMIT_NOFILE, 20), "open files"),
        (limited(resource.RLIMIT_AS, 1_500_000_000), "memory"),
        (limited(resource.RLIMIT_AS, 700_000_000), "ulimit"),
    ],
    ids=["files", "memory of a worker", "memory of the command"],
)
def test_a_limit_of_the_system_is_said_in_one_sentence(tmp_path: Path, limit: Any, words: str) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(yaml.safe_dump(config.to_plain(toy_graph(tmp_path / "out"))))
    done = streamseg("run", graph, preexec_fn=limit)
    assert done.returncode == 7, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert words in error and "raise" in error
    assert "Traceback" not in done.stderr
