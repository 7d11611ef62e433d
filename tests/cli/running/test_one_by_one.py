"""Several files one after the other."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from support.command import streamseg, told, tracks
from support.media import moving_images, write_video

from streamseg.cli.flags.options import given_options
from streamseg.cli.main import make_parser
from streamseg.cli.running import one_by_one

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
