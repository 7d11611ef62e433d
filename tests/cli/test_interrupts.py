"""Ctrl-C, SIGTERM and SIGKILL in the middle of a run: files that can be read, and nothing left behind."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from support.command import Running, eventually, light_graph, running, tracks
from support.media import decode_plainly, moving_images, write_video

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

RATE = 10


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute and a half; read live, that is how long it takes."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return write_video(path, moving_images(90 * RATE, 64, 48), rate=RATE)


def in_the_middle(run: Running, results: Path) -> None:
    """Wait until some frames have been recorded."""
    assert eventually(lambda: len(list(results.glob("masks/*.png"))) >= 3), run.wait()


def check_files(results: Path) -> None:
    """Overlay, masks, tracks and report are whole and tell of the same frames."""
    count = len(list((results / "masks").iterdir()))
    assert 3 <= count < 90 * RATE
    assert len(decode_plainly(results / "overlay.mp4")) == count
    assert len(tracks(results)) == count
    report = json.loads((results / "run.json").read_text())
    assert report["frames_out"] == count
    assert report["frames_in"] == report["frames_out"] + report["dropped"] + report["failed"]
    assert report["stopped_early"]
    assert report["error"] is None


def check_nothing_is_left(run: Running) -> None:
    assert eventually(lambda: not run.pids(), 10)
    assert list(run.run_dirs.iterdir()) == []


def test_ctrl_c_ends_the_main_job_in_good_order(long_video: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with running("run", long_video, "--live", "--box", "0,0,18,18", "-o", results) as run:
        in_the_middle(run, results)
        assert len(run.pids()) == 7  # the command, five nodes, the janitor
        assert not [path for path in run.open_files() if "/dev/shm/" in path]
        run.send(signal.SIGINT)
        code, output, errors = run.wait()
        assert code == 130, errors
        assert output == ""
        assert "SIGINT: finishing what is in flight" in errors
        check_nothing_is_left(run)
    check_files(results)


@pytest.mark.parametrize("inline", [[], ["--inline"]])
def test_ctrl_c_before_a_planned_prompt_is_no_mistake(long_video: Path, tmp_path: Path, inline: list[str]) -> None:
    prompts = [{"id": 1, "box": [0, 0, 18, 18]}, {"id": 2, "frame": 90 * RATE - 1, "box": [0, 0, 18, 18]}]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    with running(
        *("run", long_video, "--live", "--prompts", tmp_path / "prompts.json", "-o", tmp_path / "out", *inline)
    ) as run:
        in_the_middle(run, tmp_path / "out")
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
    assert code == 130, errors
    assert "there is no such frame" not in errors
    check_files(tmp_path / "out")


def test_sigterm_does_the_same(long_video: Path, tmp_path: Path) -> None:
    with running("run", light_graph(tmp_path, long_video, live=True)) as run:
        in_the_middle(run, tmp_path / "results")
        run.send(signal.SIGTERM)
        assert run.wait()[0] == 130
        check_nothing_is_left(run)
    check_files(tmp_path / "results")


def test_a_signal_that_comes_twice_at_once_is_one(long_video: Path, tmp_path: Path) -> None:
    # `timeout` sends its signal to the process and then to its group.
    with running("run", light_graph(tmp_path, long_video, live=True)) as run:
        in_the_middle(run, tmp_path / "results")
        run.send(signal.SIGTERM)
        run.send(signal.SIGTERM)
        code, _, stderr = run.wait()
        assert code == 130
        assert "stopped at once" not in stderr
        check_nothing_is_left(run)
    check_files(tmp_path / "results")


def test_ctrl_c_ends_an_inline_run_in_good_order(long_video: Path, tmp_path: Path) -> None:
    with running("run", light_graph(tmp_path, long_video, live=True), "--inline") as run:
        in_the_middle(run, tmp_path / "results")
        run.send(signal.SIGINT)
        assert run.wait()[0] == 130
    check_files(tmp_path / "results")


def test_a_second_ctrl_c_does_not_wait(long_video: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    # Finishing what is in flight would take minutes.
    with running("run", light_graph(tmp_path, long_video, sleep_s=60.0, slow_from=4)) as run:
        in_the_middle(run, results)
        run.send(signal.SIGINT)
        assert run.process.stderr is not None
        assert any("SIGINT" in line for line in run.process.stderr)
        time.sleep(0.3)  # what comes sooner counts as the same signal
        run.send(signal.SIGINT)
        assert run.wait()[0] == 130
        check_nothing_is_left(run)
    error = json.loads((results / "run.json").read_text())["error"]
    assert error["exit_code"] == 130
    assert "stopped at once" in error["message"]
    assert len(tracks(results)) >= 3


def test_nothing_outlives_a_killed_command_of_several_files(long_video: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "short.mp4", moving_images(3, 64, 48))
    sources = (tmp_path / "short.mp4", long_video)
    with running(*("run", *sources, "--one-by-one", "--live", "--box", "0,0,18,18", "-o", tmp_path / "out")) as run:
        in_the_middle(run, tmp_path / "out" / "long")
        assert len(run.pids()) == 7, "processes of the file before are those of this one"
        run.send(signal.SIGKILL)
        run.wait()
        check_nothing_is_left(run)


def test_nothing_outlives_a_killed_command(long_video: Path, tmp_path: Path) -> None:
    with running("run", light_graph(tmp_path, long_video, live=True)) as run:
        in_the_middle(run, tmp_path / "results")
        assert list(run.run_dirs.iterdir())
        run.send(signal.SIGKILL)
        assert run.wait()[0] == -signal.SIGKILL
        check_nothing_is_left(run)
    assert len(tracks(tmp_path / "results")) >= 3
