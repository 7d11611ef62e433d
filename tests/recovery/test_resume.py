"""Runs that are killed or stopped go on where they were, with the same results as an undisturbed one."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.command import eventually, running, streamseg
from support.media import moving_images, write_video
from support.storm import Storm, chained_graph, check_same

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

FRAMES = 120


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With B-frames, few key frames, and times that are not even."""
    times = np.cumsum([0, *np.random.default_rng(0).integers(20, 90, FRAMES - 1)]).tolist()
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    options = {"g": "50", "bf": "2"}
    return write_video(path, moving_images(FRAMES), pts=times, time_base=Fraction(1, 1000), options=options)


@pytest.fixture(scope="module")
def undisturbed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = streamseg("run", chained_graph(folder, clip, folder / "out", drop_every=17))
    assert done.returncode == 0, done.stderr
    return folder / "out"


def masks_in(folder: Path) -> int:
    return len(list(folder.glob("masks/*.png")))


def interrupted(folder: Path, clip: Path, number: signal.Signals, **chained: float) -> Path:
    """A run that got a signal in the middle; returns its graph file."""
    graph = chained_graph(folder, clip, folder / "out", drop_every=17, **{"sleep_s": 0.02, **chained})
    with running("run", graph) as run:
        assert eventually(lambda: masks_in(folder / "out") >= 40), run.wait()
        run.send(number)
        run.wait()
    assert masks_in(folder / "out") < FRAMES
    return graph


def slower(graph: Path, **chained: float) -> None:
    """Change an option of the stand-in model."""
    plain = yaml.safe_load(graph.read_text())
    plain["nodes"]["chained"]["options"].update(chained)
    graph.write_text(yaml.safe_dump(plain))


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
    ids=lambda number: number.name,
)
def test_a_run_that_was_ended_goes_on_and_a_finished_one_says_so(
    clip: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    interrupted(tmp_path, clip, number)
    done = streamseg("run", "--resume", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "going on at frame" in done.stderr
    assert check_same(tmp_path / "out", undisturbed)["restarts"] == 1
    again = streamseg("run", "--resume", tmp_path / "out")
    assert (again.returncode, "is finished" in again.stderr) == (0, True)
    check_same(tmp_path / "out", undisturbed)


def test_another_job_is_not_gone_on_with(clip: Path, tmp_path: Path) -> None:
    own = tmp_path / "clip.mkv"
    shutil.copy(clip, own)
    graph = interrupted(tmp_path, own, signal.SIGKILL)
    without = streamseg("run", graph)
    assert (without.returncode, "--resume" in without.stderr) == (5, True)
    shorter = streamseg("run", "--resume", tmp_path / "out", "--max-frames", 9)
    assert (shorter.returncode, "decode.options.max_frames was nothing, now it is 9" in shorter.stderr) == (2, True)
    pointed = streamseg("run", "--resume", tmp_path / "out", "--box", "1,2,3,4")
    assert "--box cannot be combined with the graph of an earlier run" in pointed.stderr
    slower(graph, sleep_s=0.0)
    changed = streamseg("run", graph, "--resume")
    assert changed.returncode == 2
    assert "nodes.chained.options.sleep_s was 0.02, now it is 0.0" in changed.stderr
    slower(graph, sleep_s=0.02)
    write_video(own, moving_images(9))
    assert "nodes.decode.depends on.source" in streamseg("run", graph, "--resume").stderr


def test_nothing_to_resume_is_begun_or_refused(tmp_path: Path) -> None:
    nothing = streamseg("run", "--resume", tmp_path)
    assert (nothing.returncode, "no commits.log" in nothing.stderr) == (2, True)
    video = write_video(tmp_path / "clip.mp4", moving_images(5))
    done = streamseg("run", chained_graph(tmp_path, video, tmp_path / "out"), "--resume")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_text())["restarts"] == 0


# The report counts what record had told of, so frames may be missing there that it wrote when the machine had no time.
@pytest.mark.alone
def test_what_dies_again_and_again_ends_the_run_with_what_is_saved(clip: Path, tmp_path: Path) -> None:
    graph = chained_graph(tmp_path, clip, tmp_path / "out", die_at=30)
    plain = yaml.safe_load(graph.read_text())
    plain["recovery"] = {"restarts": 2, "commit_s": 0.1}
    graph.write_text(yaml.safe_dump(plain))
    done = streamseg("run", graph)
    assert done.returncode == 7, done.stderr
    assert done.stderr.count("starting again at frame") == 2
    assert "node 'chained' ended with exit code 9" in done.stderr
    assert "started again 2 times" in done.stderr
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["frames_in"] == report["frames_out"] == masks_in(tmp_path / "out") == 30
    assert report["restarts"] == 2


def test_a_full_disk_ends_the_run_with_all_that_was_committed(clip: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with running("run", chained_graph(tmp_path, clip, output, drop_every=17, sleep_s=0.02)) as run:
        assert eventually(lambda: masks_in(output) >= 30), run.wait()
        # No file may grow beyond so many bytes: the nearest thing to a full disk that needs no privileges.
        limit_bytes = (output / "tracks.jsonl").stat().st_size + 1000
        resource.prlimit(run.pid_with(output / "tracks.jsonl"), resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        code, _, errors = run.wait()
    assert code == 5, errors
    assert "frames are whole" in errors and "--resume" in errors
    assert json.loads((output / "run.json").read_text())["error"]["exit_code"] == 5
    done = streamseg("run", "--resume", output)
    assert done.returncode == 0, done.stderr
    check_same(output, undisturbed)


@pytest.mark.slow
def test_a_small_storm(clip: Path, undisturbed: Path, tmp_path: Path) -> None:
    graph = chained_graph(tmp_path, clip, tmp_path / "out", drop_every=17, sleep_s=0.02)
    storm = Storm(["run", graph], tmp_path / "out", random.Random(7))
    storm.rage(most_faults=6)
    check_same(tmp_path / "out", undisturbed)
    assert storm.faults.total() >= 4
