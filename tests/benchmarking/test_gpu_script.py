"""`benchmarks/gpu.py` without a GPU: that its ways compute the same, and that it ends in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def ran(*words: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--small", "--rounds", "1", "--calls", "1", *words]
    # Threads that wait for each other busily take many times as long beside other tests.
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.run(
        command, capture_output=True, text=True, timeout=380, check=False, env={**os.environ, **threads}
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_way_computes_what_the_stock_network_does() -> None:
    found = ran("--seconds", "300")
    assert found["wrong"] == []
    assert found["ok"], found["left_out"]
    assert not found["left_out"]
    assert not found["cut_off"]
    ways = found["encoders"]["small"]
    for attention in ("stock", "at once", "folded"):
        assert ways[f"{attention}, f32"]["off"] < 1e-5
    for way in ("stock, bf16 autocast", "at once, bf16 autocast", "at once, bf16 blocks", "folded, bf16 blocks"):
        assert 1e-5 < ways[way]["off"] < 3e-2
        assert ways[way]["time"]["median"] > 0
        assert ways[way]["time"]["beside"] in ("stock, f32", None)
    assert ways["at once, bf16 blocks, batch 2"]["pictures_per_s"] > 0
    assert found["encoders"]["small, compiled"]["compiled"]["off"] < 3e-2
    calls = found["calls"]["small"]
    assert calls["f32"]["iou"] == 1
    assert 0 < calls["f32"]["mask_share"] < 1
    assert [figure["name"] for figure in calls["times"]] == ["encode, f32", "encode, bf16", "decode"]
    assert {figure["unit"] for figure in found["run"]["figures"]} == {"frames/s"}


@pytest.mark.slow
def test_when_the_time_is_over_what_is_there_is_told() -> None:
    found = ran("--seconds", "0.05")
    assert not found["ok"]
    assert found["cut_off"] or set(found["left_out"].values()) == {"no time left"}
