"""A run on a bag that is killed goes on where it was, like one on a video file."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from mcap.reader import make_reader
from streamseg_nodes.record.mcap.messages import PROMPTS
from support.bags import TOPIC, foxglove_mcap, raw_message, ros_bag, ros_mcap, stamp_ns, video_messages
from support.command import eventually, running, streamseg
from support.media import moving_images
from support.storm import chained_graph, check_same

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

FRAMES = 100
GIVEN = {"label": "", "points_xy": [], "negative_xy": [], "has_mask": False, "remove": False}


@pytest.fixture(
    scope="module", params=["mcap", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite3", "video"))]
)
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, images = tmp_path_factory.mktemp("bag"), moving_images(FRAMES)
    if request.param == "video":
        return foxglove_mcap(folder / "drive.mcap", video_messages(images, "h264"))
    messages = [raw_message(image, stamp_ns(number)) for number, image in enumerate(images)]
    return ros_bag(folder / "drive", messages) if request.param == "sqlite3" else ros_mcap(folder / "d.mcap", messages)


def test_a_run_on_a_bag_that_was_killed_goes_on(bag: Path, tmp_path: Path) -> None:
    done = streamseg("run", chained_graph(tmp_path, bag, tmp_path / "undisturbed", drop_every=17))
    assert done.returncode == 0, done.stderr
    graph = chained_graph(tmp_path, bag, tmp_path / "out", drop_every=17, sleep_s=0.02)
    with running("run", graph) as run:
        assert eventually(lambda: len(list((tmp_path / "out" / "masks").glob("*.png"))) >= 30), run.wait()
        run.send(signal.SIGKILL)
        run.wait()
    done = streamseg("run", "--resume", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert check_same(tmp_path / "out", tmp_path / "undisturbed")["restarts"] == 1


def test_a_topic_is_a_flag_of_the_command(tmp_path: Path) -> None:
    messages = [raw_message(image, stamp_ns(number)) for number, image in enumerate(moving_images(6))]
    bag = ros_mcap(tmp_path / "drive.mcap", messages, topics=("/left", TOPIC))
    words = ("run", bag, "--box", "10,10,40,40", "-o", tmp_path / "out", "--no-overlay")
    failed = streamseg(*words)
    assert (failed.returncode, "say which with --topic NAME" in failed.stderr) == (2, True), failed.stderr
    done = streamseg(*words, "--topic", TOPIC, "--start", 2, "--mcap", "foxglove")
    assert done.returncode == 0, done.stderr
    assert "results.mcap" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == [f"{n:05d}.png" for n in range(2, 6)]
    with (tmp_path / "out" / "results.mcap").open("rb") as file:
        found = [(each.log_time, json.loads(each.data)) for _, _, each in make_reader(file).iter_messages([PROMPTS])]
    assert found == [(stamp_ns(2), {"frame": 2, "prompts": [GIVEN | {"id": 1, "box_xyxy": [10.0, 10.0, 40.0, 40.0]}]})]
