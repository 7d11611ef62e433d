"""Several files one after the other."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Any

import pytest
from support.command import streamseg, told, tracks
from support.media import decode_plainly, moving_images, write_video

from streamseg.cli.flags.options import given_options
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.main import main, make_parser
from streamseg.cli.running import one_by_one
from streamseg.runtime.supervision.processes import Child
from streamseg.runtime.worker.assignment import Assignment

PROMPT = "- {id: 3, label: square, box: [0, 0, 18, 18]}\n"
FAST = ("--no-overlay", "--focus", "off")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two good files, one that is none, one without prompts, and the prompts."""
    for name in ("a", "c", "d"):
        write_video(tmp_path / f"{name}.mp4", moving_images(4))
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    (tmp_path / "prompts").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "prompts" / f"{name}.yaml").write_text(PROMPT)
    return tmp_path


def test_one_bad_file_does_not_stop_the_rest(films: Path) -> None:
    sources = [films / f"{name}.mp4" for name in "abcd"]
    words = ("run", *sources, "--prompts", films / "prompts", "-o", films / "out", *FAST)
    done = streamseg(*words)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    for name in "ac":
        assert [line["id"] for line in tracks(films / "out" / name)] == [3] * 4
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in (lines[1], lines[3])] == ["4", "4"]
    assert "failed (3)" in lines[2]
    assert "failed (2): expected one file of prompts" in lines[4]
    before = (films / "out/a/tracks.jsonl").stat().st_mtime_ns
    (films / "prompts/d.yml").write_text(PROMPT)
    again = streamseg(*words)
    assert again.returncode == 3
    assert again.stderr.count("is finished; there is nothing to do") == 2
    assert (films / "out/a/tracks.jsonl").stat().st_mtime_ns == before
    assert len(tracks(films / "out/d")) == 4


def test_files_share_their_processes_and_each_is_as_if_it_were_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"a": (160, 120), "b": (96, 128), "c": (160, 120)}
    for (name, (width, height)), frames in zip(sizes.items(), (9, 5, 7), strict=True):
        write_video(tmp_path / f"{name}.mp4", moving_images(frames, width, height))
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    (tmp_path / "prompts.yaml").write_text(PROMPT)
    started: list[str] = []
    make = Child.__init__

    def counting(child: Child, assignment: Assignment, **settings: Any) -> None:
        started.append(assignment.spec.name)
        make(child, assignment, **settings)

    monkeypatch.setattr(Child, "__init__", counting)
    words = ["run", "--prompts", str(tmp_path / "prompts.yaml"), "--set", "cleanup.fill_holes_px=2"]
    sources = [str(tmp_path / f"{name}.mp4") for name in ("a", "bad", "b", "c")]
    assert main([*words, *sources, "--one-by-one", "-o", str(tmp_path / "together")]) == 3
    # Only the one that could not open its file has been replaced.
    assert sorted(started) == ["cleanup", "decode", "decode", "embed", "propagate", "record"]
    for name in sizes:
        assert main([*words, str(tmp_path / f"{name}.mp4"), "-o", str(tmp_path / "alone" / name)]) == 0
        alone, together = tmp_path / "alone" / name, tmp_path / "together" / name
        files = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
        assert len(files) > 5
        for file in files:
            if file.name not in ("run.json", "commits.log", "overlay.mp4"):
                assert (together / file).read_bytes() == (alone / file).read_bytes(), file
        # x264 decides some things by what its threads have done, so the bytes of a video are not always the same.
        assert len(decode_plainly(together / "overlay.mp4")) == len(decode_plainly(alone / "overlay.mp4"))


def test_a_node_that_dies_at_one_file_is_there_again_for_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("a", "b", "c")
    for name in names:
        images = moving_images(3)
        write_video(tmp_path / f"{name}.mp4", [*images[:2], 0 * images[2]] if name == "b" else images)
    sources = [str(tmp_path / f"{name}.mp4") for name in names]
    words = ["run", *sources, "--detect", "support.detectors:Dying", "--one-by-one", "-o", str(tmp_path / "out")]
    assert main([*words, *FAST]) == 7
    printed = capsys.readouterr()
    said = printed.out.splitlines()
    assert [line.split()[1] for line in (said[1], said[3])] == ["3", "3"]
    assert "failed (7)" in said[2]
    assert "node 'detect' ended with exit code 5" in printed.err


def test_ctrl_c_between_two_files_is_heard_by_a_stand_in_for_the_run(
    films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def stand_in(args: argparse.Namespace) -> int:
        seen.append(args.sources[0])
        signal.raise_signal(signal.SIGINT)
        with Interrupts() as interrupts:
            assert interrupts.stop, "a run that begins after it ends at once"
        return 0

    words = ["run", "a.mp4", "c.mp4", "--one-by-one", "--detect", "motion", "-o", str(films / "out")]
    assert one_by_one.run(make_parser().parse_args(words), stand_in) == 130
    assert seen == ["a.mp4"]
    assert "the same command goes on" in capsys.readouterr().err


def test_each_is_gone_on_with_unless_it_is_to_be_replaced_by_a_stand_in_for_the_run(
    films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    def stand_in(args: argparse.Namespace) -> int:
        seen.append((args.sources[0], str(given_options(args)["output"]), args.resume))
        return 130 if len(seen) == 2 else 0

    words = ["run", "x/a.mp4", "y/a.mp4", "c.mp4", "--one-by-one", "--detect", "motion", "-o", str(films / "out")]
    assert one_by_one.run(make_parser().parse_args(words), stand_in) == 130
    # Ctrl-C ends the batch, not only the file that is at work.
    assert seen == [("x/a.mp4", f"{films}/out/a", ""), ("y/a.mp4", f"{films}/out/a-2", "")]
    assert "the same command goes on with a-2" in capsys.readouterr().err
    assert one_by_one.run(make_parser().parse_args([*words, "--overwrite"]), stand_in) == 0
    assert [each[2] for each in seen[2:]] == [None] * 3


def test_what_is_no_batch_is_refused(tmp_path: Path) -> None:
    assert told("run", "--one-by-one").returncode == 2
    done = told("run", "graph.yaml", "--one-by-one", cwd=tmp_path)
    assert done.returncode == 2
    assert "a graph file" in done.stderr
