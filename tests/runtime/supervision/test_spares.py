"""Processes that stay from run to run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.graphs import lines, own_children, toy_graph, wait_until
from support.toy_nodes import Sum

from streamseg.errors import RunError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.spares import Spares
from streamseg.runtime.supervision.supervisor import Supervisor

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


class Leaving(Sum):
    """Leaves a thread behind."""

    def setup(self) -> None:
        super().setup()
        threading.Thread(target=time.sleep, args=(60,), name="left", daemon=True).start()


@pytest.fixture
def spares() -> Iterator[Spares]:
    with Spares() as found:
        yield found
    assert not own_children(), "nothing is left of them"


def run_with(spares: Spares, graph: config.Graph) -> dict[str, int]:
    """Run it to its end; returns the number of each process."""
    with Supervisor(Plan(graph), spares=spares) as supervisor:
        pids = supervisor.pool.pids
        supervisor.run()
    return pids


def held(pid: int) -> tuple[int, int]:
    """How many open files, and how many pieces of shared memory of runs a process has."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), sum("memfd:streamseg" in line for line in maps)


def test_the_processes_of_one_run_do_the_next_and_hold_nothing_of_the_one_before(
    tmp_path: Path, spares: Spares
) -> None:
    seen: list[dict[str, int]] = []
    holds: list[dict[str, tuple[int, int]]] = []
    for number in range(4):
        path = tmp_path / f"{number}.jsonl"
        seen.append(run_with(spares, toy_graph(path, count={"frames": 5 + number})))
        # The numbers of frames begin anew, and are in order.
        assert [line["seq"] for line in lines(path) if "seq" in line] == list(range(5 + number))
        assert wait_until(lambda: all(held(pid)[1] == 0 for pid in seen[-1].values())), "shared memory is let go of"
        holds.append({who: held(pid) for who, pid in seen[-1].items()})
    assert seen[1:] == seen[:-1]
    assert holds[3] == holds[1]


def test_a_process_that_died_while_it_waited_is_made_anew(tmp_path: Path, spares: Spares) -> None:
    first = run_with(spares, toy_graph(tmp_path / "1", count={"frames": 3}))
    os.kill(first["sum"], signal.SIGKILL)
    assert wait_until(lambda: first["sum"] not in own_children())
    second = run_with(spares, toy_graph(tmp_path / "2", count={"frames": 3}))
    assert len(lines(tmp_path / "2")) == 4
    assert {who for who in first if first[who] != second[who]} == {"sum"}


def test_a_node_that_cannot_be_set_up_costs_its_own_process_only(tmp_path: Path, spares: Spares) -> None:
    first = run_with(spares, toy_graph(tmp_path / "1", count={"frames": 3}))
    with pytest.raises(RunError, match="could not be set up"):
        run_with(spares, toy_graph(tmp_path / "nowhere/2", count={"frames": 3}))
    third = run_with(spares, toy_graph(tmp_path / "3", count={"frames": 3}))
    assert {who for who in first if first[who] != third[who]} == {"write"}
    assert len(lines(tmp_path / "3")) == 4


def test_a_process_in_which_a_node_left_a_thread_is_not_kept(tmp_path: Path, spares: Spares) -> None:
    def graph(name: str) -> config.Graph:
        plain: dict[str, Any] = config.to_plain(toy_graph(tmp_path / name, count={"frames": 3}))
        plain["nodes"]["sum"]["use"] = f"{__name__}:Leaving"
        return config.parse(plain)

    first, second = run_with(spares, graph("1")), run_with(spares, graph("2"))
    assert {who for who in first if first[who] != second[who]} == {"sum"}


def test_more_shared_memory_than_travels_at_once_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamseg.runtime.worker.assignment._MOST_FDS", 1)
    run = toy_graph(tmp_path / "1", count={"frames": 3})
    with Supervisor(Plan(run)) as supervisor:
        supervisor.run()
    assert len(lines(tmp_path / "1")) == 4
