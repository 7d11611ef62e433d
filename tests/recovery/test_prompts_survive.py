"""A prompt that was answered is in the results, whatever process dies afterwards."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import eventually, running, tracks
from support.graphs import start, wait_until
from support.media import moving_images, write_video

import streamseg
from streamseg.commands import Answer, Applied
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.runtime.library.prompting import command_of
from streamseg.runtime.supervision.command_queue import CommandQueue
from streamseg.runtime.supervision.supervisor import Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

BOX = [40, 20, 70, 50]


def graph_of(folder: Path, film: Path, *, live: bool) -> dict[str, Any]:
    """The standard graph with the bundled model, which commits only at its end."""
    return {
        "nodes": {
            "decode": {"options": {"source": str(film), "live": live}},
            "embed": {},
            "propagate": {"options": {"prompts": [{"id": 1, "box": [0, 0, 18, 18]}]}},
            "record": {"options": {"output": str(folder / "out"), "overlay": False}},
        },
        "links": ["decode -> embed -> propagate -> record"],
        "feedback": ["propagate -> embed"],
        "recovery": {"commit_s": 1000},
    }


def frames_of(folder: Path, number: int) -> list[int]:
    return [line["frame"] for line in tracks(folder) if line["id"] == number]


def frames_done(supervisor: Supervisor, name: str) -> int:
    return supervisor.stats[name].frames if name in supervisor.stats else 0


@pytest.mark.slow
def test_with_a_graph_that_starts_again_it_holds_from_the_same_frame_on(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    film = write_video(tmp_path / "film.mp4", moving_images(240), rate=20)
    path, control = tmp_path / "graph.yaml", tmp_path_factory.mktemp("c") / "s"
    path.write_text(yaml.safe_dump(graph_of(tmp_path, film, live=False)))
    with running("run", path, "--control", control) as run:
        assert eventually((tmp_path / "out" / "tracks.jsonl").exists)
        added = streamseg.send_prompt(control, {"label": "late", "box": BOX})
        corrected = streamseg.send_prompt(control, {"id": added.id, "points": [[55, 35]]})
        os.kill(run.pid_with(tmp_path / "out" / "tracks.jsonl"), signal.SIGKILL)
        code, _, errors = run.wait(100)
    assert code == 0, errors
    # At the first, or where a commit had made durable what there was.
    assert re.search(r"starting again at frame \d", errors)
    assert corrected.frame > added.frame
    assert frames_of(tmp_path / "out", 2) == list(range(added.frame, 240))


def test_with_a_process_of_a_live_graph_that_is_replaced_it_goes_on(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", moving_images(60 * 20), rate=20)
    plan = Plan(config.parse(graph_of(tmp_path, film, live=True)))
    command_queue = CommandQueue(plan)
    answers: list[Answer] = []
    with Supervisor(plan, job=Job(facts={}), command_queue=command_queue) as supervisor:
        start(supervisor)
        assert wait_until(lambda: supervisor.pump(20) or frames_done(supervisor, "record") >= 5, 60)
        command_queue.submit(None, command_of({"id": 2, "box": BOX}), answers.append)
        assert wait_until(lambda: supervisor.pump(1) or answers, 60)
        os.kill(supervisor.pool.pids["propagate"], signal.SIGKILL)
        assert wait_until(lambda: supervisor.pump(20) or supervisor.replaced, 60)
        assert wait_until(lambda: supervisor.pump(20) or frames_done(supervisor, "propagate") >= 10, 60)
        supervisor.stop()
        supervisor.run()
    command_queue.close()
    (added,) = answers
    assert isinstance(added, Applied)
    after = {line["frame"] for line in tracks(tmp_path / "out") if line["frame"] > added.frame + 20}
    assert after and after <= set(frames_of(tmp_path / "out", 2))
