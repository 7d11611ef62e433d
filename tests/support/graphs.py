"""Running graphs of toy nodes in tests."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor

TOYS = "support.toy_nodes:"


def toy_graph(path: Path, *, count: Any = None, total: Any = None, write: Any = None, **graph: Any) -> config.Graph:
    """count -> sum -> write, with options for each; `replicas` is for sum, the rest for the graph."""
    replicas = graph.pop("replicas", 1)
    return config.parse(
        {
            "nodes": {
                "count": {"use": TOYS + "Counter", "options": count or {}},
                "sum": {"use": TOYS + "Sum", "options": total or {}, "replicas": replicas},
                "write": {"use": TOYS + "Write", "options": {"path": str(path), **(write or {})}},
            },
            "links": ["count -> sum -> write"],
            **graph,
        }
    )


def run(graph: config.Graph) -> Supervisor:
    """Run a graph to its end with real processes."""
    with Supervisor(Plan(graph)) as supervisor:
        supervisor.run()
    return supervisor


def start(supervisor: Supervisor) -> None:
    """Wait until every process is ready."""
    while supervisor.state == "starting":
        supervisor.pump(50)


def lines(path: Path) -> list[dict[str, Any]]:
    """What the toy sink wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def worker_pids() -> set[int]:
    """Worker and janitor processes that are alive (zombies do not count)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            is_worker = b"streamseg.runtime.worker.process" in words or any(
                w.endswith(b"supervision/janitor.py") for w in words
            )
            if is_worker and state != "Z":
                found.add(int(entry.name))
    return found


def children_of(pid: int) -> set[int]:
    """Processes of `worker_pids` whose parent is `pid`."""
    found = set()
    for worker in worker_pids():
        try:
            parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.add(worker)
    return found


def wait_until(condition: Any, seconds: float = 20.0) -> bool:
    """Ask again until it is so; False if it never was."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.05)
    return False


def own_children() -> set[int]:
    """Workers of this process."""
    return children_of(os.getpid())
