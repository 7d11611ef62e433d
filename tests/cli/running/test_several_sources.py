"""Several sources on one command line: one model, a node, a stream and a folder for each."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from support.command import eventually, running, streamseg, told, tracks
from support.media import StreamServer, write_video

from streamseg.cli.main import make_parser
from streamseg.cli.running.run_graph import from_sources


def two_films(folder: Path) -> tuple[Path, Path]:
    """In each a disk at another place."""
    made = []
    y, x = np.mgrid[:120, :160]
    for number, left in enumerate((10, 100)):
        images = np.full((5, 120, 160, 3), 90, np.uint8)
        images[:, (x - left - 19.5) ** 2 + (y - 59.5) ** 2 < 400] = (220, 60, 40)
        (folder / f"part{number}").mkdir()
        made.append(write_video(folder / f"part{number}" / "film.mp4", images))
    return made[0], made[1]


def lines_in(folder: Path) -> int:
    path = folder / "tracks.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_each_has_a_name_of_its_own_and_they_share_the_rest() -> None:
    words = ["run", "a/clip.mp4", "b/clip.mp4", "rtsp://me:secret@10.0.0.5/x", "0", "--detect", "motion"]
    graph = from_sources(make_parser().parse_args([*words, "-o", "out"]))
    names = ["clip", "clip-2", "stream-10-0-0-5", "camera-0"]
    assert [name for name, spec in graph.nodes.items() if "source" in spec.options] == names
    assert [link for link in graph.links if link[0] in names] == [(name, "detect") for name in names]
    assert [name for name in graph.nodes if name not in names] == ["embed", "propagate", "cleanup", "detect", "record"]


def test_prompts_say_by_name_which_source_they_are_for(tmp_path: Path) -> None:
    first, second = two_films(tmp_path)
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(
        "- {id: 1, stream: film, box: [10, 40, 50, 80]}\n- {id: 2, stream: film-2, box: [100, 40, 140, 80]}\n"
    )
    output = tmp_path / "out"
    done = streamseg("run", first, second, "--prompts", prompts, "-o", output)
    assert done.returncode == 0, done.stderr
    assert f"results: {output}: film/, film-2/, run.json" in done.stderr
    for name, number, left in (("film", 1, 10), ("film-2", 2, 100)):
        lines = tracks(output / name)
        assert [(line["frame"], line["id"]) for line in lines] == [(frame, number) for frame in range(5)]
        for line in lines:
            assert line["box_xyxy"] == pytest.approx((left, 40, left + 40, 80), abs=4)


def test_a_camera_that_dies_does_not_touch_the_other(tmp_path: Path) -> None:
    output, prompts = tmp_path / "out", tmp_path / "prompts.yaml"
    prompts.write_text("- {id: 1, box: [10, 10, 40, 40]}\n")
    with StreamServer("ts") as stays, StreamServer("ts") as dies:
        words = ("--prompts", prompts, "--no-overlay", "-o", output)
        with running("run", stays.url, dies.url, *words) as run:
            lives, ends = (output / f"stream-127-0-0-1-{server.port}" for server in (stays, dies))
            assert eventually(lambda: lines_in(lives) > 3 and lines_in(ends) > 3, 60)
            dies.kill()
            time.sleep(1)  # what was in flight is through
            before, lost = lines_in(lives), lines_in(ends)
            assert eventually(lambda: lines_in(lives) > before + 20, 60)
            assert lines_in(ends) == lost
            run.send(signal.SIGINT)
            code, _, errors = run.wait()
    assert code == 130
    assert "lost" in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a.mp4", "b.mp4", "--box", "1,2,30,40"], "nobody knows which of them it is for; write it into a file"),
        (["a.mp4", "b.mp4", "--box", "1,2,30,40"], "here they are a, b"),
        (["a.mp4", "graph.yaml", "--box", "1,2,30,40"], "graph.yaml beside other sources"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, words: list[str], complaint: str) -> None:
    done = told("run", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())
