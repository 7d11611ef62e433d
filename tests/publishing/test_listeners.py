"""The samples' listeners in Python, C++ and Node.js hear a running graph, and see the masks that it made."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from streamseg_nodes.publish import Publish
from support.bright_nodes import bright_labels, drawn
from support.command import eventually
from support.media import decode_plainly, moving_images, write_video

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks import rle
from streamseg.node import NodeContext
from streamseg.publishing import format, keys
from streamseg.runtime.supervision.supervisor import Supervisor

ROBOT = Path(__file__).parents[2] / "samples" / "robot"
FRAMES = 60
LINE = re.compile(r"camera frame (\d+), -?\d+\.\d ms old, -?\d+\.\d\d ms on the way; (.+)")
OBJECT = re.compile(r"(\d+) thing \1 TRACKED 0\.75 \[\d+,\d+,\d+,\d+\] (\d+) px")

Program = dict[str, list[str]]
"""The words that start each of the two programs of a language."""


def needed(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def build_cpp(folder: Path) -> Program:
    needed("cmake", "c++")
    found = subprocess.run(["cmake", "-S", ROBOT / "cpp", "-B", folder], capture_output=True, text=True, check=False)
    if re.search(r"Could not find (ZMQ|MSGPACK)", found.stderr):
        pytest.skip("not installed here: libzmq3-dev or libmsgpack-cxx-dev")
    assert found.returncode == 0, found.stderr
    built = subprocess.run(["cmake", "--build", folder, "--parallel", "2"], capture_output=True, text=True, check=False)
    assert built.returncode == 0 and "warning:" not in built.stderr, built.stdout + built.stderr
    return {name: [str(folder / name)] for name in ("subscribe", "wait_for_object")}


def install_nodejs(folder: Path) -> Program:
    needed("node", "npm")
    shutil.copytree(ROBOT / "nodejs", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    # What is installed is what the lock file says; the packages have what they need built, so no script need run.
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install zeromq and @msgpack/msgpack within a minute")
    if re.search(r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|E40[34]|E50\d", done.stderr):
        pytest.skip(f"the npm registry cannot be reached: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return {name: ["node", str(folder / f"{name}.js")] for name in ("subscribe", "wait_for_object")}


@pytest.fixture(scope="module", params=["python", "cpp", pytest.param("nodejs", marks=pytest.mark.slow)])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    if request.param == "cpp":
        return build_cpp(tmp_path_factory.mktemp("cpp"))
    if request.param == "nodejs":
        return install_nodejs(tmp_path_factory.mktemp("nodejs"))
    return {name: [sys.executable, str(ROBOT / f"{name}.py")] for name in ("subscribe", "wait_for_object")}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def robot_graph(clip: Path, addresses: dict[str, str]) -> Plan:
    """The sample's graph, but with a file of this test, no model, and masks published both ways."""
    graph = yaml.safe_load((ROBOT / "graph.yaml").read_text())
    config.parse(graph)
    graph["nodes"]["camera"]["options"] = {"source": str(clip), "live": True}
    del graph["nodes"]["embed"], graph["nodes"]["publish"], graph["feedback"]
    graph["nodes"]["propagate"] = {"use": "support.bright_nodes:Bright"}
    graph["nodes"]["cleanup"] = {"options": {"enabled": False}}
    for masks, address in addresses.items():
        graph["nodes"][masks] = {"use": "publish", "options": {"bind": address, "masks": masks}}
    graph["links"] = ["camera -> propagate -> cleanup", *(f"cleanup -> {masks}" for masks in addresses)]
    return Plan(config.parse(graph))


