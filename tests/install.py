"""`make test-install`: streamseg as people get it, into empty environments, and the main job done in each.

    python tests/install.py                       the light install of the wheel and of the sdist, with this Python
    python tests/install.py --full                the whole one of the wheel, too: torch is some gigabytes
    python tests/install.py --extras              what each extra brings, into the light one; --extras ray cloud: these
    python tests/install.py --resolve             only whether every extra fits the pinned versions, and the lowest
    python tests/install.py --lowest              only the light install in the lowest versions, and a few tests with it
    python tests/install.py python3.12 python3.13     with these (before --extras)

Needs nothing but Python with venv, and a package index. It prints what each install weighs and how long it took.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "samples" / "clip" / "clip.mp4"
FRAMES = 12
NOT_OF_USERS = ("bench", "dev", "docs", "fuzz")
TESTING = ("pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6")
LOWEST_TESTS = ("tests/transport", "tests/prompts", "tests/masks", "tests/test_structs.py", "tests/test_yaml_files.py")
"""Messages, prompts, masks: where msgspec, ZeroMQ, numpy, OpenCV, Pillow and YAML do their part."""


def run(*words: object, cwd: Path | None = None) -> str:
    """A command's output; it ends all, with what it said, if it fails."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Environment:
    """An empty virtual environment, and what is put into it."""

    def __init__(self, python: str, folder: Path) -> None:
        run(python, "-m", "venv", folder)
        self.folder = folder
        self._empty = self._bytes()

    def pip(self, *words: object) -> None:
        """Install something."""
        run(self.folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "-q", *words)

    def has(self, module: str) -> bool:
        """Whether a module is installed."""
        script = f"import importlib.util as u; print(u.find_spec({module!r}) is not None)"
        return run(self.folder / "bin" / "python", "-c", script, cwd=self.folder) == "True\n"

    def streamseg(self, *words: object) -> str:
        """What the command prints, run where nothing of this repository is."""
        return run(self.folder / "bin" / "streamseg", *words, cwd=self.folder)

    @property
    def megabytes(self) -> int:
        """What was put into it, in MB."""
        return round((self._bytes() - self._empty) / 1e6)

    def _bytes(self) -> int:
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if not path.is_dir())


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist, built from the sources at hand."""
    builder = Environment(sys.executable, folder / "builder")
    builder.pip(*tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"])
    run(builder.folder / "bin" / "python", "-m", "hatchling", "build", "-d", folder / "dist", cwd=ROOT)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


def do_the_main_job(there: Environment) -> float:
    """Follow an object of the sample clip, and ask of a picture; returns the seconds of the first of these."""
    shutil.copy(CLIP, there.folder / "clip.mp4")
    began_s = time.monotonic()
    there.streamseg("run", "clip.mp4", "--box", "62,238,128,304", "-o", "out", "--max-frames", FRAMES)
    seconds = time.monotonic() - began_s
    lines = [json.loads(line) for line in (there.folder / "out" / "tracks.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == ["TRACKED"] * FRAMES, lines
    assert (there.folder / "out" / "overlay.mp4").stat().st_size > 0
    picture = there.folder / "out" / "masks" / "00000.png"
    there.streamseg("image", picture, "--box", "62,238,128,304", "-o", "pictures")
    report = json.loads(there.streamseg("doctor", "--json"))
    assert report["ok"], report
    assert (there.folder / "pictures" / "results.jsonl").stat().st_size > 0
    return seconds


def install(python: str, folder: Path, what: Path, *, full: bool) -> Environment:
    """Install it, tell what that took, have it do the main job."""
    there = Environment(python, folder)
    began_s = time.monotonic()
    if full:
        there.pip(what)
    else:
        there.pip("-r", ROOT / "requirements-edge.txt")
        there.pip("--no-deps", what)
    seconds = time.monotonic() - began_s
    assert there.has("torch") == full
    megabytes = there.megabytes
    job_s = do_the_main_job(there)
    version = run(there.folder / "bin" / "python", "--version").split()[1]
    way = f"{'full' if full else 'light'}, {'wheel' if what.suffix == '.whl' else 'sdist'}"
    print(f"Python {version:8}{way:14}{megabytes:6} MB{seconds:8.0f} s, {FRAMES} frames in {job_s:.1f} s", flush=True)
    return there


def extras() -> dict[str, list[str]]:
    """Extra -> the packages that it brings, those of extras in it too."""
    own: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def all_of(name: str) -> list[str]:
        inside = [re.fullmatch(r"streamseg\[(.+)\]", each) for each in own[name]]
        others = [other for match in inside if match for other in match[1].split(",")]
        plain = [each for each, match in zip(own[name], inside, strict=True) if not match]
        return plain + [each for other in others for each in all_of(other)]

    return {name: all_of(name) for name in own}


def try_extras(python: str, folder: Path, wheel: Path, chosen: Sequence[str]) -> None:
    """Each extra in a light environment of its own: it brings all that `doctor` looks for, and not torch."""
    for name, packages in extras().items():
        if name in NOT_OF_USERS or (chosen and name not in chosen):
            continue
        there = Environment(python, folder / name)
        there.pip("-r", ROOT / "requirements-edge.txt")
        there.pip("--no-deps", wheel)
        before = there.megabytes
        began_s = time.monotonic()
        there.pip(*packages)
        seconds = time.monotonic() - began_s
        lines = [
            f["text"] for f in json.loads(there.streamseg("doctor", "--json"))["findings"] if f["topic"] == "extra"
        ]
        assert f"{name}: here" in lines, lines
        assert not there.has("torch")
        print(f"extra  {name:12}{there.megabytes - before:6} MB more, {seconds:.0f} s", flush=True)
        shutil.rmtree(there.folder)


def resolve(folder: Path) -> None:
    """Every extra, beside all that streamseg needs, in the pinned and in the lowest versions: nothing contradicts.

    Nothing is installed. uv finds out in seconds, since it reads of torch and the like only what they need; it ends all
    with its own words where no set of packages fits.
    """
    there = Environment(sys.executable, folder)
    there.pip("uv")
    words = (there.folder / "bin" / "uv", "pip", "compile", "-q", "--no-header", "--python", sys.executable)
    for pins in ("constraints.txt", "constraints-lowest.txt"):
        began_s = time.monotonic()
        for name in extras():
            run(*words, ROOT / "pyproject.toml", "--extra", name, "-c", ROOT / pins, "-o", folder / "found.txt")
        print(f"{pins}: {len(extras())} extras fit, {time.monotonic() - began_s:.0f} s", flush=True)


def lowest(folder: Path) -> None:
    """The light install in the lowest versions does the main job, and passes tests of what versions could change."""
    there = Environment(sys.executable, folder / "lowest")
    there.pip("-c", ROOT / "constraints-lowest.txt", "-r", ROOT / "requirements-edge.txt", *TESTING)
    there.pip("--no-deps", build(folder)[0])
    print(f"lowest versions: {FRAMES} frames in {do_the_main_job(there):.1f} s", flush=True)
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow")
    print(run(there.folder / "bin" / "python", *words, *LOWEST_TESTS, cwd=ROOT).splitlines()[-1], flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Do what was asked for; exit code 1 and what went wrong if something does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", default=[sys.executable])
    parser.add_argument("--full", action="store_true", help="with torch and what goes with it, too")
    parser.add_argument("--extras", nargs="*", metavar="EXTRA", help="each extra, or these, too")
    parser.add_argument("--lowest", action="store_true", help="only a few tests with the lowest versions")
    parser.add_argument("--resolve", action="store_true", help="only whether every extra fits the pinned versions")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="streamseg-install-") as name:
        folder = Path(name)
        if args.resolve:
            resolve(folder / "resolve")
        if args.lowest:
            lowest(folder)
        if args.resolve or args.lowest:
            return
        wheel, sdist = build(folder)
        print(f"{wheel.name} {wheel.stat().st_size / 1e6:.1f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB")
        for number, python in enumerate(args.pythons):
            ways = [(wheel, False), (sdist, False), *([(wheel, True)] if args.full else [])]
            for way, (what, full) in enumerate(ways):
                there = install(python, folder / f"{number}-{way}", what, full=full)
                shutil.rmtree(there.folder)
            if args.extras is not None:
                try_extras(python, folder / f"{number}-extras", wheel, args.extras)


if __name__ == "__main__":
    main()
