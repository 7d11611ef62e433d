"""What every benchmark needs to say what it found: statistics, a table, and a JSON file beside it."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("streamseg", "numpy", "pyzmq", "torch", "onnxruntime", "openvino", "av", "imagezmq", "dora-rs", "sam2")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ratios(rounds: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """(median, smallest, largest) of the ratios round by round, so that a slow minute of the machine hits both."""
    each = [ours / theirs for ours, theirs in zip(rounds, reference, strict=True)]
    return statistics.median(each), min(each), max(each)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, the first one to the left."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(_zip(cells))) + " |"

    def _zip(cells: Sequence[str]) -> list[tuple[str, int]]:
        return list(zip(cells, widths, strict=True))

    rule = "|" + "|".join("-" * (w + 2) if k == 0 else "-" * (w + 1) + ":" for k, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": cores,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": versions,
    }


def save(name: str, facts: dict[str, Any]) -> Path:
    """Write ``results/<name>-<time>.json`` and say where."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{name}-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps({"benchmark": name, "date": now.isoformat(timespec="seconds"), **facts}, indent=1))
    print(f"\nall figures: {path}")
    return path


def say_machine(facts: dict[str, Any]) -> None:
    """The first line of every benchmark."""
    print(f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_gib']} GiB, Python {facts['python']}, ", end="")
    print(f"load before: {facts['load_before']}")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
