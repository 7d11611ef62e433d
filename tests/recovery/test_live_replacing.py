"""In a live graph only the process that died is replaced; what was in flight is counted, and tracks go on."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from support.command import running, tracks
from support.graphs import start, wait_until
from support.media import moving_images, write_video
from support.storm import chained_graph

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.jobs import Job, Position
from streamseg.runtime.report import make_report
from streamseg.runtime.supervision import recovery
from streamseg.runtime.supervision.supervisor import Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute; read live, that is how long it takes."""
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", moving_images(60 * 20), rate=20)


def live_plan(folder: Path, film: Path, **more: Any) -> Plan:
    path = chained_graph(folder, film, folder / "out", count=True, sleep_s=0.01)
    plain = yaml.safe_load(path.read_text())
    plain["nodes"]["decode"]["options"]["live"] = True
    return Plan(config.parse({**plain, **more}))


def pump_until(supervisor: Supervisor, condition: Any) -> None:
    assert wait_until(lambda: supervisor.pump(20) or condition(), 60), supervisor.stats


def recorded(folder: Path) -> int:
    path = folder / "out" / "tracks.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)],
    ids=lambda number: number.name,
)
@pytest.mark.parametrize("victim", ["chained", pytest.param("record", marks=pytest.mark.slow)])
def test_a_node_is_replaced_and_the_rest_goes_on(
    film: Path, tmp_path: Path, victim: str, number: signal.Signals
) -> None:
    plan = live_plan(tmp_path, film)
    job = Job(facts={"job": 1}, commit_s=0.2)
    with Supervisor(plan, job=job) as supervisor:
        start(supervisor)
        pump_until(supervisor, lambda: recorded(tmp_path) >= 30)
        before = supervisor.pool.pids
        os.kill(before[victim], number)
        pump_until(supervisor, lambda: supervisor.replaced)
        pump_until(supervisor, lambda: victim in supervisor.stats and supervisor.stats[victim].frames >= 20)
        after = supervisor.pool.pids
        supervisor.stop()
        supervisor.run()
    assert {name for name in before if before[name] != after[name]} == {victim}
    found = tracks(tmp_path / "out")
    report = make_report(plan, {}, supervisor.facts, job=recovery.reached(plan, job))
    source = supervisor.stats["decode"]
    assert report.frames_in == report.frames_out + report.dropped == source.entered
    assert report.frames_out == len(found)
    assert sum(source.finished.values()) == source.entered
    # The tracker went on with what a sink had seen last, a moment before.
    counts = [int(each["reason"], 16) for each in found]
    steps = [later - earlier for earlier, later in itertools.pairwise(counts)]
    assert all(-40 < step <= source.entered - len(found) + 1 for step in steps), steps
    assert min(counts[-5:]) > 20
    frames = [each["frame"] for each in found]
    assert frames == sorted(set(frames))


def test_with_a_new_source_the_tracks_go_on(film: Path, tmp_path: Path) -> None:
    live_plan(tmp_path, film)
    graph = tmp_path / "out.yaml"
    plain = yaml.safe_load(graph.read_text())
    plain["nodes"]["decode"]["options"]["live"] = True
    graph.write_text(yaml.safe_dump(plain))
    with running("run", graph) as run:
        assert wait_until(lambda: recorded(tmp_path) >= 30, 60)
        time.sleep(1)
        os.kill(run.pid_with(film), signal.SIGKILL)
        reached = recorded(tmp_path)
        assert wait_until(lambda: recorded(tmp_path) >= reached + 30, 60)
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
    assert code == 130, errors
    assert "'decode' was killed by SIGKILL" in errors
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    found = tracks(tmp_path / "out")
    assert report["restarts"] == 1
    assert report["frames_in"] == report["frames_out"] + report["dropped"]
    assert report["frames_out"] == len(found) == len(list((tmp_path / "out" / "masks").iterdir()))
    assert min(int(each["reason"], 16) for each in found[-5:]) > 40
    frames = [each["frame"] for each in found]
    assert frames == sorted(set(frames))


def test_what_a_dead_source_had_in_flight_is_counted_as_dropped(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five frames had entered and are in no file; two were dropped before."""
    kept = Position(seq=84, next_index=90, dropped=2, failed=1)
    monkeypatch.setattr(recovery, "reached", lambda plan, job: msgspec.structs.replace(job, positions={"film": kept}))
    job = recovery.go_on_live(live_plan(tmp_path, film), Job(facts={}), {"film": Position(seq=89, next_index=97)})
    place = job.positions["film"]
    assert (place.seq, place.next_index, place.dropped, place.failed) == (89, 97, 7, 1)


def test_too_many_deaths_end_it(film: Path, tmp_path: Path) -> None:
    plan = live_plan(tmp_path, film, recovery={"restarts": 0})
    with Supervisor(plan, job=Job(facts={})) as supervisor:
        start(supervisor)
        pump_until(supervisor, lambda: recorded(tmp_path) >= 5)
        os.kill(supervisor.pool.pids["chained"], signal.SIGKILL)
        pump_until(supervisor, lambda: supervisor.state == "finished")
        assert supervisor.lost
        with pytest.raises(Exception, match="'chained' was killed by SIGKILL"):
            supervisor.raise_error()
    assert recorded(tmp_path) >= 5
