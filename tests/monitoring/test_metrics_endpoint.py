"""The endpoint before real runs, read by Prometheus' own client."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from streamseg_nodes.page.address import is_own, open_port, parse
from support.camera import RATE, Camera, encoded
from support.graphs import toy_graph, wait_until
from support.media import moving_images, write_video
from support.storm import chained_graph
from support.watched import Scrape, free_port, get, scrape

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.monitoring.metrics import exposition
from streamseg.monitoring.monitor import Monitor
from streamseg.monitoring.server import MonitorServer
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.types import ObjectState


class Watched:
    """A run in this process, and the port where it can be watched."""

    def __init__(self, plan: Plan, **settings: Any) -> None:
        self.plan = plan
        self.monitor = Monitor(plan)
        listener = open_port(parse("127.0.0.1:0"))
        self.port = int(listener.getsockname()[1])
        self.server = MonitorServer(listener, self.monitor, exposition(self.monitor), is_own=is_own)
        self.supervisor = Supervisor(plan, **settings)

    def pump(self) -> None:
        self.supervisor.pump(20)
        state = self.supervisor.state
        self.monitor.look(
            "stopping" if state == "finished" else state,
            self.supervisor.stats,
            self.supervisor.ready,
            working=self.supervisor.pool.working,
            restarts=self.supervisor.replaced,
        )

    def until(self, condition: Any) -> None:
        assert wait_until(lambda: self.pump() or condition(), 60), self.monitor.snapshot

    def to_the_end(self) -> None:
        self.until(lambda: self.supervisor.state == "finished")
        self.supervisor.raise_error()


@contextlib.contextmanager
def watched(plan: Plan, **settings: Any) -> Iterator[Watched]:
    run = Watched(plan, **settings)
    run.server.start()
    try:
        with run.supervisor:
            yield run
    finally:
        run.server.close()


def test_every_frame_is_accounted_for(tmp_path: Path) -> None:
    plan = Plan(toy_graph(tmp_path / "lines", count={"frames": 60}, total={"drop": [3, 4], "fail": [9]}, replicas=2))
    with watched(plan) as run:
        run.to_the_end()
        found = scrape(run.port)
    stream = {"stream": "count"}
    assert found("streamseg_frames_in_total", **stream) == 60
    assert found("streamseg_frames_out_total", **stream) == 57
    assert found("streamseg_frames_dropped_total", reason="graph", **stream) == 2
    assert found("streamseg_frames_failed_total", node="sum") == 1
    assert found("streamseg_frames_failed_total", node="write") == 0
    assert found("streamseg_frames_in_flight", **stream) == 0
    assert found("streamseg_latency_seconds_count", **stream) == 60
    # Both replicas count for their node; what failed took no time that is known.
    assert found("streamseg_process_seconds_count", node="sum") == 59
    assert found("streamseg_frame_age_seconds_count", node="sum") == 57
    assert found("streamseg_frame_age_seconds_count", node="write") == 57
    assert found.sum("streamseg_queue_frames") == 0
    assert found("streamseg_restarts_total") == 0
    assert found.kinds["streamseg_latency_seconds"] == "histogram"
    assert found.kinds["streamseg_frames_in"] == "counter"
    assert found.check_histograms() == 1 + 2 * 3


def test_times_are_those_of_the_node(tmp_path: Path) -> None:
    plan = Plan(toy_graph(tmp_path / "lines", count={"frames": 10}, total={"sleep_s": 0.06}))
    with watched(plan) as run:
        run.to_the_end()
        found = scrape(run.port)
    assert found("streamseg_process_seconds_bucket", node="sum", le="0.05") == 0
    assert found("streamseg_process_seconds_sum", node="sum") >= 0.6
    assert found("streamseg_busy_seconds_total", node="sum") >= 0.6
    # A frame is never younger behind a node than the node took for it, and never older than at the end of its way.
    ages = found("streamseg_frame_age_seconds_sum", node="sum"), found("streamseg_frame_age_seconds_sum", node="write")
    assert 0.6 <= ages[0] <= ages[1]
    assert found("streamseg_latency_seconds_sum", stream="count") >= 0.6


def test_prometheus_may_ask_for_openmetrics(tmp_path: Path) -> None:
    with watched(Plan(toy_graph(tmp_path / "lines"))) as run:
        run.to_the_end()
        answer = get(run.port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {"streamseg_frames_in", "streamseg_build"} <= {family.name for family in openmetrics(answer.body)}


def live_plan(folder: Path, source: object, **more: Any) -> Plan:
    return Plan(
        config.parse(
            {
                "nodes": {
                    "camera": {
                        "use": "decode",
                        "options": {
                            "source": str(source),
                            "live": True,
                            "input_options": {"analyzeduration": "300000"},
                            "read_timeout_s": 5.0,
                        },
                    },
                    "bright": {"use": "support.bright_nodes:Bright"},
                    "record": {"options": {"output": str(folder / "out"), "overlay": False}},
                },
                "links": ["camera -> bright -> record"],
                **more,
            }
        )
    )


def test_a_camera_that_goes_and_comes_back_is_told(tmp_path: Path) -> None:
    port = free_port()
    pieces = encoded([number / RATE for number in range(40)])
    plan = live_plan(tmp_path, f"tcp://127.0.0.1:{port}")
    with watched(plan) as run:
        run.until(lambda: run.supervisor.state == "running" and run.monitor.snapshot.now.get("camera"))
        answer = get(run.port, "/readyz")
        assert answer.status == 503 and answer.body.startswith("camera ")
        assert get(run.port, "/healthz")[:2] == (200, "ok\n")
        with Camera(pieces, port=port, hang_up=True):
            run.until(lambda: get(run.port, "/readyz").status == 200)
            run.until(lambda: scrape(run.port)("streamseg_reconnects_total", stream="camera") >= 2)
            found = scrape(run.port)
            run.until(lambda: get(run.port, "/readyz").status == 200)
        assert found("streamseg_objects", stream="camera", state="TRACKED") == 2
        assert {dict(has)["state"] for name, has in found.values if name == "streamseg_objects"} == set(
            ObjectState.__args__  # type: ignore[attr-defined]
        )
        reasons = {dict(has)["reason"] for name, has in found.values if name == "streamseg_frames_dropped_total"}
        assert reasons == {"replaced", "late", "waited", "damaged", "graph"}
        assert found("streamseg_events_total", node="camera", event="damaged") >= 0
        run.until(lambda: scrape(run.port)("streamseg_source_up", stream="camera") == 0)
        answer = get(run.port, "/readyz")
        assert answer.status == 503 and answer.body.startswith("camera is away: ")
        assert get(run.port, "/healthz").status == 200
        run.supervisor.stop()
        run.to_the_end()


@pytest.mark.skipif(sys.platform != "linux", reason="a process is killed by its number")
def test_counters_do_not_fall_when_a_process_is_replaced(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", moving_images(60 * 20), rate=20)
    plain = config.to_plain(config.load(chained_graph(tmp_path, film, tmp_path / "out", count=True, sleep_s=0.01)))
    plain["nodes"]["decode"]["options"]["live"] = True
    plan = Plan(config.parse(plain))
    found: list[Scrape] = []
    with watched(plan, job=Job(facts={"job": 1}, commit_s=0.2)) as run:

        def passed(node: str) -> float:
            found.append(scrape(run.port))
            return found[-1].values.get(("streamseg_process_seconds_count", frozenset({("node", node)})), 0)

        run.until(lambda: passed("chained") >= 20)
        os.kill(run.supervisor.pool.pids["chained"], signal.SIGKILL)
        run.until(lambda: passed("chained") >= 0 and not {"chained"} <= run.supervisor.ready)
        answer = get(run.port, "/readyz")
        assert (answer.status, answer.body) == (503, "not set up yet: chained\n")
        run.until(lambda: run.supervisor.stats.get("chained") and run.supervisor.stats["chained"].frames >= 20)
        assert passed("chained") >= 40
        run.supervisor.stop()
        run.to_the_end()
        passed("chained")
    for earlier, later in itertools.pairwise(found):
        for key, value in earlier.counters().items():
            assert later.counters().get(key, -1) >= value, key
    assert found[-1]("streamseg_restarts_total") == 1
    stream = {"stream": "decode"}
    out, dropped = (found[-1].sum(f"streamseg_frames_{how}_total", **stream) for how in ("out", "dropped"))
    assert found[-1]("streamseg_frames_in_total", **stream) == out + dropped


def test_figures_are_json(tmp_path: Path) -> None:
    with watched(Plan(toy_graph(tmp_path / "lines", count={"frames": 20}))) as run:
        run.to_the_end()
        answer = get(run.port, "/figures")
    found = json.loads(answer.body)
    assert answer.headers["Content-Type"] == "application/json"
    assert [each["name"] for each in found["processes"]] == ["count", "sum", "write"]
    assert found["streams"][0]["frames_out"] == 20


def test_what_is_not_there(tmp_path: Path) -> None:
    with watched(Plan(toy_graph(tmp_path / "lines"))) as run:
        assert get(run.port, "/metric").status == 404
        assert "/metrics" in get(run.port, "/").body
        assert get(run.port, "/metrics", Host="evil.example").status == 421
        assert get(run.port, "/metrics", Host=f"localhost:{run.port}").status == 200
        run.to_the_end()
