"""`streamseg run` to a good end: what is printed, what is written."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command import COMMAND, FRAMES, FinishedRun, light_graph, streamseg, tracks
from support.media import decode_plainly, moving_images, write_video

from streamseg.sam import engines


def test_it_succeeds_and_says_where_the_results_are(finished: FinishedRun) -> None:
    assert finished.process.returncode == 0, finished.process.stderr
    assert "out/clip: overlay.mp4, masks, tracks.jsonl, run.json" in finished.process.stderr


def test_a_pipe_gets_a_few_lines_and_no_progress(finished: FinishedRun) -> None:
    assert "\r" not in finished.process.stderr
    assert len(finished.process.stderr.splitlines()) == 3


def test_every_frame_is_there(finished: FinishedRun) -> None:
    assert len(decode_plainly(finished.folder / "overlay.mp4")) == FRAMES
    masks = sorted(path.name for path in (finished.folder / "masks").iterdir())
    assert masks == [f"{number:05d}.png" for number in range(FRAMES)]
    assert [(line["frame"], line["id"]) for line in tracks(finished.folder)] == [
        (frame, object_id) for frame in range(FRAMES) for object_id in (1, 2)
    ]


def test_the_first_masks_lie_in_their_boxes(finished: FinishedRun) -> None:
    labels = np.asarray(Image.open(finished.folder / "masks" / "00000.png"))
    assert labels.shape == (120, 160)
    first, second = labels == 1, labels == 2
    assert first[:24, :24].sum() > 0.8 * first.sum() > 0
    assert second[20:80, 50:110].sum() > 0.8 * second.sum()


def test_run_json_is_what_was_printed(finished: FinishedRun) -> None:
    report = json.loads(finished.process.stdout)
    assert json.loads((finished.folder / "run.json").read_text()) == report
    assert report["frames_in"] == report["frames_out"] == FRAMES
    assert (report["dropped"], report["failed"], report["damaged"]) == (0, 0, 0)
    assert report["fps"] > 0
    assert report["error"] is None
    assert not report["stopped_early"]
    for stage in ("decode", "embed", "propagate", "cleanup", "record", "end_to_end"):
        assert set(report["latency_ms"][stage]) == {"p50", "p95", "p99"}
    assert report["model"]["name"] == "tiny"
    assert len(report["model"]["sha256"]) == 64
    assert {report["nodes"][name]["engine"] for name in ("embed", "propagate")} == {engines.quickest()}
    assert {"python", "streamseg", "torch", "onnxruntime"} <= set(report["versions"])
    assert report["graph"]["feedback"] == ["propagate -> embed"]


def test_one_process_gives_the_same_masks(finished: FinishedRun, tmp_path: Path) -> None:
    boxes = json.loads(finished.process.stdout)["graph"]["nodes"]["propagate"]["options"]["prompts"]
    words = [f"--box={','.join(map(str, prompt['box']))}" for prompt in boxes]
    done = streamseg("run", finished.video, *words, "--inline", "--no-overlay", "-o", tmp_path / "inline")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "inline" / "overlay.mp4").exists()
    for path in sorted((finished.folder / "masks").iterdir()):
        assert (tmp_path / "inline" / "masks" / path.name).read_bytes() == path.read_bytes()


def test_the_default_folder_never_hits_earlier_results(video: Path, tmp_path: Path) -> None:
    graph = light_graph(tmp_path, video)
    graph.write_text(graph.read_text().replace(f"output: {tmp_path}/results", "overwrite: false"))
    for name in ("graph", "graph-2"):
        done = streamseg("run", graph.name, "--max-frames", 2, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out" / name / "masks").iterdir())) == 2


def test_earlier_results_stay_unless_told_otherwise(video: Path, tmp_path: Path) -> None:
    graph = light_graph(tmp_path, video)
    assert streamseg("run", graph).returncode == 0
    before = (tmp_path / "results" / "run.json").read_bytes()
    refused = streamseg("run", graph)
    assert refused.returncode == 5
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "results" / "run.json").read_bytes() == before
    replaced = streamseg("run", graph, "--overwrite", "--max-frames", 3)
    assert replaced.returncode == 0, replaced.stderr
    assert len(list((tmp_path / "results" / "masks").iterdir())) == 3
    assert json.loads((tmp_path / "results" / "run.json").read_text())["frames_out"] == 3


@pytest.mark.parametrize("extra", [(), ("--inline",)], ids=["processes", "inline"])
def test_a_run_of_failures_only_is_a_failure(video: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    done = streamseg("run", light_graph(tmp_path, video, fail=True), "--json", *extra)
    assert done.returncode == 7
    report = json.loads(done.stdout)
    assert (report["frames_out"], report["failed"]) == (0, FRAMES)
    assert report["error"]["kind"] == "RunError"
    assert f"all {FRAMES} frames failed" in done.stderr
    assert done.stderr.count("no luck today") == 10
    assert "more of this kind are not shown" in done.stderr
    assert json.loads((tmp_path / "results" / "run.json").read_text()) == report


def test_secrets_of_a_url_are_shown_nowhere(tmp_path: Path) -> None:
    url = "http://ann:hunter2@127.0.0.1:9/live?token=opensesame"
    done = streamseg(
        "run", url, "--box", "1,1,9,9", "-o", tmp_path / "results", "--json", "-vv"
    )  # not said to be live, so not waited for
    assert done.returncode == 3
    assert "127.0.0.1" in done.stderr
    for secret in ("hunter2", "opensesame"):
        assert secret not in done.stdout + done.stderr


def test_a_terminal_gets_one_line_that_is_rewritten(video: Path, tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    words = [*COMMAND, "run", str(light_graph(tmp_path, video, sleep_s=0.1))]
    process = subprocess.Popen(words, stderr=its_end)
    os.close(its_end)
    shown = b""
    # Linux says EIO when the other end is closed.
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    assert process.wait() == 0
    assert shown.count(b"\r\x1b[K") > 3
    assert f"/{FRAMES} frames".encode() in shown
    assert b"| decode" in shown


def test_damage_is_counted_and_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", moving_images(60, 160, 120), options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    done = streamseg("run", light_graph(tmp_path, path), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["damaged"] > 0
    assert 0 < report["frames_out"] == report["frames_in"] < 60
    assert f"{report['damaged']} damaged in the source" in done.stderr


def test_prompts_of_a_file_come_and_go_by_frame(video: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.yaml").write_text(
        "- {id: 3, label: corner, box: [0, 0, 18, 18]}\n"
        "- {id: 5, frame: 2, points: [[80, 50]]}\n"
        "- {id: 3, frame: 4, remove: true}\n"
    )
    words = (
        "--prompts",
        tmp_path / "prompts.yaml",
        "-o",
        tmp_path / "new",
        "--max-frames",
        6,
        "--no-overlay",
        "--inline",
    )
    done = streamseg("run", video, *words)
    assert done.returncode == 0, done.stderr
    ids = [(line["frame"], line["id"]) for line in tracks(tmp_path / "new")]
    assert ids == [(0, 3), (1, 3), (2, 3), (2, 5), (3, 3), (3, 5), (4, 5), (5, 5)]
    prompts = json.loads((tmp_path / "new" / "run.json").read_text())["graph"]["nodes"]["propagate"]["options"][
        "prompts"
    ]
    assert [prompt["id"] for prompt in prompts] == [3, 5, 3]
