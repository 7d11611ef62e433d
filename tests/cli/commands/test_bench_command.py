"""``streamseg bench``, with few and small frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import streamseg

from streamseg.cli import main

SMALL = ("--size", "160x96", "--rounds", "1", "--frames", "8", "--calls", "2", "--warm-up", "0")
ENGINE = ("--engine", "onnxruntime")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything, as JSON."""
    process = streamseg("bench", *SMALL, *ENGINE, "--json", cwd=tmp_path_factory.mktemp("bench"))
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def test_everything_is_measured_and_says_on_what(measured: dict[str, Any]) -> None:
    names = [each["benchmark"] for each in measured["benchmarks"]]
    assert names == ["encoder", "decoder", "pipeline", "latency", "live", "transport"]
    assert measured["machine"]["cores"] >= 1
    assert {"streamseg", "numpy", "onnxruntime"} <= measured["machine"]["versions"].keys()
    assert measured["date"].endswith("+00:00")
    for each in measured["benchmarks"]:
        assert each["figures"]
        for figure in each["figures"]:
            assert figure["unit"] == ("frames/s" if each["benchmark"] == "pipeline" else "ms")
            assert 0 < figure["least"] <= figure["median"] <= figure["most"]


def test_runs_say_what_became_of_their_frames(measured: dict[str, Any]) -> None:
    found = {each["benchmark"]: each for each in measured["benchmarks"]}
    nodes = found["pipeline"]["facts"]["p50_ms_of_each_node_in_the_last_round"]["onnxruntime, masks"]
    assert nodes.keys() == {"decode", "embed", "propagate", "cleanup", "record"}
    live = found["live"]["facts"]
    (done,), (lost,) = live["frames_published_in_each_round"].values(), live["frames_lost_in_each_round"].values()
    assert done[0] >= 1
    assert done[0] + lost[0] == 8
    names = [figure["name"] for figure in found["latency"]["figures"]]
    assert "onnxruntime, from capture to recorded p95" in names
    assert "onnxruntime, propagate p50" in names
    (transport,) = found["transport"]["figures"]
    assert transport["count"] == 8


def test_a_table_for_people_and_a_file_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "found.json"
    assert main(["bench", "encoder", *SMALL, *ENGINE, "--engine", "torch", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "cores of" in shown.splitlines()[0]
    assert "| encoder, ms" in shown
    assert "| torch f32, view 256x256" in shown
    assert " x as fast | " in shown
    assert [each["benchmark"] for each in json.loads(path.read_text())["benchmarks"]] == ["encoder"]


def test_ones_own_clip(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "decoder", "--clip", str(video), "--box", "0,0,18,18", *SMALL, *ENGINE, "--json"]
    assert main(words) == 0
    (found,) = json.loads(capsys.readouterr().out)["benchmarks"]
    assert found["settings"]["frame"] == "160x120"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["encodr"], "there is no 'encodr' to measure; did you mean 'encoder'?"),
        (["encoder", "--size", "161x96"], "expected WIDTHxHEIGHT in pixels, both even and 64 or more"),
        (["encoder", "--size", "32x32"], "expected WIDTHxHEIGHT in pixels, both even and 64 or more"),
        (["encoder", "--clip", "x.mp4"], "expected --clip and --box together"),
        (["encoder", "--clip", "x.mp4", "--box", "9,9,1,1"], "has no area"),
        (["encoder", "--clip", "not-there.mp4", "--box", "0,0,9,9"], "not-there.mp4"),
        (["encoder", "--engine", "onnx"], "there is no engine 'onnx'"),
        (["encoder", "--model", "tinny"], "did you mean 'tiny'?"),
        (["encoder", "--rounds", "0"], "expected a whole number of 1 or more"),
    ],
)
def test_mistakes_are_said_in_a_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) in (2, 3, 4)
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_file_that_cannot_be_written_is_said_after_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no" / "such" / "folder.json"
    assert main(["bench", "encoder", *SMALL, *ENGINE, "--json", str(path)]) == 5
    shown = capsys.readouterr()
    assert "| encoder, ms" in shown.out
    assert "cannot be written" in shown.err
