"""A package brings a model by an entry point, and every door can use it; one that is broken spoils nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.command import streamseg
from support.media import write_video

from streamseg.errors import CheckpointError, ModelError
from streamseg.sam import checkpoints, engines
from streamseg.sam.models import MODELS, find

BOX = "6,4,22,20"
"""Round the yellow square of the third picture."""


def pictures() -> list[np.ndarray]:
    """(64, 96, 3) uint8 RGB each: a yellow square of 16 pixels that moves."""
    found = np.full((6, 64, 96, 3), 60, np.uint8)
    for number, picture in enumerate(found):
        picture[2 * number : 2 * number + 16, 3 * number : 3 * number + 16] = (250, 240, 20)
    return list(found)


@pytest.fixture
def others(tmp_path: Path) -> dict[str, str]:
    """An environment with a package that declares models."""
    package = tmp_path / "site" / "yellow_models-3.2.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: yellow-models\nVersion: 3.2\n")
    declared = {
        "yellow": "support.yellow_model:YELLOW",
        "green": "support.yellow_model:WRONG_NAME",
        "lost": "support.no_such_module:MODEL",
        "text": "support.yellow_model:NOT_A_MODEL",
    }
    lines = "\n".join(f"{name} = {value}" for name, value in declared.items())
    (package / "entry_points.txt").write_text(f"[streamseg.models]\n{lines}\n")
    path = [str(package.parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "STREAMSEG_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "yellow.txt"
    path.write_text("200")
    return path


def test_it_is_listed_and_broken_ones_are_named(others):
    done = streamseg("models", "--json", env=others)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    facts = {each["model"]: each for each in found["models"]}
    assert set(facts) >= {"tiny", "vit_b", "vit_t", "sam2.1_hiera_large", "yellow"}
    assert facts["yellow"]["package"] == "yellow-models 3.2"
    assert (facts["yellow"]["here"], facts["yellow"]["installed"]) == (False, True)
    assert facts["tiny"]["package"].startswith("streamseg ")
    assert len(found["broken"]) == 3
    for said, words in zip(sorted(found["broken"]), ("'green'", "'lost'", "'text'"), strict=True):
        assert words in said and "update or remove its package" in said
    plain = streamseg("models", env=others)
    assert "give a checkpoint of your own (--checkpoint FILE)" in plain.stdout
    assert "streamseg models --get vit_t" in plain.stdout


def test_a_video_and_a_picture(others, checkpoint, tmp_path):
    images = pictures()
    clip = write_video(tmp_path / "clip.mp4", images)
    model = ("--model", "yellow", "--checkpoint", checkpoint, "--device", "cpu")
    done = streamseg("run", clip, *model, "--box", "0,0,16,16", "-o", tmp_path / "run", "--no-overlay", env=others)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "yellow-engine" in json.dumps(facts)
    rows = (tmp_path / "run" / "tracks.jsonl").read_text().splitlines()
    last = json.loads(rows[-1])
    assert (last["frame"], last["state"]) == (5, "TRACKED")
    assert np.abs(np.array(last["box_xyxy"]) - (15, 10, 31, 26)).max() <= 2
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), images[2][..., ::-1])
    done = streamseg("image", picture, *model, "--box", BOX, "-o", tmp_path / "image", "--json", env=others)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["results"][0]["objects"]
    # Cells at the edge count from a half on.
    assert 150 < found["area_px"] < 300


def test_it_is_measured_on_photos(others, checkpoint, tmp_path):
    for name, image in (("images", pictures()[3]), ("masks", (pictures()[3][..., 0] > 200) * np.uint8(255))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / name / "a.png"), image[..., ::-1] if image.ndim == 3 else image)
    model = ("--model", "yellow", "--checkpoint", checkpoint, "--device", "cpu")
    done = streamseg("eval-images", tmp_path / "photos", *model, "--json", "-", env=others)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["model"] == "yellow"
    assert facts["mean_iou"]["mean"]["box"] > 0.6


def test_what_it_needs_is_said(others, tmp_path):
    asked = ("image", tmp_path / "none.png", "--box", BOX, "-o", tmp_path / "o")
    done = streamseg(*asked, "--model", "yellow", env=others)
    assert done.returncode == 4
    assert "'yellow' has no checkpoint of its own; give yours (--checkpoint FILE)" in done.stderr
    done = streamseg(*asked, "--model", "yelow", env=others)
    assert done.returncode == 4
    assert "did you mean 'yellow'?" in done.stderr


def test_a_package_that_is_missing_is_named():
    info = dataclasses.replace(MODELS["sam2.1_hiera_tiny"], needs="no_such_package")
    with pytest.raises(ModelError, match=r"needs the package 'no_such_package'.*pip install sam2 installs it"):
        engines.choose(info, "auto", "cpu")


def test_some_are_downloaded_only_when_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"'streamseg models --get vit_t' downloads 41 MB.*--checkpoint FILE"):
        checkpoints.locate(find("vit_t"))
    assert not list(tmp_path.iterdir())


def test_without_models_the_installation_is_at_fault(monkeypatch):
    monkeypatch.setattr(MODELS, "_points", {})
    monkeypatch.setattr(MODELS, "_loaded", {})
    with pytest.raises(ModelError, match="install streamseg again"):
        find("tiny")
