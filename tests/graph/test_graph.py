"""Graphs with real processes, sockets and shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.graphs import TOYS, children_of, lines, own_children, run, start, toy_graph, wait_until

from streamseg.errors import GraphError, OutputError, PromptError, RunError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.messages import Gap
from streamseg.runtime.inline import InlineRun
from streamseg.runtime.library.result_iterator import ResultIterator
from streamseg.runtime.report import make_report
from streamseg.runtime.supervision.supervisor import Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


def report_of(supervisor):
    return make_report(supervisor.plan, supervisor.stats, supervisor.facts)


def test_every_frame_arrives_once_in_order_with_its_pixels(tmp_path):
    supervisor = run(toy_graph(tmp_path / "out", count={"frames": 60, "height": 300, "width": 400}))
    found = lines(tmp_path / "out")
    assert [line.get("seq") for line in found[:-1]] == list(range(60))
    assert all(line["same"] and line["total"] == line["seq"] * 360000 for line in found[:-1])
    assert found[-1] == {"end": "count"}
    report = report_of(supervisor)
    assert (report.frames_in, report.frames_out, report.dropped, report.failed) == (60, 60, 0, 0)
    assert report.latency_ms["end_to_end"]["p50"] > 0
    assert own_children() == set()


def test_replicas_share_the_work_and_order_is_restored(tmp_path):
    supervisor = run(toy_graph(tmp_path / "out", count={"frames": 40}, total={"odd_sleep_s": 0.02}, replicas=3))
    assert [line.get("seq") for line in lines(tmp_path / "out")[:-1]] == list(range(40))
    shares = [supervisor.stats[name].frames for name in ("sum", "sum.2", "sum.3")]
    assert sum(shares) == 40
    assert min(shares) > 0


def test_dropped_and_failed_frames_leave_no_hole(tmp_path):
    supervisor = run(toy_graph(tmp_path / "out", total={"drop": [2], "fail": [5], "batch": 3}))
    found = lines(tmp_path / "out")
    assert [line.get("gap") for line in found[:-1]] == [None, None, "dropped", None, None, "failed", *[None] * 4]
    report = report_of(supervisor)
    assert (report.frames_in, report.frames_out, report.dropped, report.failed) == (10, 8, 1, 1)


def test_several_streams_through_one_node(tmp_path):
    graph = config.parse(
        {
            "nodes": {
                "left": {"use": TOYS + "Counter", "options": {"frames": 12}},
                "right": {"use": TOYS + "Counter", "options": {"frames": 7, "height": 20}},
                "sum": {"use": TOYS + "Sum", "replicas": 2},
                "write": {"use": TOYS + "Write", "options": {"path": str(tmp_path / "out")}},
            },
            "links": ["left -> sum", "right -> sum", "sum -> write"],
        }
    )
    run(graph)
    found = lines(tmp_path / "out")
    for stream, count in (("left", 12), ("right", 7)):
        assert [line["seq"] for line in found if line.get("stream") == stream] == list(range(count))
    assert all(line.get("same", True) for line in found)


def test_one_node_feeds_several(tmp_path):
    graph = toy_graph(tmp_path / "a", count={"frames": 30})
    plain = config.to_plain(graph)
    plain["nodes"]["slow"] = {"use": TOYS + "Write", "options": {"path": str(tmp_path / "b"), "sleep_s": 0.01}}
    plain["links"].append("sum -> slow")
    supervisor = run(config.parse(plain))
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    assert report_of(supervisor).frames_out == 30


def test_a_back_edge_makes_the_next_frame_wait(tmp_path):
    seen = []
    graph = config.parse(
        {
            "nodes": {
                "count": {"use": TOYS + "Counter", "options": {"frames": 25}},
                "look": {"use": TOYS + "Look"},
                "follow": {"use": TOYS + "Follow"},
                "sum": {"use": TOYS + "Sum"},
                "write": {"use": TOYS + "Write", "options": {"path": str(tmp_path / "out")}},
            },
            "links": ["count -> look -> follow -> sum -> write"],
            "feedback": ["follow -> look"],
        }
    )
    run(graph)
    seen = [line["total"] for line in lines(tmp_path / "out")[:-1]]
    assert seen == [0] + [48 * 64 * 3] * 24


def test_inline_gives_the_same(tmp_path):
    options = {"count": {"frames": 12}, "total": {"drop": [2], "fail": [5]}}
    run(toy_graph(tmp_path / "processes", **options))
    inline = InlineRun(Plan(toy_graph(tmp_path / "inline", **options)))
    inline.run()
    assert lines(tmp_path / "inline") == lines(tmp_path / "processes")
    assert inline.stats["sum"].failed == 1


def test_inline_raises_a_fatal_error(tmp_path):
    with pytest.raises(PromptError, match="inside the frame"):
        InlineRun(Plan(toy_graph(tmp_path / "out", total={"fatal_at": 3}))).run()


def test_the_caller_sees_messages_and_gaps(tmp_path):
    plan = Plan(toy_graph(tmp_path / "out", count={"frames": 20}, total={"fail": [4]}), results_from="sum")
    with Supervisor(plan) as supervisor:
        found = [
            (m.stamp.seq, None if isinstance(m, Gap) else int(m.doubled[0, 0, 0])) for m in ResultIterator(supervisor)
        ]
    assert found == [(seq, None if seq == 4 else 2 * seq) for seq in range(20)]
    assert len(lines(tmp_path / "out")) == 21
    assert report_of(supervisor).frames_out == 19


def test_frames_in_flight_are_bounded_by_tickets(tmp_path):
    graph = toy_graph(tmp_path / "out", count={"frames": 100000}, write={"sleep_s": 0.05}, tickets=3)
    with Supervisor(Plan(graph)) as supervisor:
        start(supervisor)
        assert wait_until(
            lambda: supervisor.pump(50) or (supervisor.stats.get("write") and supervisor.stats["write"].frames)
        )
        supervisor.stop()
        supervisor.run()
    report = report_of(supervisor)
    assert report.frames_in == report.frames_out < 1000
    assert len(lines(tmp_path / "out")) == report.frames_out + 1


def test_a_live_source_drops_the_older_frame_and_counts(tmp_path):
    count = {"frames": 60, "pause_s": 0.005, "live": True}
    supervisor = run(toy_graph(tmp_path / "out", count=count, write={"sleep_s": 0.03}, tickets=2))
    found = lines(tmp_path / "out")[:-1]
    indices = [line["index"] for line in found]
    report = report_of(supervisor)
    assert report.dropped > 0
    assert report.frames_in == 60 == report.frames_out + report.dropped
    assert [line["seq"] for line in found] == list(range(len(found)))
    assert indices == sorted(set(indices))
    assert indices[-1] == 59


def test_a_fatal_error_ends_the_run_and_sinks_close_their_files(tmp_path):
    with pytest.raises(PromptError, match="expected a box inside the frame"):
        run(toy_graph(tmp_path / "out", count={"frames": 5000}, total={"fatal_at": 3}))
    found = lines(tmp_path / "out")
    assert found[-1] == {"end": "count"}
    assert found[3]["gap"] == "failed"
    assert len(found) < 5000


def test_a_full_disk_at_the_sink_ends_the_run(tmp_path):
    with pytest.raises(OutputError, match="disk is full"):
        run(toy_graph(tmp_path / "out", count={"frames": 5000}, write={"full_at": 4}))
    assert [line["seq"] for line in lines(tmp_path / "out")[:4]] == [0, 1, 2, 3]


def test_a_broken_source_ends_the_run_with_what_it_gave(tmp_path):
    with pytest.raises(RunError, match="the source broke"):
        run(toy_graph(tmp_path / "out", count={"fail_at": 6}))
    assert [line.get("seq") for line in lines(tmp_path / "out")] == [0, 1, 2, 3, 4, 5, None]


def test_a_killed_worker_ends_the_run_and_says_how(tmp_path):
    with pytest.raises(RunError, match=r"'sum' was killed by SIGKILL"):
        run(toy_graph(tmp_path / "out", count={"frames": 5000}, total={"die_at": 7}))
    assert [line["seq"] for line in lines(tmp_path / "out")[:7]] == list(range(7))
    assert lines(tmp_path / "out")[-1] == {"end": "count"}
    assert own_children() == set()


def test_a_node_that_cannot_be_set_up_says_why(tmp_path):
    graph = toy_graph(tmp_path / "missing" / "out")
    with pytest.raises(RunError, match=r"could not be set up: FileNotFoundError"):
        run(graph)
    assert own_children() == set()


def test_stopping_finishes_what_is_in_flight(tmp_path):
    graph = toy_graph(tmp_path / "out", count={"frames": 100000, "pause_s": 0.01}, total={"sleep_s": 0.01})
    with Supervisor(Plan(graph)) as supervisor:
        start(supervisor)
        deadline_s = time.monotonic() + 1
        while time.monotonic() < deadline_s:
            supervisor.pump(50)
        supervisor.stop()
        supervisor.run()
    report = report_of(supervisor)
    found = lines(tmp_path / "out")
    assert found[-1] == {"end": "count"}
    assert [line["seq"] for line in found[:-1]] == list(range(report.frames_in))


def test_leaving_early_ends_every_process(tmp_path):
    graph = toy_graph(tmp_path / "out", count={"frames": 100000})
    with pytest.raises(KeyboardInterrupt), Supervisor(Plan(graph)) as supervisor:
        start(supervisor)
        run_dir = Path(supervisor.pool.run_dir)
        assert run_dir.stat().st_mode & 0o777 == 0o700
        assert len(own_children()) == 4
        raise KeyboardInterrupt
    assert own_children() == set()
    assert not run_dir.exists()


SCRIPT = """
import sys
from support.graphs import start, toy_graph
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor
graph = toy_graph(sys.argv[1], count={"frames": 10**9, "pause_s": 0.001})
with Supervisor(Plan(graph)) as supervisor:
    start(supervisor)
    print(supervisor.pool.run_dir, flush=True)
    supervisor.run()
