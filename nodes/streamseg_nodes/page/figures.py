"""What the page says of the run: latency, frames a second, drops, and how busy every node is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Stats = Mapping[str, Mapping[str, Any]]


class RunFigures:
    """Makes rates of counts: keeps those of before."""

    def __init__(self) -> None:
        self._before: Stats = {}

    def of(self, stats: Stats) -> dict[str, Any]:
        """What happened since the last time.

        Args:
            stats: of every process (`streamseg.transport.control.Stats` as plain data).

        Returns:
            For each source frames a second, drops and latency; for each process its load, 0 to 1, and p50 of a frame.
        """
        before, self._before = self._before, stats
        sources = {name: _source(now, before.get(name, {})) for name, now in stats.items() if now.get("latency_ms")}
        nodes = [
            {"name": name, "load": _load(now, before.get(name, {})), "ms": now.get("process_ms", {}).get("p50")}
            for name, now in stats.items()
        ]
        return {"sources": sources, "nodes": nodes}


def _source(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    seconds = now["running_s"] - before.get("running_s", 0.0)
    done = sum(now["finished"].values()) - sum(before.get("finished", {}).values())
    return {
        "fps": round(done / seconds, 1) if seconds > 0 else 0.0,
        "dropped": now["dropped"],
        "latency_ms": now["latency_ms"].get("p50"),
        "p95_ms": now["latency_ms"].get("p95"),
    }


def _load(now: Mapping[str, Any], before: Mapping[str, Any]) -> float:
    seconds = now["running_s"] - before.get("running_s", 0.0)
    return round(min(1.0, (now["busy_s"] - before.get("busy_s", 0.0)) / seconds), 3) if seconds > 0 else 0.0
