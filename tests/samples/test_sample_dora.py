"""The dora node, run by dora itself: masks of `segment_video`, and messages that cannot be used are passed over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import streamseg

pytest.importorskip("dora")

SAMPLE = Path(__file__).parents[2] / "samples" / "dora"
CLIP = SAMPLE.parent / "clip" / "clip.mp4"
BOX = (470, 244, 609, 336)
FRAMES = 8

SENDER = """
import itertools, os
import cv2, pyarrow as pa
from dora import Node
from streamseg.video.open import open_source
node = Node()
size = {"width": 640, "height": 360}
boxes = {"bbox": [470.0, 244.0, 609.0, 336.0], "conf": [0.9], "labels": ["dog"]}
node.send_output("boxes2d", pa.array([boxes]), {"encoding": "xyxy", "image_id": "image"})
node.send_output("image", pa.array([0] * 12), {"encoding": "purple8", "width": 2, "height": 2})
node.send_output("image", pa.array([0] * 7), {"encoding": "rgb8", "width": 2, "height": 2})
node.send_output("image", pa.array([1, 2, 3]), {"encoding": "jpeg", **size})
with open_source(os.environ["SOURCE"]) as reader:
    for picture in itertools.islice(reader, 3):
        png = cv2.imencode(".png", picture.to_rgb()[..., ::-1])[1]
        node.send_output("image", pa.array(png.ravel()), {"encoding": "png", **size})
        node.send_output("boxes2d", pa.array([boxes]), {"encoding": "xyxy", "image_id": "image"})
"""


def run_flow(folder: Path, flow: dict[str, Any]) -> str:
    """What dora says of a dataflow that runs to its end."""
    (folder / "flow.yml").write_text(yaml.safe_dump(flow))
    # dora starts nodes as 'python': this one.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    words = [str(Path(sys.executable).with_name("dora")), "run", "flow.yml"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def sample_flow(folder: Path) -> dict[str, Any]:
    """The dataflow of the sample, in a folder of its own, its masks kept there."""
    for path in SAMPLE.glob("*.py"):
        shutil.copy(path, folder)
    flow: dict[str, Any] = yaml.safe_load((SAMPLE / "dataflow.yml").read_text())
    camera, follow, listen = flow["nodes"]
    camera["env"] = {"SOURCE": str(CLIP), "FRAMES": FRAMES}
    follow["env"] = {"BOXES": ",".join(map(str, BOX))}
    listen["env"] = {"KEEP": str(folder)}
    return flow


def kept(folder: Path) -> list[np.ndarray]:
    """(N, H, W) bool masks of each frame that came."""
    return [np.load(path)["masks"] for path in sorted(folder.glob("*.npz"))]


def expected(count: int) -> list[np.ndarray]:
    results = streamseg.segment_video(CLIP, boxes=[BOX], max_frames=count)
    return [np.array([each.mask for each in result.objects]) for result in results]


def test_the_dataflow_gives_the_masks_of_segment_video(tmp_path: Path) -> None:
    said = run_flow(tmp_path, sample_flow(tmp_path))
    found, wanted = kept(tmp_path), expected(FRAMES)
    assert len(found) == len(wanted) == FRAMES
    for masks, right in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(masks, right)
    assert f"{FRAMES - 1} {{'1': [" in said
    assert "['TRACKED']" in said


def test_boxes_of_a_detector_and_messages_that_are_wrong(tmp_path: Path) -> None:
    flow = sample_flow(tmp_path)
    (tmp_path / "sender.py").write_text(SENDER)
    camera, follow, _ = flow["nodes"]
    camera |= {"path": "sender.py", "outputs": ["image", "boxes2d"]}
    follow["env"] = {}
    follow["inputs"]["boxes2d"] = {"source": "camera/boxes2d", "queue_size": 100, "queue_policy": "backpressure"}
    said = run_flow(tmp_path, flow)
    found, wanted = kept(tmp_path), expected(3)
    assert [masks.shape[0] for masks in found] == [1, 1, 1], "a box that comes again is the same object"
    for masks, right in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(masks, right)
    assert "0 {'1 dog': [" in said
    assert "image: expected an image in rgb8, bgr8" in said
    assert "image: 3 messages could not be used" in said
