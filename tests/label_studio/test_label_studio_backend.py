"""The ML backend for Label Studio as Label Studio asks it: over HTTP, for files that a stand-in for it serves."""

from __future__ import annotations

import base64
import functools
import http.client
import http.server
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.command import COMMAND, streamseg
from support.media import write_video

from streamseg.cli.main import make_parser
from streamseg.errors import MediaError, OutputError, UsageError
from streamseg.formats.annotation import brush
from streamseg.formats.annotation.label_studio import LabelStudio
from streamseg.label_studio.media import Media
from streamseg.masks.boxes import box_iou

PICTURE = """<View><Image name="img" value="$photo"/>
<BrushLabels name="mask" toName="img"><Label value="disk"/></BrushLabels></View>"""
VIDEO = """<View><Labels name="l" toName="v"><Label value="disk"/></Labels>
<Video name="v" value="$clip" frameRate="25"/><VideoRectangle name="r" toName="v"/></View>"""
KEY = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "a-token-of-enough-letters-for-anybody"


def scene(center_x: int) -> np.ndarray:
    picture = np.full((120, 200, 3), (40, 90, 60), np.uint8)
    cv2.circle(picture, (center_x, 60), 25, (240, 200, 60), -1)
    return cv2.GaussianBlur(picture, (3, 3), 0)


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves files to who has the key, as Label Studio does; sends who asks for /elsewhere on to another server."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Token {KEY}":
            self.send_error(401)
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.2:1/secret")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("studio")
    cv2.imwrite(str(folder / "photo.png"), scene(80)[..., ::-1])
    write_video(folder / "clip.mp4", [scene(60 + 4 * number) for number in range(12)])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Asked:
    """The command in a process of its own."""

    def __init__(self, *words: object, **settings: str) -> None:
        words = ("label-studio", "--listen", "127.0.0.1:0", *words)
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)], stderr=subprocess.PIPE, text=True, env={**os.environ, **settings}
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+) answers", line)
        assert found is not None, line + self.process.stderr.read()
        self.port = int(found[1])

    def __call__(self, method: str, path: str, said: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        body = said if isinstance(said, (bytes, type(None))) else json.dumps(said).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json", **names})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        return answer.status, found

    def close(self) -> str:
        self.process.terminate()
        _, said = self.process.communicate(timeout=60)
        return said


@pytest.fixture(scope="module")
def backend(studio: str) -> Iterator[Asked]:
    found = Asked("--url", studio, "--frames", 8, "--device", "cpu")
    yield found
    found.close()


def question(config: str, data: dict[str, str], regions: list[dict[str, Any]] | None, **task: Any) -> dict[str, Any]:
    context = None if regions is None else {"result": regions}
    return {
        "tasks": [{"id": 1, "data": data, **task}],
        "project": "1.1700000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": context},
    }


