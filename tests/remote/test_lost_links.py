"""A cable that is cut while a graph runs over it, and mended: what is lost, what is counted, and who notices."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import Keys, chain, host, worker
from support.graphs import lines, start, wait_until
from support.wire import wire

from streamseg.errors import RunError
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor

pytestmark = pytest.mark.slow

_LONGER_THAN_SILENCE_S = 4.0


def frames(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines(path) if "seq" in line]


def pump_until(supervisor: Supervisor, condition: Any, seconds: float = 60) -> None:
    assert wait_until(lambda: supervisor.pump(20) or condition(), seconds), supervisor.stats


def pump_for(supervisor: Supervisor, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        supervisor.pump(50)


def resident_kib(pid: int) -> int:
    found = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1])


def entered(supervisor: Supervisor) -> int:
    return supervisor.stats["count"].entered if "count" in supervisor.stats else 0


@pytest.mark.parametrize("reset", [False, True], ids=["the same connection", "another connection"])
def test_an_offline_run_waits_and_loses_nothing(tmp_path: Path, keys: Keys, toys: Path, reset: bool) -> None:
    """Two cuts, with 50 ms on the way: every frame once, in order, with the pixels that it had."""
    options = {"count": {"frames": 150, "pause_s": 0.01, "height": 240, "width": 320}}
    path = tmp_path / "out"
    with worker(keys, toys) as far, wire(far.port, 0.05, reset=reset) as cable:
        graph = chain(path, {"far": host(keys, cable.address)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            for reached in (20, 70):
                pump_until(supervisor, lambda reached=reached: entered(supervisor) > reached)
                cable.cut()
                pump_for(supervisor, _LONGER_THAN_SILENCE_S)
                assert entered(supervisor) < 150, "nothing more enters than there are tickets for"
                cable.mend()
            supervisor.run()
        facts = supervisor.facts["sum"]["host"]
        assert supervisor.stats["sum"].counters["links_lost"] == facts["links_lost"] == 2
        assert supervisor.stats["sum"].counters["wire_bytes_sent"] > 150 * 240 * 320 * 3
        assert facts["away_s"] > 1
    assert [line["seq"] for line in frames(path)] == list(range(150))
    assert [line["total"] for line in frames(path)] == [number * 240 * 320 * 3 for number in range(150)]
    assert all(line["same"] for line in frames(path))
    assert supervisor.stats["count"].finished == {"done": 150}


def test_a_live_run_drops_and_counts_meanwhile(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 100_000, "pause_s": 0.02, "live": True, "height": 480, "width": 640}}
    path = tmp_path / "out"
    with worker(keys, toys) as far, wire(far.port) as cable:
        graph = chain(path, {"far": host(keys, cable.address)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            pump_until(supervisor, lambda: entered(supervisor) > 20)
            memory_kib = resident_kib(supervisor.pool.pids["sum"])
            cable.cut()
            pump_for(supervisor, _LONGER_THAN_SILENCE_S)
            # Pictures of four seconds would be 180 MB.
            assert resident_kib(supervisor.pool.pids["sum"]) - memory_kib < 60_000
            before, dropped = entered(supervisor), supervisor.stats["count"].dropped
            assert dropped > 20
            cable.mend()
            pump_until(supervisor, lambda: entered(supervisor) > before + 20)
            supervisor.stop()
            supervisor.run()
        source = supervisor.stats["count"]
        assert source.dropped_by["replaced"] == source.dropped >= dropped
        assert source.finished == {"done": source.entered}
        assert supervisor.replaced == 0
    found = frames(path)
    assert [line["seq"] for line in found] == list(range(source.entered))
    # What the source counted is what is missing among its pictures.
    assert found[-1]["index"] + 1 - len(found) == source.dropped


def test_a_link_that_does_not_come_back_is_a_death(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 100_000, "pause_s": 0.02}}
    with worker(keys, toys) as far, wire(far.port) as cable:
        graph = chain(tmp_path / "out", {"far": host(keys, cable.address, away_s=3)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            pump_until(supervisor, lambda: entered(supervisor) > 20)
            cable.cut()
            with pytest.raises(RunError, match="has been away for 3 s"):
                supervisor.run()
        assert wait_until(lambda: not far.workers), "and the other side gives the worker up, too"


def test_a_server_that_was_started_anew_says_so(tmp_path: Path, keys: Keys, toys: Path) -> None:
    options = {"count": {"frames": 100_000, "pause_s": 0.02}}
    with worker(keys, toys) as far:
        port = far.port
        graph = chain(tmp_path / "out", {"far": host(keys, far.address)}, {"sum": "far"}, options)
        with Supervisor(Plan(graph)) as supervisor:
            start(supervisor)
            pump_until(supervisor, lambda: entered(supervisor) > 20)
            left = far.workers
            far.process.send_signal(signal.SIGKILL)
            far.process.wait()
            assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left)), "no worker is left alone"
            with worker(keys, toys, listen=f"127.0.0.1:{port}"), pytest.raises(RunError, match="was started anew"):
                supervisor.run()
