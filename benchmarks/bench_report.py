"""What every benchmark needs to say what it found: statistics and a table, and a JSON file beside it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streamseg.benchmarking.report import machine, machine_line, percentile, ratios, table

__all__ = ["machine", "percentile", "ratios", "save", "say_machine", "table"]

RESULTS = Path(__file__).parent / "results"


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
    print(machine_line(facts))
