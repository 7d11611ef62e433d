"""Running the command ``streamseg`` as a person would: a real process, its output, and what it leaves behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from streamseg.cli import main

COMMAND = [sys.executable, "-m", "streamseg"]

FRAMES = 12
BOXES = ("0,0,18,18", "60,30,100,70")


class FinishedRun(NamedTuple):
    """What the command was given (a video of `FRAMES` frames, `BOXES`), and what came out."""

    video: Path
    folder: Path
    process: subprocess.CompletedProcess[str]


def streamseg(*words: object, cwd: Path | None = None, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=100, check=False, **settings
    )


def told(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same in this process, for what is refused before anything starts: a twentieth of the time."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        code = main([str(word) for word in words])
    return subprocess.CompletedProcess(list(words), code, output.getvalue(), errors.getvalue())


def light_graph(folder: Path, source: Path, *, live: bool = False, **square: Any) -> Path:
    """A graph file with real decode and record, and between them `support.segmenting.Square`; no model to load."""
    graph = {
        "nodes": {
            "decode": {"options": {"source": str(source), "live": live}},
            "square": {"use": "support.segmenting:Square", "options": square},
            "record": {"options": {"output": str(folder / "results")}},
        },
        "links": ["decode -> square -> record"],
    }
    path = folder / "graph.yaml"
    path.write_text(yaml.safe_dump(graph))
    return path


class Running:
    """The command in progress, and every process it has started."""

    def __init__(self, words: list[object], run_dirs: Path) -> None:
        self._mark = f"STREAMSEG_TEST_MARK={uuid.uuid4().hex}".encode()
        name, _, value = self._mark.decode().partition("=")
        environment = {**os.environ, name: value, "XDG_RUNTIME_DIR": str(run_dirs), "TMPDIR": str(run_dirs)}
        self.run_dirs = run_dirs
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def pids(self) -> list[int]:
        """All processes of this run that are alive, itself included."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z" and self._mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def open_files(self) -> list[str]:
        """What its processes have open or mapped."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found += [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
                found += Path(f"/proc/{pid}/maps").read_text().splitlines()
        return found

    def pid_with(self, path: Path) -> int:
        """The worker that has a file open."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if path in [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]:
                    return pid
        raise LookupError(f"no process has {path} open")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, not to its workers."""
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        output, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, output, errors


@contextlib.contextmanager
def running(*words: object) -> Iterator[Running]:
    """Start the command; whatever is left of it at the end of the block is killed."""
    # Not below pytest's own folder: paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="ss-") as run_dirs:
        run = Running(list(words), Path(run_dirs))
        try:
            yield run
        finally:
            for pid in run.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            run.process.wait()
            for pipe in (run.process.stdout, run.process.stderr):
                if pipe is not None:
                    pipe.close()


def eventually(condition: Callable[[], object], seconds: float = 40.0) -> bool:
    """Whether a condition comes true within that time."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def lines_in(file: Path) -> int:
    """How many lines a file has so far; 0 if it is not there."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


def tracks(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``tracks.jsonl``."""
    return [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]
