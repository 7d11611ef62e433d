"""Several files one after the other."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.command import eventually, running, streamseg, tracks
from support.media import moving_images, write_video

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


def test_it_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    sources = [write_video(tmp_path / f"{name}.mp4", moving_images(count)) for name, count in (("one", 30), ("two", 3))]
    (tmp_path / "prompts.yaml").write_text(PROMPT)
    words = ("run", *sources, "--one-by-one", "--prompts", tmp_path / "prompts.yaml", "-o", tmp_path / "out", *FAST)
    with running(*words) as run:
        assert eventually(lambda: (tmp_path / "out/one").is_dir(), 60)
        run.send(signal.SIGINT)
        code, _, errors = run.wait()
    assert code == 130
    assert "the same command goes on" in errors
    assert not (tmp_path / "out/two").exists()
    done = streamseg(*words)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["30", "3"]


def test_what_is_no_batch_is_refused(tmp_path: Path) -> None:
    assert streamseg("run", "--one-by-one").returncode == 2
    done = streamseg("run", "graph.yaml", "--one-by-one", cwd=tmp_path)
    assert done.returncode == 2
    assert "a graph file" in done.stderr
