"""Many files by one command: side by side on this machine, from and to an object store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from support.command import COMMAND, eventually, streamseg, tracks
from support.media import moving_images, write_video

from streamseg.batches import one_task, places
from streamseg.batches.task import Task, ended
from streamseg.cli.main import main
from streamseg.errors import MediaError, OutputError

PROMPT = "- {id: 3, label: square, box: [0, 0, 18, 18]}\n"
FAST = ("--no-overlay", "--focus", "off")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two good files, one that is none, and prompts for all."""
    write_video(tmp_path / "a.mp4", moving_images(4))
    # Made anew it could be another file: x264 decides some things by what its threads have done.
    shutil.copy(tmp_path / "a.mp4", tmp_path / "c.mp4")
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    (tmp_path / "prompts.yaml").write_text(PROMPT)
    return tmp_path


def test_files_side_by_side_give_what_each_gives_alone(films: Path) -> None:
    words = ("batch", "a.mp4", "b.mp4", "c.mp4", "--prompts", "prompts.yaml", "-o", "out", *FAST)
    done = streamseg(*words, "--jobs", 2, "--cores", 1, "--json", cwd=films)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "2 of 3 done, 1 failed" in done.stderr
    report = json.loads(done.stdout)
    assert [(each["name"], each["code"], each["frames"]) for each in report["files"]] == [
        ("a", 0, 4),
        ("b", 3, None),
        ("c", 0, 4),
    ]
    assert "not one that FFmpeg can read" in report["files"][1]["reason"]
    assert json.loads((films / "out/batch.json").read_text())["files"] == report["files"]
    alone = streamseg("run", "a.mp4", "--prompts", "prompts.yaml", "-o", "alone", *FAST, cwd=films)
    assert alone.returncode == 0, alone.stderr
    for name in ("a", "c"):
        assert (films / f"out/{name}/tracks.jsonl").read_bytes() == (films / "alone/tracks.jsonl").read_bytes()
    before = (films / "out/a/tracks.jsonl").stat().st_mtime_ns
    again = streamseg(*words, cwd=films)
    assert again.returncode == 3
    assert (films / "out/a/tracks.jsonl").stat().st_mtime_ns == before, "what was done is not done anew"


def test_a_batch_of_an_object_store(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fsspec.filesystem("memory")
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        store.pipe_file(f"/in/{name}", (films / name).read_bytes())
    store.pipe_file("/in/prompts/a.yaml", PROMPT.encode())
    store.pipe_file("/in/prompts/b.yaml", PROMPT.encode())
    words = ["batch", "memory://in/*.mp4", "--prompts", "memory://in/prompts", "-o", "memory://out", *FAST]
    assert main([*words, "--json"]) == 3
    files = {each["name"]: each for each in json.loads(capsys.readouterr().out)["files"]}
    assert (files["a"]["code"], files["a"]["frames"]) == (0, 4)
    assert files["b"]["code"] == 3
    assert "expected one file of prompts" in files["c"]["reason"]
    lines = [json.loads(line) for line in store.cat_file("/out/a/tracks.jsonl").splitlines()]
    assert [line["id"] for line in lines] == [3] * 4
    assert store.exists("/out/a/masks/00003.png")
    assert json.loads(store.cat_file("/out/batch.json"))["files"][0]["name"] == "a"
    written = store.modified("/out/a/tracks.jsonl")
    assert main(words) == 3
    assert store.modified("/out/a/tracks.jsonl") == written, "what was done is not done anew"
    assert main([*words, "--max-frames", "2"]) == 2
    assert "were made of another source, or with other prompts or options" in capsys.readouterr().err
    assert main([*words, "--max-frames", "2", "--overwrite"]) == 3
    assert not store.exists("/out/a/masks/00003.png"), "nothing is left of what was there before"
    assert json.loads(store.cat_file("/out/a/run.json"))["frames_out"] == 2
    store.rm("/in", recursive=True)
    store.rm("/out", recursive=True)
    assert main(words) == 3
    assert "expected files that match memory://in/*.mp4, there are none" in capsys.readouterr().err


def test_what_was_made_of_another_source_is_not_taken_for_done(films: Path) -> None:
    for name in ("x", "y"):
        (films / name).mkdir()
        (films / "a.mp4").rename(films / name / "clip.mp4")
        write_video(films / "a.mp4", moving_images(3))
    words = ("--prompts", "prompts.yaml", "-o", "out", *FAST)
    assert streamseg("batch", "y/clip.mp4", *words, cwd=films).returncode == 0
    done = streamseg("batch", "x/clip.mp4", "y/clip.mp4", *words, cwd=films)
    assert done.returncode == 2
    assert "source was 'y/clip.mp4', now it is 'x/clip.mp4'" in done.stderr.replace('"', "'")
    assert len(tracks(films / "out/clip-2")) == 3


def test_a_report_that_is_none_is_no_reason_to_stop(tmp_path: Path) -> None:
    task = Task(name="a", source="a.mp4", output=str(tmp_path))
    for text in ('{"error": "odd", "frames_out": "many", "fps": null}', "[]", "{", '{"frames_out": NaN}'):
        (tmp_path / "run.json").write_text(text)
        found = ended(task, 3, folder=tmp_path)
        assert (found.frames, found.fps, found.reason) == (None, None, "it says more above")


@pytest.mark.slow
def test_nodes_that_cannot_go_on_are_followed_from_the_start(films: Path) -> None:
    words = (
        "batch",
        "a.mp4",
        "--detect",
        "support.detectors:Colored",
        "--set",
        "detect.words=[red]",
        "-o",
        "out",
        *FAST,
    )
    assert streamseg(*words, cwd=films).returncode == 0
    again = streamseg(*words, cwd=films)
    assert again.returncode == 0
    assert "is finished; there is nothing to do" in again.stderr


def test_results_that_cannot_be_put_away_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise ConnectionError("no room at https://user:secret@store/")

    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "put_file", full)
    with pytest.raises(OutputError, match="ConnectionError: no room") as caught:
        places.put(tmp_path, "memory://out", last="run.json")
    assert "secret" not in str(caught.value)
    with pytest.raises(MediaError, match="FileNotFoundError"):
        places.fetch("memory://nowhere/at-all.mp4", tmp_path)
    with pytest.raises(MediaError, match="expected to reach"):
        places.fetch("gs://bucket/a.mp4", tmp_path)


