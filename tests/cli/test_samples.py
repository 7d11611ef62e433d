"""The samples run as their READMEs say; only shorter, and into a temporary folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import yaml
from support.command import streamseg, tracks
from support.media import StreamServer, decode_plainly, moving_images, write_video

ROOT = Path(__file__).parents[2]


def test_file(tmp_path: Path) -> None:
    done = streamseg(
        "run", "samples/file/graph.yaml", "-o", tmp_path / "results", "--max-frames", 3, "--inline", cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert len(decode_plainly(tmp_path / "results" / "overlay.mp4")) == 3
    lines = tracks(tmp_path / "results")
    assert [(line["frame"], line["id"]) for line in lines] == [(n, object_id) for n in range(3) for object_id in (1, 2)]
    truth = json.loads((ROOT / "samples" / "clip" / "truth.json").read_text())
    prompts = yaml.safe_load((ROOT / "samples" / "file" / "graph.yaml").read_text())["nodes"]["propagate"]["options"]
    for prompt, each in zip(prompts["prompts"], truth["objects"], strict=False):
        assert (prompt["label"], prompt["box"]) == (each["name"], each["first_box_xyxy"])


def test_live(tmp_path: Path) -> None:
    graph = yaml.safe_load((ROOT / "samples" / "live" / "graph.yaml").read_text())
    with StreamServer("mpegts") as server:
        # The picture of this server is smaller than a camera's.
        graph["nodes"]["camera"]["options"]["source"] = server.url
        graph["nodes"]["propagate"]["options"]["prompts"][0]["box"] = [0, 0, 20, 20]
        path = tmp_path / "graph.yaml"
        path.write_text(yaml.safe_dump(graph))
        done = streamseg("run", path, "-o", tmp_path / "results", "--max-frames", 40, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["nodes"]["camera"]["live"]
    assert report["frames_in"] == report["frames_out"] + report["dropped"]
    assert len(decode_plainly(tmp_path / "results" / "overlay.mp4")) == report["frames_out"] > 0


def test_demo(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", moving_images(4, 160, 120))
    words = [sys.executable, ROOT / "samples" / "demo.py", "clip.mp4", "--box=0,0,18,18", "--output", "demo"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True)
    sheet = cv2.imread(str(tmp_path / "demo" / "contact_sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] == 1280
    for name in ("overlay.mp4", "contact_sheet.png", "masks"):
        assert f"demo/{name}" in done.stdout
        assert (tmp_path / "demo" / name).exists()
