"""Fast DDS on the other side, the middleware that ROS 2 has by default: `make test-ros2` builds it and runs this.

It is another implementation in another language, with types that its own generator makes of an IDL file.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import eventually, running
from support.dds_peer import enter_domain

from streamseg.ros2 import types

HERE = Path(__file__).parent / "fastdds"
WIDTH, HEIGHT = 320, 240
BOX = (WIDTH // 8, HEIGHT // 3, WIDTH // 8 + HEIGHT // 3, HEIGHT // 3 * 2)
NEEDED = "apt-get install g++ libfastrtps-dev fastddsgen default-jre-headless"

pytestmark = pytest.mark.fastdds


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peer, built from its sources."""
    if not all(map(shutil.which, ("fastddsgen", "g++"))):
        pytest.fail(f"expected Fast DDS, its generator and a compiler: {NEEDED}")
    folder = tmp_path_factory.mktemp("fastdds")
    for name in ("ros_types.idl", "peer.cpp"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["fastddsgen", "ros_types.idl"], cwd=folder, check=True, capture_output=True)
    sources = ("peer.cpp", "ros_types.cxx", "ros_typesPubSubTypes.cxx")
    command = ["g++", "-O1", "-std=c++17", "-o", "peer", *sources, "-lfastrtps", "-lfastcdr"]
    built = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    return folder / "peer"


class Peer:
    """What the program says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[list[str]] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def of(self, kind: str) -> list[list[str]]:
        return [words for words in list(self.lines) if words[0] == kind]

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(line.split() for line in self._process.stdout)


@pytest.fixture
def stranger(program: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    domain = enter_domain(monkeypatch)
    user_data = f"typehash={types.type_hash('sensor_msgs/msg/Image')};"
    words = [str(program), str(domain), user_data, str(WIDTH), str(HEIGHT)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    yield Peer(process)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def test_fast_dds_sends_images_and_hears_masks_and_detections(stranger: Peer) -> None:
    box = ",".join(map(str, BOX))
    with running("ros2", f"--box={box}", "--ros-args", "-r", "image:=/camera/image_raw"):
        assert eventually(lambda: len(stranger.of("masks")) >= 20, 100), stranger.lines[-3:]
    sent = {tuple(words[1:3]): float(words[3]) for words in stranger.of("sent")}
    masks = stranger.of("masks")
    assert all(tuple(words[1:3]) in sent for words in masks)
    assert all(words[3:7] == ["camera_optical", "mono8", str(WIDTH), str(HEIGHT)] for words in masks)
    seen = [words for words in masks if words[8:] == ["ids", "0", "1"]]
    assert len(seen) >= len(masks) - 2
    assert all(abs(float(words[7]) - sent[words[1], words[2]]) < 4 for words in seen), seen
    assert len({sent[words[1], words[2]] for words in seen}) > 10
    assert any(words[4].startswith("1:TRACKED:") for words in stranger.of("detections"))
