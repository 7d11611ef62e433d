"""A graph run to its end while its processes are watched: frames/s, processor time a frame, memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from memory import look_at, resident

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport.control import Stats

PUMP_MS = 20
"""How often is looked: what was done between two looks is counted as done at the second."""


class Watched(NamedTuple):
    """One run of a graph, from its warm-up on."""

    fps: float
    """Frames of all sources a second."""
    cpu_ms: dict[str, float]
    """Of each process, of its processor time for each frame that left the graph."""
    memory_mib: dict[str, float]
    """Of each process, the largest resident set that was seen."""
    first_s: float
    """From the start of the processes to the first frame that was done with."""
    stats: Mapping[str, Stats]


def watch(graph: config.Graph, *, warm_up: int) -> Watched:
    """Run a graph to its end.

    Args:
        graph: what to run.
        warm_up: frames of each source after which frames/s and processor time are counted.
    """
    plan = Plan(graph)
    looks: list[tuple[float, int, dict[str, float]]] = []
    memory: dict[str, float] = {}
    started_s, first_s = time.monotonic(), 0.0
    with Supervisor(plan) as supervisor:
        pids = dict(supervisor.pool.pids)
        while supervisor.state != "finished":
            supervisor.pump(PUMP_MS)
            counts = [_done(supervisor.stats.get(name)) for name in plan.sources]
            first_s = first_s or (time.monotonic() - started_s if max(counts) else 0.0)
            if supervisor.state != "running" or min(counts) < warm_up or (looks and looks[-1][1] == sum(counts)):
                continue
            looks.append((time.monotonic(), sum(counts), {name: cpu_s(pid) for name, pid in pids.items()}))
            for name, pid in pids.items():
                memory[name] = max(memory.get(name, 0.0), resident(look_at(pid)))
        supervisor.raise_error()
    (begun_s, before, spent), (ended_s, after, spent_then) = looks[0], looks[-1]
    frames = max(1, after - before)
    cpu_ms = {name: round(1e3 * (spent_then[name] - spent[name]) / frames, 3) for name in pids}
    return Watched(frames / max(1e-9, ended_s - begun_s), cpu_ms, memory, first_s, dict(supervisor.stats))


def cpu_s(pid: int) -> float:
    """Processor time that the threads of a process have had, seconds."""
    spent_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        spent_ns += int((thread / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


def with_settings(graph: config.Graph, settings: list[str]) -> config.Graph:
    """A graph with options of its nodes changed.

    Args:
        graph: as it was.
        settings: ``node.option=value`` each, the value in YAML; the options may lie deeper (``node.a.b=value``).
            ``node.threads`` and ``node.replicas`` are those of the node itself.
    """
    plain = config.to_plain(graph)
    for setting in settings:
        path, _, value = setting.partition("=")
        node, *keys = path.split(".")
        place: dict[str, Any] = plain["nodes"][node]
        if keys[0] not in ("threads", "replicas"):
            place = place.setdefault("options", {})
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = yaml.safe_load(value)
    return config.parse(plain)


def _done(stats: Stats | None) -> int:
    return 0 if stats is None else stats.finished.get("done", 0)