@pytest.mark.slow
def test_ctrl_c_ends_those_that_are_at_work_in_good_order(films: Path) -> None:
    write_video(films / "long.mp4", moving_images(200))
    words = [*COMMAND, "batch", "long.mp4", "a.mp4", "c.mp4", "--prompts", "prompts.yaml", "-o", "out", "--jobs", "2"]
    process = subprocess.Popen([*words, *FAST], cwd=films, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    log = films / "out/long/tracks.jsonl"
    assert eventually(lambda: log.exists() and log.stat().st_size > 0, 60)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    report = json.loads((films / "out/long/run.json").read_text())
    assert report["stopped_early"]
    assert len(tracks(films / "out/long")) == report["frames_out"]


@pytest.mark.slow
def test_a_task_ends_with_whoever_wanted_it(films: Path) -> None:
    write_video(films / "long.mp4", moving_images(200))
    script = (
        "import sys; from streamseg.batches.one_task import do; from streamseg.batches.task import Task; "
        "import msgspec; do(msgspec.json.decode(sys.argv[1], type=Task), lambda: False)"
    )
    words = ["batch", "long.mp4", "--prompts", "prompts.yaml", "-o", "out", *FAST]
    task = task_of(films, words)
    process = subprocess.Popen([sys.executable, "-c", script, task], cwd=films)
    log = films / "out/long/tracks.jsonl"
    assert eventually(lambda: log.exists() and log.stat().st_size > 0, 60)
    children = children_of(process.pid)
    assert children
    process.kill()
    process.wait()
    assert eventually(lambda: not any(map(alive, children)), 20)
    again = streamseg(*words, cwd=films)
    assert again.returncode == 0, again.stderr
    assert len(tracks(films / "out/long")) == 200, "another takes it from the last commit"


def task_of(folder: Path, words: list[str]) -> str:
    """The only task of a batch, as JSON."""
    import msgspec

    from streamseg.cli.main import make_parser
    from streamseg.cli.running import one_by_one

    args = make_parser().parse_args(words)
    (task,) = one_by_one.tasks(args, args.sources, "out")
    assert isinstance(task, Task)
    return msgspec.json.encode(task).decode()


def children_of(pid: int) -> list[int]:
    """All processes below one."""
    found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*found, *(below for each in found for below in children_of(each))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_task_that_is_killed_is_told_of(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_task, "_COMMAND", (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    task = Task(name="a", source="a.mp4", output=str(films / "out"))
    found = one_task.do(task, lambda: False)
    assert (found.code, found.reason) == (7, "it was killed by signal 9")


def test_what_makes_no_batch_is_refused(tmp_path: Path) -> None:
    for words, said in (
        (["graph.yaml"], "a graph file"),
        (["a.mp4", "--gpus", "0.5"], "--gpus is for --ray"),
        (["a.mp4", "--retries", "1"], "--retries is for --ray"),
        (["a.mp4", "--jobs", "0"], "a whole number of 1 or more"),
    ):
        done = streamseg("batch", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    (tmp_path / "ray.py").write_text("raise ImportError('no ray here')")
    (tmp_path / "a.mp4").write_bytes(b"")
    done = streamseg("batch", "a.mp4", "--everything", "--ray", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "pip install 'streamseg[ray]'" in done.stderr
