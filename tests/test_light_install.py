"""Without torch, torchvision and segment-anything: what people come for runs, and what needs them says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from PIL import Image
from support.command import streamseg, tracks
from support.pages import serving
from websockets.sync.client import connect

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "samples" / "clip" / "clip.mp4"
BOX = "62,238,128,304"
WITHOUT = Path(__file__).parent / "support" / "without_torch"
COMMAND_FOR_TORCH = "pip install torch torchvision segment-anything"


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the processes that a test starts, and theirs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(WITHOUT), *filter(None, [os.environ.get("PYTHONPATH")])]))


def python(text: str) -> CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=100, check=False)


def test_the_requirements_are_those_of_the_package_but_three() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    heavy = ("torch>=", "torchvision>=", "segment-anything==")
    lines = (ROOT / "requirements-edge.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [w for w in wanted if not w.startswith(heavy)]
    assert len([w for w in wanted if w.startswith(heavy)]) == 3


@pytest.mark.parametrize("module", ["torch", "torchvision", "segment_anything"])
def test_here_they_are_hidden(module: str) -> None:
    assert f"No module named '{module}'" in python(f"import {module}").stderr
    assert python(f"import importlib.util as u; print(u.find_spec({module!r}))").stdout == "None\n"


def test_run(tmp_path: Path) -> None:
    done = streamseg("run", CLIP, "--box", BOX, "-o", tmp_path / "out", "--max-frames", 5)
    assert done.returncode == 0, done.stderr
    assert [line["state"] for line in tracks(tmp_path / "out")] == ["TRACKED"] * 5


def test_run_where_there_may_be_a_gpu(tmp_path: Path) -> None:
    """Jetsons have a device file that would have torch asked."""
    script = "from streamseg.sam import engines, models\nengines._GPU_FILES = ('/dev/null',)\n"
    script += "print(engines.choose(models.find('tiny'), 'auto', 'auto'))"
    done = python(script)
    assert done.stdout in ("('onnxruntime', 'cpu')\n", "('openvino', 'cpu')\n"), done.stderr


def test_image(tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), "gray").save(tmp_path / "one.png")
    for words in (("--box", "20,20,120,120"), ("--everything", "--points-per-side", 4)):
        done = streamseg("image", tmp_path / "one.png", *words, "-o", tmp_path / "out", "--overwrite")
        assert done.returncode == 0, done.stderr


def test_serve() -> None:
    """Somebody points at the ball, and the page has it."""
    prompt = {"id": 1, "box": [float(edge) for edge in BOX.split(",")], "label": "ball"}
    with serving(CLIP) as (_, url), connect(f"ws{url.removeprefix('http')}live", origin=url.rstrip("/")) as line:  # type: ignore[arg-type]
        said = heard(line, "hello")
        stream = next(iter(said["streams"]))
        name = stream if isinstance(stream, str) else stream["name"]
        line.send(json.dumps({"type": "watch", "stream": name}))
        line.send(json.dumps({"type": "prompt", "number": 1, "stream": name, "prompt": prompt, "seen": 0}))
        answer = heard(line, "answer")
    assert answer["applied"] is not None, answer


def heard(line: Any, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    while True:
        message = line.recv(timeout=60)
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return dict(found)


def test_a_loop_of_ones_own() -> None:
    script = "import numpy, streamseg\ntracker = streamseg.Tracker()\ntracker.prompt(box=(20, 20, 90, 90))\n"
    done = python(script + "print(len(tracker.track(numpy.zeros((120, 160, 3), numpy.uint8)).objects))")
    assert done.stdout == "1\n", done.stderr


def test_doctor_says_what_is_true() -> None:
    done = streamseg("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything that is needed is here" in done.stdout
    assert "reinstall" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if COMMAND_FOR_TORCH in line)
    assert "SAM's own ViT checkpoints (vit_b, vit_l, vit_h)" in line
    found = json.loads(streamseg("doctor", "--json").stdout)
    assert found["ok"] is True
    assert [f["ok"] for f in found["findings"] if f["topic"] == "torch"] == [True]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("run", CLIP, "--box", BOX, "--model", "vit_b", "--checkpoint", "w.pth", "-o", "out"), "model 'vit_b'"),
        (("run", CLIP, "--box", BOX, "--engine", "torch", "-o", "out"), "engine 'torch'"),
        (("run", CLIP, "--box", BOX, "--device", "cuda", "-o", "out"), "device 'cuda'"),
        (("run", CLIP, "--box", BOX, "--checkpoint", "w.pth", "-o", "out"), "checkpoint w.pth"),
        (("export", "tiny", "--onnx"), "'streamseg export'"),
        (("train", ROOT / "samples" / "train" / "fine_tune.yaml"), "'streamseg train'"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_needs_torch_says_so(words: tuple[object, ...], what: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"weights")
    done = streamseg(*words, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert what in done.stderr
    assert f"{COMMAND_FOR_TORCH!r} installs it" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_extra_is_installed_without_bringing_torch() -> None:
    done = python("from streamseg import extras; print(extras.command('export'))")
    assert done.stdout.startswith("pip install 'onnx>="), done.stderr
