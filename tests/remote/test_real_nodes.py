"""The nodes that come with streamseg, with the bundled model, on another machine: the same masks as on this one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.command import eventually, running, streamseg, tracks
from support.elsewhere import Keys, host, worker
from support.media import moving_images, write_video
from support.storm import results

pytestmark = pytest.mark.slow

FRAMES = 16


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", moving_images(FRAMES), rate=20)


def graph(folder: Path, film: Path, name: str, there: dict[str, Any] | None, **options: Any) -> Path:
    """decode and record here, embed and propagate there, if there is any."""
    at = {} if there is None else {"host": "gpu"}
    plain: dict[str, Any] = {
        "nodes": {
            "decode": {"options": {"source": str(film)}},
            "embed": {"options": {"engine": "onnxruntime"}, **at},
            "propagate": {"options": {"engine": "onnxruntime", "prompts": [{"id": 1, "box": [0, 0, 18, 18]}]}, **at},
            "cleanup": {},
            "record": {"options": {"output": str(folder / name), **options}},
        },
        "links": ["decode -> embed -> propagate -> cleanup -> record"],
        "feedback": ["propagate -> embed"],
        "recovery": {"commit_s": 0.3},
    }
    if there is not None:
        plain["hosts"] = {"gpu": there}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def ran(path: Path, *words: str) -> None:
    done = streamseg("run", path, *words)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, film: Path) -> dict[str, bytes]:
    """What comes out on one machine."""
    folder = tmp_path_factory.mktemp("here")
    ran(graph(folder, film, "here", None))
    return results(folder / "here")


def test_masks_are_those_of_one_machine_with_any_packing_that_loses_nothing(
    tmp_path: Path, keys: Keys, film: Path, here: dict[str, bytes]
) -> None:
    with worker(keys, None) as far:
        for pictures in ("raw", "lossless"):
            ran(graph(tmp_path, film, pictures, host(keys, far.address, pictures=pictures)))
            assert results(tmp_path / pictures) == here
            report = json.loads((tmp_path / pictures / "run.json").read_text())
            for name in ("embed", "propagate"):
                facts = report["nodes"][name]["host"]
                assert facts["pictures"] == pictures
                assert "pixels_changed" not in facts
            assert "host" not in report["nodes"]["decode"]
        assert eventually(lambda: not far.workers)


def test_with_jpeg_the_run_says_that_pixels_were_changed(tmp_path: Path, keys: Keys, film: Path) -> None:
    """The recorded overlay still has the pixels of here; only the model saw others."""
    with worker(keys, None) as far:
        ran(graph(tmp_path, film, "jpeg", host(keys, far.address, pictures="jpeg", quality=90)))
    report = json.loads((tmp_path / "jpeg" / "run.json").read_text())
    facts = report["nodes"]["embed"]["host"]
    assert (facts["pictures"], facts["quality"], facts["pixels_changed"]) == ("jpeg", 90, True)
    assert len(tracks(tmp_path / "jpeg")) == FRAMES
    assert report["frames_out"] == FRAMES


def test_an_offline_run_whose_worker_dies_there_goes_on_from_its_last_commit(
    tmp_path: Path, keys: Keys, film: Path, here: dict[str, bytes]
) -> None:
    with worker(keys, None) as far:
        with running("run", graph(tmp_path, film, "far", host(keys, far.address))) as run:
            lines = tmp_path / "far" / "tracks.jsonl"
            assert eventually(lambda: lines.exists() and len(lines.read_bytes().splitlines()) >= 3)
            os.kill(max(far.workers), signal.SIGKILL)
            code, _, errors = run.wait(100)
        assert code == 0, errors
    assert results(tmp_path / "far") == here
    assert json.loads((tmp_path / "far" / "run.json").read_text())["restarts"] == 1


def test_a_job_is_not_gone_on_with_when_its_pixels_would_be_others(tmp_path: Path, keys: Keys, film: Path) -> None:
    with worker(keys, None) as far:
        path = graph(tmp_path, film, "jpeg", host(keys, far.address, pictures="jpeg", quality=90))
        with running("run", path) as run:
            assert eventually(lambda: (tmp_path / "jpeg" / "commits.log").exists())
            run.send(signal.SIGINT)
            run.wait(60)
        graph(tmp_path, film, "jpeg", host(keys, far.address, pictures="jpeg", quality=50))
        done = streamseg("run", path, "--resume", tmp_path / "jpeg")
        assert done.returncode == 2, done.stderr
        assert "quality was 90, now it is 50" in done.stderr
        graph(tmp_path, film, "jpeg", host(keys, far.address, pictures="jpeg", quality=90, away_s=9))
        ran(path, "--resume", str(tmp_path / "jpeg"))
    assert len(tracks(tmp_path / "jpeg")) == FRAMES


def test_check_says_which_node_is_where(tmp_path: Path, film: Path) -> None:
    there = {"address": "gpu.example:7700", "own_key": "k", "server_key": "k"}
    done = streamseg("check", graph(tmp_path, film, "far", there))
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.partition("\n\n")[0].splitlines()}
    assert rows["NODE"][-1] == "HOST"
    assert (rows["embed"][-1], rows["propagate"][-1], rows["record"][-1]) == ("gpu", "gpu", "-")
    assert "HOST" not in streamseg("check", graph(tmp_path, film, "here", None)).stdout
