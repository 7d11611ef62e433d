"""``streamseg convert``, and ``--also`` of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support.command import light_graph
from support.media import moving_images, write_video
from support.recorded import record
from support.strange_masks import HEIGHT, WIDTH

from streamseg.cli import main
from streamseg.formats import format as formats
from streamseg.formats.clip import Clip
from streamseg.formats.format import Format


class Areas(Format):
    """A line an object: frame, id, area."""

    holds = "areas"
    read_by = "this test"

    def write(self, clip: Clip, folder: Path) -> None:
        with (folder / "areas.txt").open("w") as file:
            for frame in clip:
                for shape in frame.shapes:
                    print(frame.index, shape.id, shape.area_px, file=file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    video = write_video(root / "clip.mkv", moving_images(6, WIDTH, HEIGHT), codec="ffv1", pix_fmt="bgr0")
    return record(root / "clip", video, overlay=False)


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format of this file, as if a package had brought it."""
    points = formats.entry_points()
    mine = {
        name: metadata.EntryPoint(name, value, formats.GROUP)
        for name, value in (("areas", f"{__name__}:Areas"), ("broken", "no_such_module:Thing"))
    }
    monkeypatch.setattr(formats, "entry_points", lambda: {**points, **mine})


def test_every_format_is_listed(capsys: pytest.CaptureFixture[str], plug_in: None) -> None:
    assert main(["convert", "--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    points = {each.name for each in metadata.entry_points(group="streamseg.formats")}
    assert set(lines) == {*points, "FORMAT", "areas", "broken"}
    assert "cannot be used" in lines["broken"]
    assert "--to --from" in lines["coco"]
    assert "--from" not in lines["csv"]
    for name in points:
        kind = formats.load(name)
        assert kind.holds and kind.read_by and kind.__doc__, name


def test_a_run_is_converted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "coco"
    assert main(["convert", str(folder), "--to", "coco", "--geometry", "polygons", "--images", "-o", str(out)]) == 0
    assert "6 frames, 5 objects as coco" in capsys.readouterr().err
    data = json.loads((out / "instances.json").read_text())
    assert isinstance(data["annotations"][0]["segmentation"], list)
    assert len(list((out / "images").iterdir())) == 6
    assert main(["convert", str(folder), "--to", "coco", "-o", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["convert", str(folder), "--to", "coco", "-o", str(out), "--overwrite", "--every", "4"]) == 0
    assert len(json.loads((out / "instances.json").read_text())["images"]) == 2


def test_plug_ins_are_formats(folder: Path, tmp_path: Path, plug_in: None) -> None:
    assert main(["convert", str(folder), "--to", "areas", "-o", str(tmp_path / "a")]) == 0
    assert len((tmp_path / "a/areas.txt").read_text().splitlines()) == 30


def test_any_format_becomes_any_other(folder: Path, tmp_path: Path) -> None:
    assert main(["convert", str(folder), "--to", "cvat", "-o", str(tmp_path / "a")]) == 0
    words = ["convert", str(tmp_path / "a/annotations.xml"), "--from", "cvat", "--to", "youtube-vis"]
    assert main([*words, "-o", str(tmp_path / "b")]) == 0
    data = json.loads((tmp_path / "b/instances.json").read_text())
    assert [each["track_id"] for each in data["annotations"]] == [1, 7, 70, 300]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected RUN --to FORMAT"),
        (["RUN", "--to", "cocoo"], "did you mean 'coco'?"),
        (["RUN", "--to", "csv", "--geometry", "masks"], "unknown key 'geometry'; known: masks"),
        (["RUN", "--to", "coco", "--geometry", "boxes"], "expected another value for geometry"),
        (["RUN", "--to", "coco", "--tolerance-px", "-1"], "of at least 0 for tolerance_px"),
        (["RUN", "--to", "davis"], "say --renumber"),
        (["RUN", "--to", "coco", "--every", "0"], "1 or more"),
        (["RUN/nothing", "--to", "coco"], "is no folder"),
        (["RUN/nothing", "--from", "coco", "--to", "csv"], "there is nothing"),
        (["RUN", "--from", "csv", "--to", "coco"], "can only be written"),
        (["RUN", "--to", "cutout", "--source", "gone.mp4"], "gone.mp4"),
        (["RUN", "--to", "coco", "-o", "RUN/run.json"], "is a file"),
        (["RUN", "--from", "mot", "--size", "big", "--to", "csv"], "such as 1280x720"),
    ],
)
def test_what_cannot_be_is_said(
    folder: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("RUN", str(folder)) for word in words]
    if "--to" in words and "-o" not in words:
        words += ["-o", str(tmp_path / "out")]
    assert main(["convert", *words]) != 0
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_closed_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert main(["convert", str(folder), "--to", "coco", "-o", str(tmp_path / "out")]) == 5
    assert "choose another folder" in capsys.readouterr().err


def test_a_full_disk_is_said(folder: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from streamseg.cli import main; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900));"
        f"sys.exit(main(['convert', {str(folder)!r}, '--to', 'coco', '-o', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "free space" in done.stderr
    assert not (tmp_path / "out/instances.json").exists()


def test_a_run_writes_other_formats_at_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_images(4))
    graph = light_graph(tmp_path, video)
    assert main(["run", str(graph), "--inline", "--also", "coco,contact-sheet"]) == 0
    results = tmp_path / "results"
    assert (results / "coco/instances.json").is_file()
    assert (results / "contact-sheet/results.png").is_file()
    assert f"as coco: {results / 'coco'}" in capsys.readouterr().err
    assert main(["run", str(graph), "--inline", "--overwrite", "--set", "record.also=[davis]"]) == 0
    assert (results / "davis/ImageSets/2017/val.txt").is_file()
    assert main(["serve", str(video), "--also", "cocoo"]) == 2
    assert "did you mean 'coco'" in capsys.readouterr().err
    assert main(["run", str(graph), "--inline", "--overwrite", "--also", "cocoo"]) == 2
    assert "did you mean 'coco'" in capsys.readouterr().err
