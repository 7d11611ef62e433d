"""Results in Rerun, read back from its own files, and viewers that are there, away or silent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from streamseg_nodes.rerun.node import Rerun
from support.bright_nodes import drawn
from support.command import eventually, streamseg
from support.media import moving_images, write_video

from streamseg.errors import GraphError, OutputError, UsageError
from streamseg.jobs import Job
from streamseg.messages import Frame, Gap, Segmented, Stamp
from streamseg.node import NodeContext

pytest.importorskip("rerun")

FIRST_NS = 1_700_000_000_987_654_321
IDS = (7, 300)


def message(seq: int, *, clock: str = "recording", state: str = "TRACKED") -> Segmented:
    labels = np.zeros((48, 64), np.uint16)
    labels[10:20, 5 + seq : 15 + seq] = 1
    labels[30:40, 40 - seq : 50 - seq] = 2
    plain = drawn(seq, labels, IDS)
    stamp = Stamp("camera", seq, seq, seq * 3, (1, 90), FIRST_NS + seq * 33_333_333, 0, seq + 1, captured_clock=clock)  # type: ignore[arg-type]
    objects = [msgspec.structs.replace(found, state=state) for found in plain.objects]
    return Segmented(Frame(stamp, plain.frame.image_rgb), objects, plain.labels)


def show(to: object, messages: list[Any], job: Job | None = None, **options: Any) -> dict[str, Any]:
    node = Rerun(Rerun.Config(to=str(to), **options), NodeContext("rerun", streams=("camera",), job=job))
    node.setup()
    try:
        for each in messages:
            node.gap(each) if isinstance(each, Gap) else node.process(each)
        node.finish("camera")
        return node.describe()
    finally:
        node.close()


def columns(path: Path) -> dict[str, dict[str, list[Any]]]:
    """Entity -> column -> values, a row for each time that it was told of."""
    import rerun.chunk

    found: dict[str, dict[str, list[Any]]] = {}
    with warnings.catch_warnings(action="ignore"):  # of a file that is still written to Rerun says that it has no end
        chunks = rerun.chunk.RrdReader(path).stream().to_chunks()
    for chunk in chunks:
        batch = chunk.to_record_batch()
        entity = found.setdefault(chunk.entity_path, {})
        for name in set(batch.schema.names) - {"log_time"}:
            times = name in ("capture_time", "video_time", "frame")
            column = batch.column(name)
            entity.setdefault(name, []).extend(column.cast("int64").to_pylist() if times else column.to_pylist())
    return found


def test_a_file_has_masks_boxes_scores_and_states_at_the_times_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.rrd"
    states = ["TRACKED", "TRACKED", "LOST", "REACQUIRED"]
    facts = show(path, [message(seq, state=state) for seq, state in enumerate(states)])
    assert facts == {"to": str(path), "frames": 4, "skipped": 0}
    found = columns(path)
    masks = found["/camera/image/masks"]
    assert masks["capture_time"] == [FIRST_NS + seq * 33_333_333 for seq in range(4)]
    assert masks["frame"] == [0, 1, 2, 3]
    for seq, (data,) in enumerate(masks["SegmentationImage:buffer"]):
        expected = np.array([0, *IDS], np.uint16)[message(seq).labels]
        np.testing.assert_array_equal(np.frombuffer(bytes(data), np.uint16).reshape(48, 64), expected)
    boxes = found["/camera/image/boxes"]
    assert boxes["Boxes2D:centers"][1] == [[11.0, 15.0], [44.0, 35.0]]
    assert boxes["Boxes2D:half_sizes"][1] == [[5.0, 5.0], [5.0, 5.0]]
    assert boxes["Boxes2D:class_ids"][1] == list(IDS)
    assert boxes["Boxes2D:labels"][1] == ["7 thing 7 0.75", "300 thing 300 0.75"]
    assert [score for (score,) in found["/camera/scores/300"]["Scalars:scalars"]] == [0.75] * 4
    (jpeg,) = found["/camera/image"]["EncodedImage:blob"][0]
    picture = cv2.imdecode(np.frombuffer(bytes(jpeg), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    assert abs(int(picture.mean()) - 90) <= 1
    context = found["/camera"]["AnnotationContext:context"][-1][0]
    assert [(each["class_id"], each["class_description"]["info"]["label"]) for each in context][1:] == [
        (7, "7 thing 7"),
        (300, "300 thing 300"),
    ]
    told = [text for (text,) in found["/camera/states"]["TextLog:text"] if text.startswith("object 7")]
    assert told == [f"object 7 thing 7: {state}" for state in ("TRACKED", "LOST", "REACQUIRED")]


def test_a_gap_takes_the_masks_off_and_is_said(tmp_path: Path) -> None:
    gap = Gap(message(1).stamp, "embed", "failed", "no luck")
    show(tmp_path / "out.rrd", [message(0), gap, message(2)])
    found = columns(tmp_path / "out.rrd")
    assert found["/camera/image/masks"]["Clear:is_recursive"] == [[False]]
    assert ["frame 1 failed at embed: no luck"] in found["/camera/states"]["TextLog:text"]


def test_of_a_file_the_times_count_from_its_beginning(tmp_path: Path) -> None:
    show(tmp_path / "out.rrd", [message(seq, clock="reading") for seq in range(3)], image=False)
    found = columns(tmp_path / "out.rrd")
    assert found["/camera/image/masks"]["video_time"] == [seq * 3 * 10**9 // 90 for seq in range(3)]
    assert "/camera/image" not in found


def test_a_file_that_is_there_stays_and_a_run_that_goes_on_has_another(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    show(path, [message(0)])
    before = path.read_bytes()
    with pytest.raises(OutputError, match="is there already"):
        show(path, [message(0)])
    show(path, [message(1)], job=Job(facts={}, begun=True))
    assert path.read_bytes() == before
    assert columns(tmp_path / "out-2.rrd")["/camera/image/masks"]["frame"] == [1]
    with pytest.raises(OutputError, match="expected to write"):
        show("/proc/out.rrd", [])


@pytest.mark.parametrize(
    "to", ["somewhere", "http://127.0.0.1:9876/page", "127.0.0.1:none", "you@127.0.0.1:9876", ":9"]
)
def test_what_is_neither_file_nor_address_is_refused(to: str) -> None:
    with pytest.raises(GraphError, match="HOST:PORT"):
        Rerun.check(Rerun.Config(to=to))
    Rerun.check(Rerun.Config(to="rerun+http://127.0.0.1:9876/proxy"))
    Rerun.check(Rerun.Config(to="[::1]:9876"))


def test_without_the_package_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(UsageError, match=r"pip install 'streamseg\[rerun\]'"):
        show(tmp_path / "out.rrd", [])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_viewer_that_is_away_costs_nothing() -> None:
    facts = show(f"127.0.0.1:{free_port()}", [message(seq % 20) for seq in range(500)], fps=1e9)
    assert (facts["frames"], facts["skipped"]) == (0, 500)


def test_a_viewer_that_takes_nothing_costs_a_few_frames_of_memory() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    frame = message(0)
    large = msgspec.structs.replace(frame, frame=Frame(frame.stamp, noise), labels=np.zeros((480, 640), np.uint16))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = Rerun(Rerun.Config(to=f"127.0.0.1:{silent.getsockname()[1]}", fps=1e9))
        node.setup()
        viewer = node._viewer
        assert viewer is not None and eventually(lambda: viewer.is_free)
        for _ in range(200):
            node.process(large)
        facts = node.describe()
        node.close()
    # What the buffers of the connection take counts as sent.
    assert facts["frames"] <= 10
    assert facts["frames"] + facts["skipped"] >= 198, "one may be on its way, one may wait"


@pytest.mark.slow
def test_a_viewer_that_comes_late_is_shown_what_comes_then(tmp_path: Path) -> None:
    port = free_port()
    node = Rerun(Rerun.Config(to=f"127.0.0.1:{port}", fps=1e9))
    node.setup()
    node.process(message(0))
    # Rerun's own viewer, without a window: it keeps what it is told.
    command = [sys.executable, "-m", "rerun", "--bind", "127.0.0.1", "--port", str(port), "--save", "seen.rrd"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as viewer:
        try:
            link = node._viewer
            assert link is not None and eventually(lambda: link.is_free, 60)
            for seq in range(1, 6):
                assert eventually(lambda: link.is_free)
                node.process(message(seq))
            assert eventually(lambda: link.sent == 5)
            node.close()
            assert node.describe()["skipped"] == 1
            assert eventually(lambda: masks_seen(tmp_path / "seen.rrd") == [1, 2, 3, 4, 5])
        finally:
            viewer.terminate()


def masks_seen(path: Path) -> list[int]:
    try:
        return sorted(columns(path)["/camera/image/masks"]["frame"])
    except (KeyError, RuntimeError, ValueError):
        return []


def test_it_is_a_flag_of_the_command(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_images(6))
    words = ("run", video, "--box", "10,10,40,40", "-o", tmp_path / "out", "--no-overlay")
    done = streamseg(*words, "--rerun", tmp_path / "o.rrd")
    assert done.returncode == 0, done.stderr
    assert columns(tmp_path / "o.rrd")["/decode/image/masks"]["frame"] == list(range(6))