def drawn(box: tuple[float, float, float, float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    place = {"x": x0 / 2, "y": y0 / 1.2, "width": (x1 - x0) / 2, "height": (y1 - y0) / 1.2, "rotation": 0}
    return {"id": "mine", "type": "rectanglelabels", "value": {**place, "rectanglelabels": ["disk"]}}


def rectangle(box: tuple[float, float, float, float], frame: int) -> dict[str, Any]:
    value = drawn(box)["value"]
    key = {"frame": frame, "enabled": True, **{name: value[name] for name in ("x", "y", "width", "height")}}
    return {
        "id": "mine",
        "type": "videorectangle",
        "value": {"framesCount": 12, "duration": 0.48, "sequence": [key], "labels": ["disk"]},
    }


def test_health_and_setup(backend):
    assert backend("GET", "/health") == (200, {"status": "UP", "model_class": "streamseg"})
    status, found = backend("POST", "/setup", {"project": "1.1", "schema": PICTURE, "access_token": KEY})
    assert status == 200
    assert found["model_version"].startswith("streamseg ") and found["model_version"].endswith(" tiny")
    assert backend("GET", "/versions")[1] == {"versions": [found["model_version"]]}
    status, found = backend("POST", "/setup", {"project": "1.1", "schema": "<View/>"})
    assert (status, "nothing that streamseg can answer in" in found["error"]) == (400, True)
    assert backend("POST", "/webhook", {"action": "ANNOTATION_CREATED"}) == (200, {})


def test_a_box_and_a_click_become_masks(backend):
    backend("POST", "/setup", {"project": "1.1", "schema": PICTURE, "access_token": KEY})
    body = question(PICTURE, {"photo": "/photo.png"}, [drawn((52, 32, 108, 88))])
    status, found = backend("POST", "/predict", body)
    assert status == 200, found
    (region,) = found["results"][0]["result"]
    assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "mask", "img")
    assert (region["original_width"], region["original_height"]) == (200, 120)
    assert region["value"]["brushlabels"] == ["disk"]
    mask = brush.decode(region["value"]["rle"], 120, 200)
    truth = np.hypot(*np.meshgrid(np.arange(200) - 80, np.arange(120) - 60)) <= 25
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    value = {"x": 40, "y": 50, "width": 0.3, "keypointlabels": ["disk"]}
    body = question(PICTURE, {"photo": "/photo.png"}, [{"id": "k", "type": "keypointlabels", "value": value}])
    status, found = backend("POST", "/predict", body)
    assert status == 200
    assert brush.decode(found["results"][0]["result"][0]["value"]["rle"], 120, 200)[60, 80]


def test_nothing_drawn_is_nothing_found(backend):
    status, found = backend("POST", "/predict", question(PICTURE, {"photo": "/not-there.png"}, None))
    assert (status, found["results"][0]["result"]) == (200, [])
    assert backend("POST", "/predict", question(VIDEO, {"clip": "/not-there.mp4"}, None))[0] == 200


def test_a_rectangle_is_followed_and_read_back(backend, tmp_path):
    """From the frame it was drawn in, as many frames as are allowed; then it is off."""
    backend("POST", "/setup", {"project": "1.1", "schema": VIDEO, "access_token": KEY})
    status, found = backend(
        "POST", "/predict", question(VIDEO, {"clip": "/clip.mp4"}, [rectangle((41, 34, 93, 86), 3)])
    )
    assert status == 200, found
    (region,) = found["results"][0]["result"]
    assert (region["id"], region["from_name"], region["to_name"]) == ("mine", "r", "v")
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([{"data": {}, "annotations": [{"result": [region]}]}]))
    clip = LabelStudio.read(path)
    boxes = {frame.position: shape.box_xyxy for frame in clip for shape in frame.shapes if shape.box_xyxy is not None}
    assert sorted(boxes) == list(range(2, 10))
    for frame, box in boxes.items():
        assert box_iou(box, (35 + 4 * frame, 35, 86 + 4 * frame, 86)) > 0.8


def shown(region: dict[str, Any], folder: Path) -> dict[int, Any]:
    """Frame counted from 0 -> box, as Label Studio shows it."""
    path = folder / "tasks.json"
    path.write_text(json.dumps([{"data": {}, "annotations": [{"result": [region]}]}]))
    return {frame.position: shape.box_xyxy for frame in LabelStudio.read(path) for shape in frame.shapes}


def at(number: int) -> tuple[float, float, float, float]:
    """Where the disk is in a frame counted from 0."""
    return (35 + 4 * number, 35, 86 + 4 * number, 86)


def asked_of(backend: Asked, *regions: dict[str, Any]) -> list[dict[str, Any]]:
    backend("POST", "/setup", {"project": "1.1", "schema": VIDEO, "access_token": KEY})
    status, found = backend("POST", "/predict", question(VIDEO, {"clip": "/clip.mp4"}, list(regions)))
    assert status == 200, found
    return found["results"][0]["result"]


