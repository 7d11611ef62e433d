"""The trace of a run: readable, whole, honest about overlap, and there after a crash."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support.command import eventually, light_graph, running, streamseg
from support.graphs import toy_graph
from support.media import moving_images, write_video
from support.traces import Slice, Trace, read_cut_trace, read_trace

from streamseg.errors import OutputError
from streamseg.graph.plan import Plan
from streamseg.monitoring.trace import TraceFile
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport.spans import Span


def traced(plan: Plan, path: Path) -> Trace:
    with TraceFile(path, plan) as trace, Supervisor(plan, traced=True) as supervisor:
        supervisor.run()
        for who, pid, spans in supervisor.pool.spans:
            trace.add(who, pid, spans)
    return read_trace(path)


def overlap_us(first: list[Slice], second: list[Slice]) -> int:
    return sum(max(0, min(a.ended_us, b.ended_us) - max(a.began_us, b.began_us)) for a in first for b in second)


def test_nodes_are_seen_to_work_at_the_same_time(tmp_path: Path) -> None:
    count, slow = 20, 0.03
    plan = Plan(
        toy_graph(
            tmp_path / "lines", count={"frames": count}, total={"sleep_s": slow}, write={"sleep_s": slow}, replicas=2
        )
    )
    found = traced(plan, tmp_path / "trace.json")
    assert {each.track for each in found.slices} == {"count", "count/reading", "sum", "sum.2", "write"}
    both = sorted([*found.of("sum"), *found.of("sum.2")], key=lambda each: each.number)
    for spans in (found.of("count"), both, found.of("write")):
        assert [each.number for each in spans] == list(range(count))
        assert all(each.args == {"stream": "count", "seq": each.number} for each in spans)
    assert [each.args for each in found.of("count/reading")] == [
        {"stream": "count", "index": index} for index in range(count)
    ]
    assert all(each.ended_us - each.began_us >= slow * 1e6 - 1 for each in both)
    # One process does one thing at a time, and they do theirs while others do theirs.
    for spans in (found.of("sum"), found.of("sum.2"), found.of("write")):
        assert overlap_us(spans, spans) == sum(each.ended_us - each.began_us for each in spans)
    assert overlap_us(found.of("sum"), found.of("sum.2")) > 0
    assert overlap_us(both, found.of("write")) > 0


def test_arrows_follow_each_frame(tmp_path: Path) -> None:
    found = traced(Plan(toy_graph(tmp_path / "lines", count={"frames": 12}, replicas=2)), tmp_path / "trace.json")
    assert len(found.flows) == 12
    for ends in found.flows.values():
        assert sorted(kind for kind, _ in ends) == ["f", "s", "t"]
        way = dict(ends)
        assert len({each.number for each in way.values()}) == 1
        assert (way["s"].track, way["f"].track) == ("count", "write") and way["t"].track.startswith("sum")
        assert way["s"].began_us < way["t"].began_us < way["f"].began_us


def test_frames_of_a_batch_share_its_time(tmp_path: Path) -> None:
    plan = Plan(toy_graph(tmp_path / "lines", count={"frames": 16}, total={"batch": 4, "sleep_s": 0.01}))
    found = traced(plan, tmp_path / "trace.json")
    spans = found.of("sum")
    assert [each.number for each in spans] == list(range(16))
    assert overlap_us(spans, spans) == sum(each.ended_us - each.began_us for each in spans)


def test_nothing_is_noted_without_a_trace(tmp_path: Path) -> None:
    with Supervisor(Plan(toy_graph(tmp_path / "lines"))) as supervisor:
        supervisor.run()
        assert not supervisor.pool.spans


def test_it_has_a_most(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    plan = Plan(toy_graph(tmp_path / "lines"))
    spans = [Span("count", seq, seq * 1000, seq * 1000 + 500) for seq in range(30)]
    with TraceFile(path, plan, most=20) as trace:
        trace.add("count", 7, spans[:15])
        assert not trace.full and not trace.left_out
        trace.add("sum", 8, spans[:15])
        assert trace.full and trace.left_out == 10
        size = path.stat().st_size
        trace.add("write", 9, spans)
        assert path.stat().st_size == size and trace.left_out == 40
    assert len(read_trace(path).slices) == 20


def test_an_empty_one_is_whole(tmp_path: Path) -> None:
    with TraceFile(tmp_path / "trace.json", Plan(toy_graph(tmp_path / "lines"))):
        pass
    assert json.loads((tmp_path / "trace.json").read_text()) == []


def test_it_is_not_written_over_what_is_no_trace(tmp_path: Path) -> None:
    plan = Plan(toy_graph(tmp_path / "lines"))
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"\0\0\0 ftyp")
    with pytest.raises(OutputError, match=r"clip\.mp4 to be free for a trace"):
        TraceFile(video, plan)
    assert video.read_bytes() == b"\0\0\0 ftyp"
    with pytest.raises(OutputError, match="No such file or directory"):
        TraceFile(tmp_path / "nowhere" / "trace.json", plan)
    for _ in range(2):
        TraceFile(tmp_path / "trace.json", plan).close()


def test_of_the_command(tmp_path: Path) -> None:
    graph = light_graph(tmp_path, write_video(tmp_path / "film.mp4", moving_images(12)))
    path = tmp_path / "trace.json"
    done = streamseg("run", graph, "--trace", path)
    assert done.returncode == 0, done.stderr
    found = read_trace(path)
    assert {each.track for each in found.slices} == {"decode", "decode/reading", "square", "record"}
    # The last words of the processes are in it.
    for track in ("decode", "square", "record"):
        assert [each.number for each in found.of(track)] == list(range(12))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
def test_a_full_disk_costs_the_trace_and_not_the_run(tmp_path: Path) -> None:
    graph = light_graph(tmp_path, write_video(tmp_path / "film.mp4", moving_images(12)))
    done = streamseg("run", graph, "--trace", "/dev/full")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("expected to write a trace to /dev/full, got: No space left on device") == 1
    assert "the run goes on without it" in done.stderr
    assert json.loads((tmp_path / "results" / "run.json").read_text())["frames_out"] == 12


def test_what_was_written_before_a_crash_can_be_read(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", moving_images(600))
    path = tmp_path / "trace.json"
    with running("run", light_graph(tmp_path, film, sleep_s=0.02), "--trace", path) as run:
        assert eventually(lambda: path.exists() and path.read_text().count('"record ') > 20)
        run.send(signal.SIGKILL)
        run.process.wait()
        assert len(read_cut_trace(path).of("record")) > 20
