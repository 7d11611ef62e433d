"""``results.mcap`` of a run that was killed: readable up to the last commit, and gone on with to the same messages."""

from __future__ import annotations

import signal
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from support.bags import raw_message, ros_mcap, stamp_ns
from support.command import eventually, running, streamseg
from support.media import moving_images
from support.storm import chained_graph

from streamseg import commits

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

FRAMES = 100


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    messages = [raw_message(image, stamp_ns(number)) for number, image in enumerate(moving_images(FRAMES))]
    return ros_mcap(tmp_path_factory.mktemp("bag") / "drive.mcap", messages)


def graph_of(folder: Path, bag: Path, output: Path, schemas: str, sleep_s: float = 0.0) -> Path:
    path = chained_graph(folder, bag, output, drop_every=17, sleep_s=sleep_s)
    plain = yaml.safe_load(path.read_text())
    plain["nodes"]["record"]["options"]["mcap"] = schemas
    path.write_text(yaml.safe_dump(plain))
    return path


def messages_in(path: Path) -> dict[str, list[tuple[int, int, bytes]]]:
    """Topic -> (time, number, bytes)."""
    found = defaultdict(list)
    with path.open("rb") as file:
        for _, channel, each in make_reader(file, validate_crcs=True).iter_messages():
            found[channel.topic].append((each.log_time, each.sequence, each.data))
    return found


@pytest.mark.parametrize("schemas", [pytest.param("ros2", marks=pytest.mark.slow), "foxglove"])
def test_after_a_kill_it_is_readable_and_goes_on_to_the_same_messages(bag: Path, tmp_path: Path, schemas: str) -> None:
    done = streamseg("run", graph_of(tmp_path, bag, tmp_path / "undisturbed", schemas))
    assert done.returncode == 0, done.stderr
    wanted = messages_in(tmp_path / "undisturbed" / "results.mcap")
    dropped = [number for number in range(FRAMES) if number % 17 == 16]
    assert [number for _, number, _ in wanted["/streamseg/masks"]] == [n for n in range(FRAMES) if n not in dropped]
    assert [log_ns for log_ns, _, _ in wanted["/streamseg/states"]] == [stamp_ns(number) for number in range(FRAMES)]

    folder = tmp_path / "out"
    graph = graph_of(tmp_path, bag, folder, schemas, sleep_s=0.02)
    with running("run", graph) as run:
        assert eventually(lambda: len(list((folder / "masks").glob("*.png"))) >= 50), run.wait()
        run.send(signal.SIGKILL)
        run.wait()
    contents = commits.read(folder)
    assert contents is not None and contents.last is not None
    committed = contents.last.position.seq
    assert 0 < committed < FRAMES
    left = messages_in(folder / "results.mcap")
    assert [number for _, number, _ in left["/streamseg/states"]][:committed] == list(range(committed))
    for topic, found in left.items():
        assert found == wanted[topic][: len(found)], topic
    if schemas == "ros2":
        with AnyReader([folder / "results.mcap"]) as reader:
            assert sum(1 for _ in reader.messages()) == sum(map(len, left.values()))

    done = streamseg("run", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert "going on at frame" in done.stderr
    assert messages_in(folder / "results.mcap") == wanted