@pytest.mark.parametrize("frame", [8, 10])
def test_a_keyframe_where_it_ended_or_later_lets_it_go_on(backend, tmp_path, frame):
    """The backend follows 8 frames of 12; what it has followed before stays as it was."""
    (region,) = asked_of(backend, rectangle(at(0), 1))
    before = [key for key in region["value"]["sequence"] if key["frame"] != frame]
    assert before[-1]["frame"] <= 8
    (key,) = rectangle(at(frame - 1), frame)["value"]["sequence"]
    region["value"]["sequence"] = [*before, key]
    (region,) = asked_of(backend, region)
    assert region["value"]["sequence"][: len(before)] == before
    boxes = shown(region, tmp_path)
    assert sorted(boxes) == [number for number in range(12) if number < 8 or number >= frame - 1]
    for number, box in boxes.items():
        assert box_iou(box, at(number)) > 0.8
    # Corrected within what was followed last, that is followed again.
    again = asked_of(backend, region)[0]["value"]["sequence"]
    assert again[: len(before)] == before and again[-1]["frame"] == 12


def test_one_that_begins_after_the_others_is_followed_too(backend, tmp_path):
    later = {**rectangle(at(9), 10), "id": "later"}
    first, second = asked_of(backend, rectangle(at(0), 1), later)
    assert (first["id"], second["id"]) == ("mine", "later")
    assert sorted(shown(first, tmp_path)) == list(range(8))
    assert sorted(shown(second, tmp_path)) == [9, 10, 11]


def test_a_video_is_as_long_as_it_is(backend, tmp_path):
    """And not as long as somebody says, who could make that a thousand million frames."""
    region = rectangle(at(0), 1)
    region["value"]["framesCount"] = 900_000_000
    (found,) = asked_of(backend, region)
    assert found["value"]["framesCount"] == 12
    assert sorted(shown(found, tmp_path)) == list(range(8))


def test_what_was_drawn_before_is_followed_without_a_context(backend):
    backend("POST", "/setup", {"project": "1.1", "schema": VIDEO, "access_token": KEY})
    done = [{"updated_at": "2026-01-01", "result": [rectangle((33, 34, 85, 86), 1)]}]
    status, found = backend("POST", "/predict", question(VIDEO, {"clip": "/clip.mp4"}, None, annotations=done))
    assert status == 200, found
    assert found["results"][0]["result"][0]["value"]["sequence"][-1]["frame"] == 8


@pytest.mark.parametrize(
    ("said", "status", "sentence"),
    [
        (question(PICTURE, {"photo": "/photo.png"}, [drawn((52, 32, 52, 88))]), 400, "expected a box with x0 < x1"),
        (question(PICTURE, {"photo": "/none.png"}, [drawn((5, 5, 9, 9))]), 500, "Label Studio answered 404"),
        (question(PICTURE, {"photo": "/clip.mp4"}, [drawn((5, 5, 9, 9))]), 500, "picture of the task cannot be read"),
        (question(PICTURE, {}, [drawn((5, 5, 9, 9))]), 400, "expected the address of a picture"),
        (
            question(PICTURE, {"photo": "http://127.0.0.2:1/a.png"}, [drawn((5, 5, 9, 9))]),
            400,
            "expected a file of the",
        ),
        (question(PICTURE, {"photo": "file:///etc/passwd"}, [drawn((5, 5, 9, 9))]), 400, "expected a file of the"),
        (question(VIDEO, {"clip": "/photo.png"}, [rectangle((150, 500, 160, 600), 1)]), 400, "outside of it"),
        (question(VIDEO, {"clip": "/clip.mp4"}, [rectangle((41, 34, 93, 86), 500)]), 400, ""),
        ({"tasks": 3}, 400, "expected a list of at most 1000 tasks"),
        ([], 400, "expected a JSON object"),
        (b"{", 400, "expected JSON"),
    ],
)
def test_errors_are_one_sentence(backend, said, status, sentence):
    backend("POST", "/setup", {"project": "1.1", "schema": PICTURE, "access_token": KEY})
    found = backend("POST", "/predict", said)
    assert found[0] == status or (not sentence and found[0] >= 400), found
    assert sentence in found[1]["error"]
    assert "Traceback" not in found[1]["error"] and "\n" not in found[1]["error"]
    assert backend("GET", "/health")[0] == 200


