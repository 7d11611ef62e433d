"""`check`, `nodes`, `models`, `doctor`, and the words of the command line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from support.command import light_graph
from support.graphs import toy_graph

from streamseg import extras
from streamseg.cli import main
from streamseg.cli.output.progress import Progress, progress_line
from streamseg.cli.output.text import duration_text, redacted, size_text, table
from streamseg.cli.parser import join_negative_numbers
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.sam.models import MODELS
from streamseg.transport.control import Stats

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/graph.yaml")), ids=lambda path: path.parent.name)
def test_check_shows_nodes_ports_and_links(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(path.parent)
    assert main(["check", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "embed -> propagate  (Embedded)" in shown
    assert "propagate -> embed  (back-edge)" in shown
    assert "sound" in shown


def test_nodes_have_options_with_types_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes"]) == 0
    shown = capsys.readouterr().out
    for name in ("decode", "embed", "propagate", "cleanup", "record", "publish", "rerun"):
        home = f"{name}.node" if name in ("propagate", "record", "rerun") else name
        assert f"{name}  (streamseg_nodes.{home}:{name.capitalize()} from streamseg" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["source", "str", "(must", "be", "given)"] in lines
    assert ["max_frames", "int", ">=", "1", "|", "None", "=", "None"] in lines
    assert "        stop after N frames (--max-frames)" in shown.splitlines()
    assert ["tracking", "TrackingOptions", "=", "its", "own", "defaults"] in lines
    assert "Embedded -> Segmented, sends back Regions" in shown
    assert "cannot be used" not in shown


def test_one_node_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "record"]) == 0
    assert "decode" not in capsys.readouterr().out
    assert main(["nodes", "propagate"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tracking.margins", "tuple[float,", "...]", "=", "(0.05,)"] in lines
    assert main(["nodes", "recrod"]) == 2
    assert "did you mean 'record'?" in capsys.readouterr().err


def test_models_say_what_is_here(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    (tmp_path / MODELS["vit_l"].file_name).write_bytes(b"")
    assert main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "bundled" in lines["tiny"]
    assert "375.0 MB" in lines["vit_b"] and " no " in lines["vit_b"]
    assert " yes " in lines["vit_l"]


def test_doctor_finds_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for topic in ("python", "cores", "memory", "device", "engine", "torchvision", "overlay", "node", "model", "cache"):
        assert f"ok  {topic}" in shown.replace("ok       ", "ok  ")
    assert "everything that is needed is here" in shown


def test_doctor_shows_the_extras_and_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extras.EXTRAS, "imagined", ("no_such_module", "json"))
    assert main(["doctor"]) == 0, "what only some doors need may be missing"
    shown = capsys.readouterr().out
    for extra in ("page", "bags", "rerun", "dora", "ros2", "export"):
        assert f"{extra}: here" in shown
    assert "imagined: not here (no_such_module): pip install 'streamseg[imagined]'" in shown


def test_version_and_help() -> None:
    for words, expected in ((["--version"], "streamseg 0."), (["run", "--help"], "--box X0,Y0,X1,Y1")):
        done = subprocess.run(
            [Path(sys.executable).with_name("streamseg"), *words], capture_output=True, text=True, check=True
        )
        assert expected in done.stdout


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "streamseg", "nodes"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


def test_numbers_may_be_negative() -> None:
    words = ["run", "a.mp4", "--box", "-5,0,9,9", "--box", "1,2,3,4", "-o", "-5"]
    joined = join_negative_numbers(words, ["--box"])
    assert joined == ["run", "a.mp4", "--box=-5,0,9,9", "--box", "1,2,3,4", "-o", "-5"]


def test_progress_has_rate_time_left_and_load(tmp_path: Path) -> None:
    plan = Plan(config.load(light_graph(tmp_path, tmp_path / "clip.mp4")))
    then = {"decode": Stats(finished={"done": 10}, busy_s=0.1, running_s=1.0)}
    now = {
        "record": Stats(busy_s=0.5, running_s=2.0),
        "decode": Stats(finished={"done": 28, "failed": 2}, busy_s=0.9, running_s=2.0, dropped=3),
    }
    line = progress_line(plan, deque([(100.0, then), (101.0, now)]), 130)
    assert line == "30/130 frames  23%  3 dropped  20.0 frames/s  0:05 left  | decode 80% record 25%"


def test_words() -> None:
    assert [size_text(375_042_383), size_text(2_564_550_879)] == ["375.0 MB", "2.56 GB"]
    assert [duration_text(5), duration_text(65), duration_text(3725)] == ["0:05", "1:05", "1:02:05"]
    assert table([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc  d"
    assert redacted({"a": ["http://u:p@h/", 1]}) == {"a": ["http://***@h/", 1]}


def test_warnings_of_a_kind_are_cut_short_and_others_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(Plan(toy_graph(tmp_path / "out")), logging.WARNING)
    log = logging.getLogger("streamseg.worker.sum")
    log.addHandler(progress)
    try:
        for number in range(2000):
            log.warning("%s", f"slow at frame {number}")
        log.error("%s", "the disk is full")
        log.warning("%s", "another warning")
        for number in range(1500):
            log.warning("%s", f"word {'x' * number}")
        assert len(progress._seen) <= 1000, "memory is bounded"
    finally:
        log.removeHandler(progress)
    shown = capsys.readouterr().err.splitlines()
    assert sum("slow at frame" in line for line in shown) == 10
    assert "more of this kind are not shown" in shown[9]
    assert shown[10:12] == ["error: sum: the disk is full", "warning: sum: another warning"]