"""


@pytest.mark.alone
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "with a stopped worker"])
def test_a_killed_supervisor_leaves_nothing(tmp_path, stopped):
    before = set(Path("/dev/shm").iterdir())
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    run_dir = Path(process.stdout.readline().strip())
    workers = children_of(process.pid)
    assert len(workers) == 4
    assert run_dir.is_dir()
    if stopped:
        os.kill(max(workers), signal.SIGSTOP)
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert wait_until(lambda: not run_dir.exists())
    assert set(Path("/dev/shm").iterdir()) == before


def test_a_killed_janitor_is_replaced_by_the_workers_own_watch(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    run_dir = Path(process.stdout.readline().strip())
    workers = children_of(process.pid)
    janitors = [pid for pid in workers if b"janitor" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(janitors[0], signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert wait_until(lambda: not run_dir.exists())


def test_a_node_of_another_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    package = tmp_path / "site"
    (package / "acme").mkdir(parents=True)
    (package / "acme" / "__init__.py").write_text(
        textwrap.dedent(
            """
            from support.toy_nodes import Summed
            from streamseg.messages import Frame
            from streamseg.node import Node, NodeConfig

            class Bright(Node[Frame, Summed]):
                class Config(NodeConfig):
                    plus: int = 0
                def process(self, message):
                    return Summed(message, self.config.plus, message.image_rgb * 2)
            """
        )
    )
    info = package / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamseg.nodes]\nbright = acme:Bright\n")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), os.environ["PYTHONPATH"]]))
    plain = config.to_plain(toy_graph(tmp_path / "out"))
    plain["nodes"]["sum"] = {"use": "bright", "options": {"plus": 11}}
    run(config.parse(plain))
    assert [line["total"] for line in lines(tmp_path / "out")[:-1]] == [11] * 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"links": ["count -> write"], "drop": "sum"}, "'count' gives Frame, 'write' takes Summed"),
        ({"links": ["write -> sum", "count -> sum"]}, "starts at a sink"),
        ({"links": ["sum -> count", "sum -> write"]}, "ends at a source"),
        ({"links": ["sum -> write"], "drop": "count"}, "no source"),
        ({"links": ["count -> sum"], "drop": "write"}, "no sink"),
        ({"options": {"batsh": 2}}, "did you mean 'batch'"),
        ({"options": {"batch": "many"}}, r"options of node 'sum'.*batch"),
        ({"use": "summ"}, "there is no node 'summ'"),
        ({"feedback": ["write -> sum"]}, "sends nothing back"),
        ({"replicas_of": "write"}, "cannot have replicas"),
    ],
)
def test_a_graph_that_cannot_work_is_refused_before_anything_starts(tmp_path, change, words):
    plain = config.to_plain(toy_graph(tmp_path / "out"))
    plain["links"] = change.get("links", plain["links"])
    plain["feedback"] = change.get("feedback", [])
    plain["nodes"].pop(change.get("drop"), None)
    if "sum" in plain["nodes"]:
        plain["nodes"]["sum"] |= {key: change[key] for key in ("options", "use") if key in change}
    if "replicas_of" in change:
        plain["nodes"][change["replicas_of"]]["replicas"] = 2
    with pytest.raises(GraphError, match=words):
        Plan(config.parse(plain))
    assert not (tmp_path / "out").exists()
