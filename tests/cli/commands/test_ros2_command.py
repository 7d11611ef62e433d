"""``streamseg ros2`` as a process, with another on the other side of DDS: images in, masks out, prompts answered."""

from __future__ import annotations

import base64
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command import running, streamseg, told
from support.dds_peer import PeerProcess, enter_domain, peer
from support.media import moving_images

from streamseg.cli.commands import ros2
from streamseg.cli.main import make_parser
from streamseg.graph.options import named_options
from streamseg.ros2 import arguments

START_NS = 1_764_000_000_000_000_001
HEADER = {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": ""}
BOX = {"center": {"position": {"x": 70.0, "y": 45.0}, "theta": 0.0}, "size_x": 30.0, "size_y": 30.0}


@pytest.mark.parametrize(
    ("words", "detect"),
    [
        (("--detect", "motion", "--model", "tiny", "--detect-every", "2"), ("motion", {"every": 2})),
        (("--discover", "30", "--device", "cpu"), ("discover", {"every": 30, "device": "cpu"})),
        (("--text", "red cup"), ("text_detector", {"words": "red cup", "every": 25})),
    ],
)
def test_detectors_and_the_model_have_their_options(words: tuple[str, ...], detect: tuple[str, dict[str, Any]]) -> None:
    args = make_parser().parse_args(["ros2", *words])
    names, known = arguments.parse([], "streamseg"), named_options(ros2._NODES)
    graph = ros2._graph(args, names, ros2._values(args, names, known), known)
    assert (graph.nodes["detect"].use, graph.nodes["detect"].options) == detect
    device = {"device": "cpu"} if "--device" in words else {}
    assert graph.nodes["embed"].options == device
    assert ("image", "detect") in graph.links and ("detect", "embed") in graph.links


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[PeerProcess]:
    enter_domain(monkeypatch)
    with peer() as process:
        yield process


class Camera:
    """Publishes pictures, ten a second, each with a stamp of its own, until it is left."""

    def __init__(self, stranger: PeerProcess, topic: str) -> None:
        self.stamps: set[tuple[int, int]] = set()
        self._stranger = stranger
        self._topic = topic
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pictures = moving_images(12)
        number = 0
        while not self._over.wait(0.1):
            picture = pictures[number % len(pictures)]
            sec, nanosec = divmod(START_NS + number * 100_000_003, 10**9)
            self.stamps.add((sec, nanosec))
            fields = {
                "header": {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "camera_link"},
                "height": picture.shape[0],
                "width": picture.shape[1],
                "encoding": "rgb8",
                "is_bigendian": 0,
                "step": picture.shape[1] * 3,
                "data": base64.b64encode(picture.tobytes()).decode(),
            }
            self._stranger.do("publish", topic=self._topic, type="Image", fields=fields, reliable=False)
            number += 1


def call(stranger: PeerProcess, service: str, kind: str, **fields: Any) -> dict[str, Any]:
    """The response of a service."""
    stranger.forget()
    stranger.do("call", service=service, type=kind, fields=fields)
    return stranger.wait(service, within_s=60)


def add_fields(boxes: dict[str, Any], points: list[tuple[str, float, float, int]] = []) -> dict[str, Any]:  # noqa: B006
    return {
        "request_header": HEADER,
        "bbox_object_ids": list(boxes),
        "bbox_coords": list(boxes.values()),
        "point_object_ids": [name for name, *_ in points],
        "point_coords": [{"x": x, "y": y} for _, x, y, _ in points],
        "point_labels": [label for *_, label in points],
    }


def test_images_of_a_topic_become_masks_and_prompts_are_answered(stranger: PeerProcess, tmp_path: Path) -> None:
    words = ("--box=0,0,18,18", "--ros-args", "-r", "image:=/camera/image_raw", "-r", "__ns:=/robot", "-p", "keep:=all")
    with running("ros2", *words) as run, Camera(stranger, "/camera/image_raw") as camera:
        for topic, kind in (("masks", "Image"), ("detections", "Detection2DArray"), ("prompt_answers", "String")):
            stranger.do("listen", topic=f"/robot/{topic}", type=kind, reliable=kind == "String")
        heard = stranger.wait("/robot/masks", within_s=60)
        stamp = heard["header"]["stamp"]
        assert (stamp["sec"], stamp["nanosec"]) in camera.stamps
        assert heard["header"]["frame_id"] == "camera_link"
        assert set(np.unique(np.frombuffer(base64.b64decode(heard["data"]), np.uint8))) <= {0, 1}
        assert [each["id"] for each in stranger.wait("/robot/detections")["detections"]] == ["1"]

        added = call(stranger, "/robot/add_objects", "AddObjects", **add_fields({"cup": BOX}))
        assert added["success"], added
        assert added["message"].startswith("object 2 added at frame ")
        assert (added["object_ids"], added["object_indices"]) == (["1", "cup"], [1, 2])
        again = call(stranger, "/robot/add_objects", "AddObjects", **add_fields({"cup": BOX}))
        assert (again["success"], again["message"]) == (
            False,
            "object 'cup' is there already; correct_objects corrects it",
        )
        clicks = [("cup", 70.0, 45.0, 1), ("cup", 5.0, 5.0, 0)]
        corrected = call(stranger, "/robot/correct_objects", "AddObjects", **add_fields({}, clicks))
        assert corrected["message"].startswith("object 2 corrected at frame ")
        removed = call(stranger, "/robot/remove_object", "RemoveObject", request_header=HEADER, object_id="cup")
        assert removed["message"].startswith("object 2 removed at frame ")
        assert removed["object_ids"] == ["1"]
        unknown = call(stranger, "/robot/remove_object", "RemoveObject", request_header=HEADER, object_id="cpu")
        assert (unknown["success"], unknown["message"]) == (False, "there is no object 'cpu'; known: 1")
        stranger.forget()
        for text in ("{label: ball, box: [60, 30, 100, 60]}", "{id: 1, frame: 0, box: [0, 0, 9, 9]}", "[]"):
            stranger.do("publish", topic="/robot/prompt", type="String", fields={"data": text})
        answers = [
            json.loads(stranger.wait("/robot/prompt_answers", lambda f, w=words: w in f["data"])["data"])
            for words in ("added at frame", "frame 0 has gone by", "got list")
        ]
        assert [each["success"] for each in answers] == [True, False, False]
        assert (answers[0]["what"], answers[0]["id"], answers[0]["stream"]) == ("added", 3, "image")
        reset = call(stranger, "/robot/reset", "Trigger")
        assert reset["success"], reset
        assert "object 1 removed" in reset["message"]
        assert "object 3 removed" in reset["message"]
        stranger.wait("/robot/masks", lambda f: not any(base64.b64decode(f["data"])))
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
        assert code == 130, errors


def test_a_topic_that_nobody_publishes_does_not_end_the_run(stranger: PeerProcess, tmp_path: Path) -> None:
    control = str(tmp_path / "live.sock")
    with running("ros2", "--image", "/nobody", "--control", control, "-v") as run:
        stranger.do("listen", topic="/diagnostics", type="DiagnosticArray")
        silent = stranger.wait("/diagnostics", lambda f: f["status"][0]["message"] == "/nobody is silent", within_s=60)
        assert silent["status"][0]["level"] == 3
        refused = streamseg("prompt", control, "--id", "9", "--remove")
        assert "there is no such object to remove" in refused.stderr
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
    assert code == 130, errors
    assert errors.count("nobody publishes /nobody; ") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--ros-args", "-r", "image"),
            "expected NAME:=VALUE after -r, such as",
        ),
        (("--ros-args", "-p", "modle:=tiny"), "there is no option 'modle'; did you mean 'model'?"),
        (("--ros-args", "-r", "image:=/a b"), "expected the name of a topic or service"),
        (("--ros-args", "--box", "1,2,3,4"), "options of streamseg stand before --ros-args"),
        (("--detections-topic", ""), "expected a topic for the detections"),
        (("--image", "/a", "--masks-topic", "/b", "--detections-topic", "/b"), "a topic of its own for each output"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(words: tuple[str, ...], sentence: str) -> None:
    done = told("ros2", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