def test_who_may_ask(backend):
    assert backend("GET", "/health", Host="evil.example")[0] == 421
    status, found = backend("POST", "/predict", {}, Content_Type="text/plain")
    assert (status, "expected JSON" in found["error"]) == (400, True)


def test_a_token(studio, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "files").mkdir()
    words = ("--url", studio, "--listen-token", tmp_path / "token", "--device", "cpu")
    asked = Asked(*words, TMPDIR=str(tmp_path / "files"))
    assert list((tmp_path / "files").iterdir())
    try:
        assert asked("GET", "/health")[0] == 401
        for wrong in ("Bearer nonsense", "Basic nonsense"):
            began_s = time.monotonic()
            assert asked("GET", "/health", Authorization=wrong)[0] == 401
            assert time.monotonic() - began_s >= 0.5, "so that trying them all takes too long"
        assert asked("GET", "/health", Authorization=f"Bearer {TOKEN}")[0] == 200
        basic = base64.b64encode(f"streamseg:{TOKEN}".encode()).decode()
        assert asked("GET", "/health", Authorization=f"Basic {basic}")[0] == 200
    finally:
        said = asked.close()
    assert "Traceback" not in said
    assert asked.process.returncode == 130
    assert not list((tmp_path / "files").iterdir()), "what it had got of tasks goes with it"


def test_a_server_that_is_gone_is_an_error(studio, monkeypatch):
    """With a stand-in for the server of uvicorn, which nobody knows how to make fail."""
    import uvicorn

    def fail(self: uvicorn.Server, sockets: Any = None) -> None:
        raise RuntimeError("no event loop")

    monkeypatch.setattr(uvicorn.Server, "run", fail)
    args = make_parser().parse_args(["label-studio", "--url", studio, "--listen", "127.0.0.1:0", "--device", "cpu"])
    with pytest.raises(OutputError, match="expected to answer Label Studio until Ctrl-C, got: no event loop; start"):
        args.run(args)


def test_only_this_machine_without_a_token():
    done = streamseg("label-studio", "--listen", "0.0.0.0:9090")
    assert done.returncode == 2
    assert "give --listen-token too, or listen at 127.0.0.1:9090" in done.stderr


def test_the_key_stays_with_its_server(studio):
    media = Media(studio, KEY, 1 << 20)
    with pytest.raises(MediaError, match=r"sends .*elsewhere on to http://127\.0\.0\.2:1"):
        media.get("/elsewhere")
    assert media.get("/photo.png").read_bytes()[:4] == b"\x89PNG"
    media.close()
    small = Media(studio, KEY, 100)
    with pytest.raises(MediaError, match="is larger than 0 MiB; see --max-mb"):
        small.get("/photo.png")
    assert not list(Path(small._folder.name).iterdir()), "what was not had in full is not kept"
    small.close()
    without = Media(studio, None, 1 << 20)
    with pytest.raises(MediaError, match=r"answered 401 .*--api-key-file"):
        without.get("/photo.png")
    without.close()
    with pytest.raises(UsageError, match="such as http://localhost:8080"):
        Media("localhost:8080", None, 1)


def test_only_a_few_files_are_kept(studio):
    media = Media(studio, KEY, 1 << 20)
    paths: list[Path] = [media.get(f"/photo.png?{number}") for number in range(10)]
    assert [path.exists() for path in paths] == [False] * 2 + [True] * 8
    media.close()
    assert not any(path.exists() for path in paths)
