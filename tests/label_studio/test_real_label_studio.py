"""A session with Label Studio itself, from its package, by its API: ``make test-label-studio`` runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.command import COMMAND
from support.media import write_video

from streamseg.formats.annotation.label_studio import LabelStudio
from streamseg.label_studio.media import Media
from streamseg.masks.boxes import box_iou

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(1500)]

STUDIO = os.environ.get("LABEL_STUDIO", "label-studio")
KEY = "0123456789abcdef0123456789abcdef01234567"
LENGTH, SIZE = 16, (120, 200)
VIDEO = """<View><Labels name="label" toName="video"><Label value="disk"/></Labels>
<Video name="video" value="$video" frameRate="25"/><VideoRectangle name="box" toName="video" smart="true"/></View>"""
PICTURE = """<View><BrushLabels name="brush" toName="image"><Label value="disk"/></BrushLabels>
<RectangleLabels name="box" toName="image" smart="true"><Label value="disk"/></RectangleLabels>
<Image name="image" value="$image"/></View>"""


def scene(number: int) -> np.ndarray:
    picture = np.full((*SIZE, 3), (40, 90, 60), np.uint8)
    cv2.circle(picture, (60 + 4 * number, 60), 25, (240, 200, 60), -1)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def box_at(number: int) -> tuple[float, float, float, float]:
    return 35 + 4 * number, 35, 86 + 4 * number, 86


def percent(box: tuple[float, float, float, float]) -> dict[str, float]:
    x0, y0, x1, y1 = box
    height, width = SIZE
    return {
        **{"x": 100 * x0 / width, "y": 100 * y0 / height},
        **{"width": 100 * (x1 - x0) / width, "height": 100 * (y1 - y0) / height, "rotation": 0},
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Studio:
    """Label Studio's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, method: str, path: str, said: Any = None) -> Any:
        body = None if said is None else json.dumps(said).encode()
        return self._ask(method, path, body, "application/json")

    def load(self, project: int, file: Path) -> int:
        """Upload a file; gives the number of its task."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
        body = head.encode() + file.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        self._ask("POST", f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={mark}")
        (task,) = self("GET", f"/api/tasks?project={project}")["tasks"]
        return int(task["id"])

    def connect(self, title: str, config: str, backend: str) -> tuple[int, int]:
        """Make a project and tell it of the backend; gives the numbers of both."""
        project = self("POST", "/api/projects", {"title": title, "label_config": config})["id"]
        said = {"url": backend, "project": project, "title": "streamseg", "is_interactive": True}
        found = self("POST", "/api/ml", said)
        assert found["state"] == "CO", found
        assert found["model_version"].startswith("streamseg ")
        return int(project), int(found["id"])

    def _ask(self, method: str, path: str, body: bytes | None, kind: str) -> Any:
        headers = {"Authorization": f"Token {KEY}", "Content-Type": kind}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:2000]!r}") from error


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder, port = tmp_path_factory.mktemp("label-studio"), free_port()
    settings = {
        # A backend on this machine is one that it has to be allowed to ask, and a token one to be allowed to come with.
        **{"ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "false"},
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        **{"COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "LATEST_VERSION_CHECK": "false"},
        **{"LABEL_STUDIO_BASE_DATA_DIR": str(folder)},
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder)]
    words += ["--username", "somebody@example.org", "--password", "secret-123", "--user-token", KEY]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([STUDIO, "start", *words], env={**outside, **settings}, stdout=log, stderr=log)
    try:
        found = Studio(f"http://127.0.0.1:{port}")
        until_s = time.monotonic() + 900
        while True:
            try:
                found("GET", "/api/version")
                break
            except (OSError, AssertionError):
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                assert time.monotonic() < until_s, (folder / "log").read_text()[-3000:]
                time.sleep(1)
        yield found
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def backend(studio: Studio) -> Iterator[str]:
    port = free_port()
    words = ["label-studio", "--url", studio.url, "--listen", f"127.0.0.1:{port}", "--device", "cpu"]
    process = subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "answers the Label Studio at" in (said := process.stderr.readline()), said + process.stderr.read()
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=60)


def read_back(studio: Studio, project: int, task: int, regions: list[dict[str, Any]], folder: Path) -> Any:
    """Save an answer as a person's annotation, export the project, and read it."""
    studio("POST", f"/api/tasks/{task}/annotations", {"result": regions})
    path = folder / "exported.json"
    path.write_text(json.dumps(studio("GET", f"/api/projects/{project}/export?exportType=JSON")))
    return LabelStudio.read(path)


