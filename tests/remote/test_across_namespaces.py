"""Two network namespaces, 50 ms and one lost packet in a hundred between them, and a cable that is cut.

`make test-netns` runs it; it needs root, iproute2 and /dev/net/tun.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.cable import THERE, cable, inside, missing
from support.elsewhere import TESTS, Keys, chain, host, worker
from support.graphs import lines

from streamseg.graph import config

pytestmark = pytest.mark.netns

_WHY_NOT = missing() if os.environ.get("STREAMSEG_NETNS") else "make test-netns runs it"
CUT_S = 6.0


class Run:
    """`support.over_cable` in a namespace."""

    def __init__(self, graph: config.Graph, namespace: str, toys: Path, stop: Path) -> None:
        path = os.pathsep.join([str(TESTS), str(toys), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [*inside(namespace), sys.executable, "-m", "support.over_cable"]
        self.stop = stop
        self.process = subprocess.Popen(
            [*command, json.dumps(config.to_plain(graph)), str(stop)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def until(self, condition: Any) -> dict[str, Any]:
        """The first thing it says of which that is true."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if condition(said):
                return dict(said)
        raise AssertionError(f"it ended with {self.process.wait()}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def after(seconds: float) -> Any:
    until_s = time.time() + seconds
    return lambda said: said.get("time", 0) > until_s


@pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)
@pytest.mark.parametrize("live", [False, True], ids=["offline", "live"])
def test_a_long_cable_that_loses_packets_and_is_cut(tmp_path: Path, keys: Keys, toys: Path, live: bool) -> None:
    path = tmp_path / "out"
    options = {"count": {"frames": 100_000 if live else 250, "pause_s": 0.02, "live": live}}
    with (
        cable(0.05, 0.01) as (wire, here, there),
        worker(keys, toys, listen=f"{THERE}:0", before=inside(there)) as far,
    ):
        run = Run(chain(path, {"far": host(keys, far.address)}, {"sum": "far"}, options), here, toys, tmp_path / "stop")
        try:
            before = run.until(lambda said: said.get("done", 0) > 40)
            wire.cut()
            cut = run.until(after(CUT_S))
            wire.mend()
            mended_s = time.time()
            back = run.until(lambda said: said.get("done", 0) > cut["done"] + 6)
            print(f"back {back['time'] - mended_s:.2f} s after the cable, {wire.lost} packets lost")
            assert back["time"] - mended_s < 10
            if live:
                assert cut["dropped"] > before["dropped"] + 50
                run.stop.touch()
            last = run.until(lambda said: "host" in said)
            assert run.process.wait(60) == 0
        finally:
            run.close()
        assert wire.lost, "the cable has lost nothing"
    found = [line for line in lines(path) if "seq" in line]
    assert [line["seq"] for line in found] == list(range(len(found))), (
        "nothing is lost in between, nothing out of order"
    )
    assert all(line["same"] for line in found)
    assert last["finished"] == {"done": len(found)}
    assert last["host"]["links_lost"] >= 1
    assert live or len(found) == 250
    assert cut["kib"] - before["kib"] < 20_000, "memory does not grow while nothing gets through"