def test_each_language_sees_the_masks_of_a_running_graph(program: Program, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", moving_images(FRAMES, 640, 360), codec="ffv1", pix_fmt="bgr0")
    addresses = {masks: f"tcp://127.0.0.1:{free_port()}" for masks in ("rle", "raw")}
    subscribe, wait = program["subscribe"], program["wait_for_object"]
    for masks in addresses:
        (tmp_path / masks).mkdir()
    with (
        started(*subscribe, "--masks", tmp_path / "rle", addresses["rle"]) as rle,
        started(*subscribe, "--stream", "camera", "--masks", tmp_path / "raw", addresses["raw"]) as raw,
        started(*wait, "--label", "thing 300", "--timeout", "60", addresses["rle"]) as found,
        started(*wait, "--id", "3", "--timeout", "60", addresses["raw"]) as found_too,
        started(*wait, "--id", "4", "--timeout", "1.5", addresses["rle"]) as in_vain,
        Supervisor(robot_graph(clip, addresses)) as supervisor,
    ):
        supervisor.run()
        said = {masks: process.communicate(timeout=30) for masks, process in (("rle", rle), ("raw", raw))}
        assert (rle.returncode, raw.returncode) == (0, 0), said
        waited = [process.communicate(timeout=30)[0] for process in (found, found_too, in_vain)]
        assert (found.returncode, found_too.returncode, in_vain.returncode) == (0, 0, 1), waited
    assert re.fullmatch(r"camera frame \d+: 300 thing 300 is TRACKED\n", waited[0]), waited
    assert waited[2] == "not TRACKED within 1.5 s: 4\n"
    truth = [bright_labels(image) for image in decode_plainly(clip)]
    for masks in addresses:
        lines = said[masks][0].splitlines()
        frames = [found for found in map(LINE.fullmatch, lines) if found]
        assert len(frames) > FRAMES // 3 and lines[-1] == "camera end", lines
        written = {path.name for path in (tmp_path / masks).iterdir()}
        assert written == {f"camera-{line[1]}-{number}.pgm" for line in frames for number in (3, 300)}
        for line in frames:
            objects = [OBJECT.fullmatch(text) for text in line[2].split("; ")]
            for each, (number, value) in zip(objects, ((3, 1), (300, 2)), strict=True):
                expected = truth[int(line[1])] == value
                mask = cv2.imread(str(tmp_path / masks / f"camera-{line[1]}-{number}.pgm"), cv2.IMREAD_UNCHANGED)
                assert np.array_equal(mask, expected * np.uint8(255))
                assert each is not None and (int(each[1]), int(each[2])) == (number, expected.sum())


def test_each_language_proves_its_key_and_never_falls_behind(program: Program, tmp_path: Path) -> None:
    server, friend = keys.make("server", tmp_path), keys.make("friend", tmp_path)
    options = {"key": str(server.secret), "allow": str(friend.public)}
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*", **options), NodeContext("publish"))
    node.setup()
    labels = np.ones((96, 160), np.uint16)
    said, sent = tmp_path / "said.txt", 0
    words = [*program["subscribe"], "--work", "0.3", node.describe()["endpoint"], friend.secret, server.public]
    with said.open("w") as output, subprocess.Popen(list(map(str, words)), stdout=output) as listener:
        try:

            def heard() -> list[int]:
                nonlocal sent
                for _ in range(5):
                    node.process(drawn(sent, labels, (7,), index=sent, stream="camera"))
                    sent += 1
                return [int(line.split()[2].rstrip(",")) for line in said.read_text().splitlines()]

            assert eventually(lambda: len(heard()) >= 8, seconds=30)
            # A hundred frames or so a second were sent, so whoever took each in turn would be at the eighth.
            frames = heard()
            assert frames == sorted(set(frames)) and frames[7] - frames[0] > 7 * 5

            def over() -> bool:
                # What is sent while a listener's queue is full is dropped for it, the end too.
                node.finish("camera")
                return listener.poll() is not None

            assert eventually(over, seconds=20) and listener.returncode == 0
        finally:
            listener.kill()
            node.close()


def test_each_language_says_what_is_wrong_with_its_words(program: Program, tmp_path: Path) -> None:
    if program["subscribe"][0] == sys.executable:
        pytest.skip("argparse does this in Python")
    for words in (
        [*program["subscribe"], "tcp://127.0.0.1:5560", "own.key_secret"],
        [*program["subscribe"], "tcp://127.0.0.1:5560", tmp_path / "none.key_secret", tmp_path / "none.key"],
        [*program["subscribe"], "127.0.0.1"],
        program["wait_for_object"],
    ):
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done


# Four runs that add up to 2^64, so to nothing in 64 bits, and what is left; what is no letter; too short; too long.
WRAPPED = rle.compress([*[1 << 62] * 4, 96 * 160]).encode()


BAD = [b"\xff\xff", b"0", b"0" * 9999, rle.compress([0, 96 * 160, 1]).encode()]


@pytest.mark.parametrize("bad", [WRAPPED, b"", *(pytest.param(bad, marks=pytest.mark.slow) for bad in BAD)])
def test_each_language_refuses_masks_that_are_none(program: Program, bad: bytes) -> None:
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*"), NodeContext("publish"))
    node.setup()
    parts = format.encode_frame(drawn(0, np.ones((96, 160), np.uint16), (7,)), 5, "rle", "none")
    with started(*program["subscribe"], node.describe()["endpoint"]) as listener:

        def refuses() -> bool:
            node._send([*parts[:2], bad])
            return listener.poll() is not None

        assert eventually(refuses, seconds=20)
        said, errors = listener.communicate()
        assert listener.returncode > 0 and said == ""
        assert re.search(r"not of the frame's size|no run lengths", errors.splitlines()[-1])
    node.close()
