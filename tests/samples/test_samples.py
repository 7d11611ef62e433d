"""The samples run as their READMEs say; only shorter, and into a temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image
from support.command import streamseg, tracks
from support.media import StreamServer, decode_plainly, moving_images, write_video

from streamseg.evaluation.metrics import region_similarity
from streamseg.graph.options import named_options
from streamseg.masks.rle import decode, decompress
from streamseg.ros2.arguments import parse

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


def test_prompts(tmp_path: Path) -> None:
    words = ("run", "samples/clip/clip.mp4", "--prompts", "samples/file/prompts.yaml", "-o", tmp_path / "results")
    done = streamseg(*words, "--max-frames", 13, "--no-overlay", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = tracks(tmp_path / "results")
    assert {line["frame"] for line in lines if line["id"] == 1} == set(range(12))
    assert {line["frame"] for line in lines if line["id"] == 2} == set(range(4, 13))
    reasons = {line["frame"]: line["reason"] for line in lines if line["id"] == 2}
    assert reasons[4] == "prompted"
    assert reasons[8].startswith("corrected")


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


def test_detect(tmp_path: Path) -> None:
    words = ("run", "samples/detect/graph.yaml", "-o", tmp_path / "results", "--max-frames", 3, "--inline")
    paths = os.pathsep.join(["samples/detect", *sys.path])
    done = streamseg(*words, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    found = {(line["id"], line["label"]) for line in tracks(tmp_path / "results")}
    assert {label for _, label in found} == {"orange", "blue"}
    assert {number for number, _ in found} == {1, 2}


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


def test_the_bundled_model_follows_the_objects_of_the_clip(tmp_path: Path) -> None:
    """Until they pass behind something, which begins at frame 25."""
    truth = json.loads((ROOT / "samples" / "clip" / "truth.json").read_text())
    boxes = [f"--box={','.join(map(str, each['first_box_xyxy']))}" for each in truth["objects"]]
    clip = ROOT / "samples" / "clip" / "clip.mp4"
    done = streamseg("run", clip, *boxes, "-o", tmp_path / "results", "--max-frames", 20, "--no-overlay")
    assert done.returncode == 0, done.stderr
    for number, each in enumerate(truth["objects"], 1):
        overlaps = []
        for frame, counts in enumerate(each["counts"][:20]):
            ids = np.asarray(Image.open(tmp_path / "results" / "masks" / f"{frame:05d}.png"))
            overlaps.append(region_similarity(decode(decompress(counts), *truth["size"]), ids == number))
        assert np.mean(overlaps) > 0.75, each["name"]


def test_ros2() -> None:
    done = streamseg("check", "samples/ros2/graph.yaml", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = parse(["--ros-args", "--params-file", str(ROOT / "samples" / "ros2" / "params.yaml")], "streamseg")
    known = named_options(("ros2_image", "propagate", "ros2_masks"))
    assert {name for name in found.parameters if "." not in name} <= set(known)
    # It needs ROS to run; that it is Python is all that can be seen here.
    launch = ROOT / "samples" / "ros2" / "streamseg.launch.py"
    compile(launch.read_text(), str(launch), "exec")