def test_a_video(studio, backend, tmp_path):
    project, model = studio.connect("video", VIDEO, backend)
    task = studio.load(project, write_video(tmp_path / "clip.mp4", [scene(number) for number in range(LENGTH)]))
    drawn = {
        **{"id": "drawn", "type": "videorectangle", "from_name": "box", "to_name": "video"},
        **{"original_width": SIZE[1], "original_height": SIZE[0]},
        "value": {
            **{"framesCount": LENGTH, "duration": LENGTH / 25, "labels": ["disk"]},
            "sequence": [{"frame": 1, "enabled": True, "time": 0.04, **percent(box_at(0))}],
        },
    }
    asked = {"task": task, "context": {"result": [drawn]}}
    answer = studio("POST", f"/api/ml/{model}/interactive-annotating", asked)
    assert "errors" not in answer, answer
    clip = read_back(studio, project, task, answer["data"]["result"], tmp_path)
    boxes = {frame.position: shape.box_xyxy for frame in clip for shape in frame.shapes}
    assert sorted(boxes) == list(range(LENGTH))
    assert min(box_iou(boxes[frame], box_at(frame)) for frame in boxes) > 0.8
    assert clip.size == SIZE
    assert list(clip.objects.values()) == ["disk"]


def test_a_picture(studio, backend, tmp_path):
    project, model = studio.connect("picture", PICTURE, backend)
    cv2.imwrite(str(tmp_path / "photo.png"), scene(5)[..., ::-1])
    task = studio.load(project, tmp_path / "photo.png")
    drawn = {
        **{"id": "drawn", "type": "rectanglelabels", "from_name": "box", "to_name": "image"},
        **{"original_width": SIZE[1], "original_height": SIZE[0]},
        "value": {**percent(box_at(5)), "rectanglelabels": ["disk"]},
    }
    asked = {"task": task, "context": {"result": [drawn]}}
    answer = studio("POST", f"/api/ml/{model}/interactive-annotating", asked)
    assert "errors" not in answer, answer
    clip = read_back(studio, project, task, answer["data"]["result"], tmp_path)
    ((shape,),) = [frame.shapes for frame in clip]
    truth = np.hypot(*np.meshgrid(np.arange(200) - 80, np.arange(120) - 60)) <= 25
    assert (shape.mask & truth).sum() / (shape.mask | truth).sum() > 0.85


def test_files_are_had_with_a_personal_token_too(studio, tmp_path):
    project = studio("POST", "/api/projects", {"title": "token", "label_config": PICTURE})["id"]
    cv2.imwrite(str(tmp_path / "photo.png"), scene(5)[..., ::-1])
    task = studio.load(project, tmp_path / "photo.png")
    token = studio("POST", "/api/token/", {})["token"]
    media = Media(studio.url, token, 1 << 20)
    address = studio("GET", f"/api/tasks/{task}")["data"]["image"]
    assert media.get(address).read_bytes() == (tmp_path / "photo.png").read_bytes()
    media.close()


def test_a_wrong_interface_is_refused(studio, backend):
    project = studio("POST", "/api/projects", {"title": "text", "label_config": "<View/>"})["id"]
    with pytest.raises(AssertionError, match="incompatible with the current labeling configuration"):
        studio("POST", "/api/ml", {"url": backend, "project": project, "title": "streamseg"})
