"""`make test` runs every test that is not for later once, in one of its two parts, and fails if either does."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MARKERS = [
    line.partition(":")[0]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
]
NOT_QUICK = {"slow", "fastdds", "label_studio"}
ONE = ("-n", "0")
"""Words for one process, which starts sooner."""
HEAD = """
import os
import pytest

def ran(name):
    with open("ran", "a") as file:
        file.write(f"{name} {os.environ.get('PYTEST_XDIST_WORKER', 'none')[:2]}\\n")
"""


def quick(folder: Path, tests: dict[str, list[str]], *words: str) -> tuple[int, dict[str, list[str]]]:
    """Run a folder of tests with these marks, of which "bad" fails; the exit code, and in what processes each ran."""
    for name, marks in tests.items():
        lines = [f"@pytest.mark.{mark}" for mark in marks]
        lines += [f"def test_{name}():", f"    ran({name!r})", f"    assert {name != 'bad'}"]
        (folder / f"test_{name}.py").write_text("\n".join([HEAD, *lines, ""]))
    settings = ["[pytest]", "markers =", *(f"    {marker}" for marker in MARKERS)]
    (folder / "pytest.ini").write_text("\n".join([*settings, ""]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    program = [sys.executable, ROOT / "tests" / "quick.py", "-p", "xdist.plugin", *words]
    done = subprocess.run(
        program, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    found: dict[str, list[str]] = {}
    for line in (folder / "ran").read_text().splitlines() if (folder / "ran").exists() else []:
        name, where = line.split()
        found.setdefault(name, []).append(where)
    return done.returncode, found


def test_every_test_is_run_once_and_those_that_are_to_be_alone_are(tmp_path: Path) -> None:
    assert "alone" in MARKERS
    others = [marker for marker in MARKERS if marker != "alone"]
    tests: dict[str, list[str]] = {"plain": [], "alone": ["alone"]}
    tests |= {marker: [marker] for marker in others}
    tests |= {f"alone_{marker}": [marker, "alone"] for marker in others}
    # Also on a machine for which more are asked for.
    code, found = quick(tmp_path, tests, "-n", "3")
    assert code == 0
    expected = {name: marks for name, marks in tests.items() if not NOT_QUICK & set(marks)}
    assert found == {name: ["no" if "alone" in marks else "gw"] for name, marks in expected.items()}


@pytest.mark.parametrize("marks", [[], ["alone"]], ids=["two at once", "alone"])
def test_a_failure_in_either_part_is_one_of_the_whole_and_the_other_is_run(tmp_path: Path, marks: list[str]) -> None:
    code, found = quick(tmp_path, {"bad": marks, "one": [], "other": ["alone"]}, *ONE)
    assert code == 1
    assert set(found) == {"bad", "one", "other"}


@pytest.mark.parametrize("marks", [[], ["alone"]], ids=["two at once", "alone"])
def test_a_part_without_tests_is_no_failure(tmp_path: Path, marks: list[str]) -> None:
    assert quick(tmp_path, {"one": marks}, *ONE) == (0, {"one": ["no"]})


def test_that_there_are_no_tests_at_all_is_one(tmp_path: Path) -> None:
    assert quick(tmp_path, {"one": ["slow"]}, *ONE) == (5, {})


@pytest.mark.parametrize("target", ["test", "test-lowest"])
def test_make_runs_both_parts(target: str) -> None:
    _, _, recipe = (ROOT / "Makefile").read_text().partition(f"\n{target}:")
    assert recipe.partition("\n\n")[0].endswith("/python tests/quick.py $(PYTEST)")
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
