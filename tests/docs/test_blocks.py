"""Every command and every piece of code in README and docs runs, page by page, as a reader would copy it.

What an earlier command has left in the folder that one writes to is put aside, as by who tries one after the other.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support.command import COMMAND
from support.doc_blocks import Block, blocks, program_of
from support.doc_things import make_things
from support.media import decode_plainly

import streamseg
from streamseg.cli.main import make_parser
from streamseg.cli.parser import join_negative_numbers
from streamseg.graph import config
from streamseg.prompts.files import read_prompts

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FIRST = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *(ROOT / "docs" / "start" / f"{name}.md" for name in ("file", "plugins")),
]
"""What newcomers read; the blocks of the other pages take minutes."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
OUTPUTS = ("-o", "--output")
SHORTER = {
    "run": ["--set", "propagate.everything.points_per_side=4"],
    "image": ["--points-per-side", "4"],
}
"""What is added where everything is asked for, so that it takes seconds."""
RUN = ("streamseg", "python")
"""Programs whose commands are run; of others it is only looked at what they are about."""


class Camera:
    """One that is gone through, or read like OpenCV's but for what it says of times."""

    def __init__(self, images_rgb: list[np.ndarray]) -> None:
        self._images = images_rgb
        self._next = 0
        self.time_s = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self._images)

    def read(self) -> np.ndarray | None:
        self._next += 1
        self.time_s += 0.04
        return self._images[self._next - 1][..., ::-1] if self._next <= len(self._images) else None


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return decode_plainly(ROOT / "samples" / "clip" / "clip.mp4")[:16]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, images: list[np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("things")
    make_things(folder, images)
    return folder


def test_blocks_of_every_kind_are_found() -> None:
    kinds = {block.kind for page in PAGES for block in blocks(page)}
    assert {"shell", "python", "yaml", "toml", "json", "text"} <= kinds


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_looks_like_a_command_is_taken_for_one(page: Path) -> None:
    for block in blocks(page):
        if block.kind not in ("shell", "python"):
            assert not re.search(r"^(\w+=\S+ )?(streamseg|pip|make) \S", block.text, re.MULTILINE), block


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page in FIRST else pytest.mark.slow, id=str(page.relative_to(ROOT)))
        for page in PAGES
    ],
)
def test_a_page(
    page: Path, things: Path, images: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    shutil.copytree(things, here)
    monkeypatch.chdir(here)
    names = {"streamseg": streamseg, "camera": Camera(images[:4]), "image_rgb": images[0]}
    for block in blocks(page):
        try:
            _try(block, names)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{page.name}, line {block.line}: {type(error).__name__}: {error}") from error


def _try(block: Block, names: dict[str, Any]) -> None:
    """Do what a block says, in the current folder."""
    if block.file_name is not None:
        Path(block.file_name).write_text(block.text)
    if block.kind == "shell":
        for words in block.commands():
            _look_at(words)
            if not block.not_run and program_of(words) in RUN:
                _run(words)
    elif block.kind == "python":
        compiled = compile(block.text, block.file_name or "<page>", "exec")
        if not block.not_run and block.file_name is None:
            exec(compiled, names)
    elif block.kind == "yaml":
        _check_yaml(block)
    elif block.kind == "toml":
        tomllib.loads(block.text)
    elif block.kind == "json":
        json.loads(block.text)


def _look_at(words: list[str]) -> None:
    """Whether a command may be meant at all, run or not."""
    program, *rest = words[words.index(program_of(words)) :]
    if program == "streamseg":
        ros = rest.index("--ros-args") if "--ros-args" in rest else len(rest)
        args = make_parser().parse_args(join_negative_numbers(rest[:ros]))
        assert args.command == rest[0]
    elif program == "pip":
        for extra in re.findall(r"streamseg\[([\w,]+)\]", " ".join(rest)):
            assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"])
        for name, option in zip(rest[1:], rest, strict=False):
            assert option != "-r" or (ROOT / name).is_file()
    elif program == "make":
        assert all(word in TARGETS for word in rest if "=" not in word), rest
    elif program == "python" and rest[0] != "-c":
        assert (ROOT / rest[0]).is_file()


def _run(words: list[str]) -> None:
    """A command, as it stands, where its results do not yet lie."""
    program = program_of(words)
    position = words.index(program)
    rest = words[position + 1 :]
    for option, value in itertools.pairwise(rest):
        if option in OUTPUTS and "--resume" not in rest and rest[0] != "keys":
            shutil.rmtree(value, ignore_errors=True)
    wanted = {**os.environ, **dict(word.split("=", 1) for word in words[:position])}
    if "PYTHONPATH" in dict(word.split("=", 1) for word in words[:position]):
        wanted["PYTHONPATH"] = os.pathsep.join(filter(None, [wanted["PYTHONPATH"], os.environ.get("PYTHONPATH")]))
    # What a shell makes of a pattern, where it stands without quotes.
    rest = [name for word in rest for name in (sorted(map(str, Path().glob(word))) if "*.mp4" in word else [word])]
    if "--everything" in rest:
        rest += SHORTER[rest[0]]
    begins = COMMAND if program == "streamseg" else [sys.executable]
    # What is printed into a file.
    where = rest.index(">") if ">" in rest else len(rest)
    done = subprocess.run(
        [*begins, *rest[:where]], env=wanted, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    if where < len(rest):
        Path(rest[where + 1]).write_text(done.stdout)


def _check_yaml(block: Block) -> None:
    """A graph is one that would run; a list is one of prompts."""
    found = yaml.safe_load(block.text)
    path = Path(block.file_name or "block.yaml")
    path.write_text(block.text)
    if isinstance(found, list):
        assert read_prompts(path)
    elif "version" in found:
        assert config.load(path).nodes
