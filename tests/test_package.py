"""The wheel and the sdist have all that they must, and nothing that they need not."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {"streamseg": ROOT / "streamseg", "streamseg_nodes": ROOT / "nodes" / "streamseg_nodes"}


def sources() -> set[str]:
    """What a wheel has to have, by the names it has there."""
    return {
        f"{name}/{path.relative_to(home).as_posix()}"
        for name, home in HOMES.items()
        for path in home.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build(where: Path, to: Path, *kinds: str) -> None:
    words = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        *(word for kind in kinds for word in ("-t", kind)),
        "-d",
        str(to),
    ]
    subprocess.run(words, cwd=where, check=True, capture_output=True, timeout=100)


def packaged(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder, "wheel", "sdist")
    return folder


def test_the_wheel_has_weights_and_page_and_nothing_else_but_code(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert packaged(wheel) == sources()
    suffixes = {Path(name).suffix for name in packaged(wheel)}
    assert {".safetensors", ".onnx", ".json", ".html", ".js", ".css", ".svg", ".typed", ".py"} <= suffixes
    (notices,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/LICENSE"))
    assert zipfile.ZipFile(wheel).read(notices) == (ROOT / "LICENSE").read_bytes()


def test_a_wheel_made_of_the_sdist_is_the_same(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (inside,) = tmp_path.iterdir()
    for name in ("requirements-edge.txt", "THIRD_PARTY_NOTICES.md", "samples/clip/clip.mp4", "docs/wire-format.md"):
        assert (inside / name).read_bytes() == (ROOT / name).read_bytes()
    build(inside, tmp_path / "again", "wheel")
    (again,) = (tmp_path / "again").glob("*.whl")
    assert packaged(again) == sources()
