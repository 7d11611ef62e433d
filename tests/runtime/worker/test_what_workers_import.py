"""Worker processes can import what the process that starts them can, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.media import moving_images, write_video

# What runs in a process that should not look here says so.
TRAP = "import pathlib\npathlib.Path(__file__).with_suffix('.was_run').touch()\nraise ImportError('a trap')\n"
TRAPPED = ("numpy", "zmq", "msgspec", "logging", "streamseg", "streamseg_nodes", "sitecustomize")

MINE = """
from support.segmenting import Square


class Mine(Square):
    pass
"""

SCRIPT = """
import sys
from pathlib import Path
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor

with Supervisor(Plan(config.load(Path(sys.argv[1])))) as supervisor:
    while supervisor.state != "finished":
        supervisor.pump(100)
    supervisor.raise_error()
"""


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """A folder with a clip, and with files of a stranger that are named as libraries are."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    write_video(folder / "clip.mp4", moving_images(3))
    for name in TRAPPED:
        (folder / f"{name}.py").write_text(TRAP)
    return folder


def graph(path: Path, source: Path, use: str) -> Path:
    nodes = {
        "decode": {"options": {"source": str(source)}},
        "square": {"use": use},
        "record": {"options": {"output": str(path.parent / "results")}},
    }
    path.write_text(yaml.safe_dump({"nodes": nodes, "links": ["decode -> square -> record"]}))
    return path


def run(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = [*environment.pop("PYTHONPATH", "").split(":"), *(entry for entry in sys.path if entry)]
    settings = {**os.environ, **environment, "PYTHONPATH": ":".join(entry for entry in paths if entry)}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=settings,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_files_of_a_stranger_beside_the_clip_are_not_run(downloads: Path, tmp_path: Path) -> None:
    # As the command streamseg does: its own folder is on the path, the current one is not.
    path = graph(tmp_path / "graph.yaml", downloads / "clip.mp4", "support.segmenting:Square")
    done = run("-P", "-m", "streamseg", "run", path, cwd=downloads)
    assert done.returncode == 0, done.stderr
    assert not list(downloads.glob("*.was_run"))
    assert len(list((tmp_path / "results" / "masks").iterdir())) == 3


def test_a_node_beside_a_script_is_found_wherever_the_script_is_started(downloads: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "my_nodes.py").write_text(MINE)
    (home / "script.py").write_text(SCRIPT)
    path = graph(tmp_path / "graph.yaml", downloads / "clip.mp4", "my_nodes:Mine")
    done = run(home / "script.py", path, cwd=downloads)
    assert done.returncode == 0, done.stderr
    assert not list(downloads.glob("*.was_run"))


def test_a_node_in_the_current_folder_takes_a_word_from_the_user(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", moving_images(3))
    (tmp_path / "my_nodes.py").write_text(MINE)
    path = graph(tmp_path / "graph.yaml", tmp_path / "clip.mp4", "my_nodes:Mine")
    refused = run("-P", "-m", "streamseg", "run", path, cwd=tmp_path)
    assert refused.returncode == 2
    assert "PYTHONPATH=." in refused.stderr
    done = run("-P", "-m", "streamseg", "run", path, cwd=tmp_path, PYTHONPATH=".")
    assert done.returncode == 0, done.stderr


def test_a_node_that_cannot_be_imported_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    path = graph(tmp_path / "graph.yaml", tmp_path / "clip.mp4", "broken:Node")
    for use, word in (
        ("broken:Node", "ZeroDivisionError"),
        ("../../x:Y", "package.module:Class"),
        ("broken:", "Class"),
    ):
        graph(path, tmp_path / "clip.mp4", use)
        done = run("-m", "streamseg", "check", path, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert word in done.stderr
