"""Graphs of real processes, some of them started by a real ``streamseg worker`` over loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.elsewhere import Keys, chain, host, worker
from support.graphs import lines, run, start, wait_until

from streamseg.commands import Answer, Applied, Refused
from streamseg.errors import RunError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.supervisor import Supervisor

PIXELS = 48 * 64 * 3
PLACES = [["sum"], ["count", "sum", "write"]]
OTHER_PLACES = [["count"], ["write"], ["sum", "write"]]


def places(quick: list[list[str]], others: list[list[str]]) -> list[Any]:
    """Of several ways to share out a graph some are enough, before a long run of all tests."""
    slow = [pytest.param(at, marks=pytest.mark.slow) for at in others]
    return [*quick, *slow]


def frames(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines(path) if "seq" in line]


def pump_until(supervisor: Supervisor, condition: Any, seconds: float = 60) -> None:
    assert wait_until(lambda: supervisor.pump(20) or condition(), seconds), supervisor.stats


@pytest.mark.parametrize("at", places(PLACES, OTHER_PLACES), ids="-".join)
def test_nodes_may_be_anywhere(tmp_path: Path, keys: Keys, toys: Path, at: list[str]) -> None:
    """Every frame comes out once, in order, with the pixels that went in, wherever the nodes are."""
    path = tmp_path / "out.jsonl"
    with worker(keys, toys, "--node", "toy_count", "--node", "toy_write", "--files", str(tmp_path)) as far:
        graph = chain(path, {"far": host(keys, far.address)}, dict.fromkeys(at, "far"), {"count": {"frames": 30}})
        supervisor = run(graph)
        assert [line["seq"] for line in frames(path)] == list(range(30))
        assert [line["total"] for line in frames(path)] == [number * PIXELS for number in range(30)]
        assert all(line["same"] for line in frames(path))
        assert lines(path)[-1] == {"end": "count"}
        assert supervisor.complete
        assert supervisor.stats["count"].finished == {"done": 30}
        assert wait_until(lambda: not far.workers), "nothing is left over there"
    for name in at:
        assert supervisor.facts[name]["host"]["name"] == "far"
        assert supervisor.facts[name]["host"]["links_lost"] == 0


def test_gaps_failures_and_copies_are_those_of_here(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 24}, "sum": {"drop": [3], "fail": [7], "odd_sleep_s": 0.02}}
    with worker(keys, toys) as far:
        hosts = {"far": host(keys, far.address)}
        supervisor = run(chain(tmp_path / "far", hosts, {"sum": "far"}, options, replicas=2))
    run(chain(tmp_path / "here", {}, {}, options, replicas=2))
    assert lines(tmp_path / "far") == lines(tmp_path / "here")
    assert supervisor.stats["count"].finished == {"done": 22, "dropped": 1, "failed": 1}


@pytest.mark.parametrize("at", places([["follow"]], [["look"], ["look", "follow"]]), ids="-".join)
def test_back_edges_lead_there_and_back(tmp_path: Path, keys: Keys, toys: Path, at: list[str]) -> None:
    with worker(keys, toys) as far:
        names = ("count", "look", "follow", "sum", "write")
        nodes: dict[str, Any] = {name: {"use": f"toy_{name}"} for name in names}
        nodes["count"]["options"] = {"frames": 12}
        nodes["write"]["options"] = {"path": str(tmp_path / "out")}
        for name in at:
            nodes[name]["host"] = "far"
        plain = {
            "nodes": nodes,
            "links": ["count -> look -> follow -> sum -> write"],
            "feedback": ["follow -> look"],
            "hosts": {"far": host(keys, far.address)},
        }
        run(config.parse(plain))
    assert [line["total"] for line in frames(tmp_path / "out")] == [0] + [PIXELS] * 11


def test_commands_reach_a_node_over_there(tmp_path: Path, keys: Keys, toys: Path) -> None:
    """And those that name a file of that machine are refused without being told to it."""
    with worker(keys, toys, "--node", "toy_told") as far:
        plain = {
            "nodes": {
                "count": {"use": "toy_count", "options": {"frames": 30, "pause_s": 0.05}},
                "told": {"use": "toy_told", "host": "far"},
            },
            "links": ["count -> told"],
            "hosts": {"far": host(keys, far.address)},
        }
        plan = Plan(config.parse(plain))
        answers: dict[str, Answer] = {}
        queue = CommandQueue(plan)
        for order in ("answer", "wait", "refuse", "/etc/passwd"):
            queue.submit(None, msgspec.msgpack.encode({"do": order}), partial(answers.__setitem__, order))
        with Supervisor(plan, command_queue=queue) as supervisor:
            supervisor.run()
        queue.close()
    assert isinstance(answers["answer"], Applied)
    assert isinstance(answers["wait"], Applied)
    assert answers["refuse"] == Refused("UsageError", "not today")
    refused = answers["/etc/passwd"]
    assert isinstance(refused, Refused)
    assert "does not give the file" in refused.message


def test_a_worker_that_dies_over_there_is_a_death(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 1000, "pause_s": 0.01}}
    with worker(keys, toys) as far:
        graph = chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            pump_until(supervisor, lambda: supervisor.stats["count"].entered > 5)
            os.kill(*far.workers, signal.SIGKILL)
            with pytest.raises(RunError) as caught:
                supervisor.run()
    assert "node 'sum' ended with exit code 1" in str(caught.value)
    assert f"on host 'far' at {far.address} it was killed by SIGKILL" in str(caught.value)


def test_in_a_live_graph_it_is_replaced(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 100_000, "pause_s": 0.01, "live": True}}
    with worker(keys, toys) as far:
        graph = chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}, options)
        plan = Plan(graph)
        for kind in plan.kinds.values():
            assert not kind.resumable, "toys keep nothing, but nobody has said so"
        for kind in set(plan.kinds.values()):
            kind.resumable = True
        try:
            with Supervisor(plan, job=Job(facts={})) as supervisor:
                start(supervisor)
                pump_until(supervisor, lambda: supervisor.stats["count"].entered > 5)
                (old,) = far.workers
                os.kill(old, signal.SIGKILL)
                pump_until(supervisor, lambda: supervisor.replaced)
                pump_until(supervisor, lambda: "sum" in supervisor.stats and supervisor.stats["sum"].frames > 10)
                assert old not in far.workers
                supervisor.stop()
                supervisor.run()
                source = supervisor.stats["count"]
                assert sum(source.finished.values()) == source.entered
        finally:
            for kind in set(plan.kinds.values()):
                kind.resumable = False
    assert [line["seq"] for line in frames(tmp_path / "out")] == list(range(source.entered))


def test_nothing_is_left_there_when_the_run_is_gone(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 1000, "pause_s": 0.05}}
    with worker(keys, toys) as far:
        graph = chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            assert len(far.workers) == 1
            os.kill(supervisor.pool.pids["sum"], signal.SIGKILL)
        assert wait_until(lambda: not far.workers), "the worker ends when its bridge has been killed"
        left = [path for path in Path(far.run_dirs).iterdir() if path.name.startswith("streamseg-")]
        assert wait_until(lambda: not any(path.exists() for path in left))


def test_when_the_other_side_is_ended_the_run_says_so(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 1000, "pause_s": 0.05}}
    with worker(keys, toys) as far:
        graph = chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            far.process.send_signal(signal.SIGTERM)
            with pytest.raises(RunError, match="was ended, since 'streamseg worker' was"):
                supervisor.run()
        assert far.process.wait(20) == 0


def test_a_worker_that_hangs_over_there_is_killed(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 1000, "pause_s": 0.01}}
    with worker(keys, toys) as far:
        there = {"far": host(keys, far.address)}
        graph = chain(tmp_path / "out", there, {"sum": "far"}, options, recovery={"hang_s": 2})
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            pump_until(supervisor, lambda: "sum" in supervisor.stats and supervisor.stats["sum"].frames > 5)
            (stopped,) = far.workers
            os.kill(stopped, signal.SIGSTOP)
            with pytest.raises(RunError, match="node 'sum' gave no sign of life for"):
                supervisor.run()
        assert wait_until(lambda: not far.workers), "stopped ones are ended, too"


def test_several_runs_at_once_do_not_see_each_other(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with worker(keys, toys) as far, contextlib.ExitStack() as stack:
        supervisors = []
        for number in range(3):
            options = {"count": {"frames": 40, "width": 64 + 16 * number}}
            graph = chain(tmp_path / str(number), {"far": host(keys, far.address)}, {"sum": "far"}, options)
            supervisors.append(stack.enter_context(Supervisor(Plan(graph))))
        pending = [each for each in supervisors if each.state != "finished"]
        while pending:
            for each in pending:
                each.pump(10)
            pending = [each for each in pending if each.state != "finished"]
        for each in supervisors:
            each.raise_error()
    for number in range(3):
        assert [line["total"] for line in frames(tmp_path / str(number))] == [
            seq * 48 * (64 + 16 * number) * 3 for seq in range(40)
        ]


def test_over_ipv6(tmp_path: Path, keys: Keys, toys: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
    with worker(keys, toys, listen="[::1]:0") as far:
        assert far.address.startswith("[::1]:")
        run(chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}))
    assert len(frames(tmp_path / "out")) == 10
