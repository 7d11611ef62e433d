"""Graphs of real processes, some of them started by a real ``streamseg worker`` over loopback."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import Keys, chain, host, worker
from support.graphs import lines, run, start, wait_until

from streamseg.graph.plan import Plan
from streamseg.runtime.supervisor import Supervisor


def frames(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines(path) if "seq" in line]


@pytest.mark.parametrize(
    "at", [["sum"], ["count"], ["write"], ["sum", "write"], ["count", "sum", "write"]], ids=".".join
)
def test_nodes_may_be_anywhere(tmp_path: Path, keys: Keys, toys: Path, at: list[str]) -> None:
    """Every frame comes out once, in order, with the pixels that went in, wherever the nodes are."""
    path = tmp_path / "out.jsonl"
    with worker(keys, toys, "--node", "toy_count", "--node", "toy_write", "--files", str(tmp_path)) as far:
        graph = chain(path, {"far": host(keys, far.address)}, dict.fromkeys(at, "far"), {"count": {"frames": 30}})
        supervisor = run(graph)
        assert [line["seq"] for line in frames(path)] == list(range(30))
        assert [line["total"] for line in frames(path)] == [number * 48 * 64 * 3 for number in range(30)]
        assert all(line["same"] for line in frames(path))
        assert lines(path)[-1] == {"end": "count"}
        assert supervisor.complete
        assert supervisor.stats["count"].finished == {"done": 30}
        assert wait_until(lambda: not far.workers), "nothing is left over there"
    for name in at:
        assert supervisor.facts[name]["host"]["name"] == "far"
        assert supervisor.facts[name]["host"]["links_lost"] == 0
    assert "host" not in supervisor.facts.get("sum", {}) or "sum" in at
