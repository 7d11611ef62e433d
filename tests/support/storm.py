"""Killing and stopping processes of a run at random, and what has to be true of its results all the same."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import yaml
from support.command import Running, eventually, running

RECOVERY = {"commit_s": 0.3, "restarts": 10_000, "window_s": 1.0, "hang_s": 3.0}
"""Quick to notice, and never tired of it."""


def chained_graph(folder: Path, source: Path, output: Path, **chained: Any) -> Path:
    """A graph file with real decode and record, and `support.chained.Chained` between them."""
    graph = {
        "nodes": {
            "decode": {"options": {"source": str(source)}},
            "chained": {"use": "support.chained:Chained", "options": chained},
            "record": {"options": {"output": str(output)}},
        },
        "links": ["decode -> chained -> record"],
        "recovery": RECOVERY,
    }
    path = folder / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump(graph))
    return path


def results(folder: Path) -> dict[str, bytes]:
    """Masks and tracks by name, to be compared byte for byte."""
    files = [*sorted((folder / "masks").iterdir()), folder / "tracks.jsonl"]
    return {path.name: path.read_bytes() for path in files}


def overlay_times(folder: Path) -> list[float]:
    """When each frame of the overlay is shown."""
    with av.open(str(folder / "overlay.mp4")) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def check_same(folder: Path, undisturbed: Path) -> dict[str, Any]:
    """Every frame once, the same masks, an overlay with all of them. Returns the report."""
    assert results(folder) == results(undisturbed)
    assert overlay_times(folder) == overlay_times(undisturbed)
    report: dict[str, Any] = json.loads((folder / "run.json").read_text())
    wanted = json.loads((undisturbed / "run.json").read_text())
    counts = ("frames_in", "frames_out", "dropped", "failed", "damaged", "stopped_early", "error")
    assert {key: report[key] for key in counts} == {key: wanted[key] for key in counts}
    left = {path.name for path in folder.iterdir()}
    assert left == {"masks", "tracks.jsonl", "overlay.mp4", "run.json", "commits.log"}
    return report


_AMID_FRAMES = 0.85
"""Share of the faults that wait until frames are being written again."""
_LONGEST_WAIT_S = 60.0
_LONGEST_PAUSE_S = 1.5
_CALM_WITHIN_S = 900.0
"""What is left of a run after its last fault takes no longer, on a slow machine with a model."""


class Storm:
    """Runs that are disturbed until they are through.

    Args:
        words: of the command that begins the run.
        output: the folder it records into.
        chance: where the randomness comes from.
    """

    def __init__(self, words: Sequence[object], output: Path, chance: random.Random) -> None:
        self._words = words
        self._output = output
        self._chance = chance
        self.faults: Counter[str] = Counter()
        """How often which process got which signal."""

    def rage(self, most_faults: int) -> None:
        """Disturb the run with so many faults at most, then let it come to its end."""
        before = _shared()
        words = [*self._words]
        while True:
            with running(*words) as run:
                supervisor_died = self._disturb(run, most_faults)
                code, _, errors = run.wait(_CALM_WITHIN_S)
                assert eventually(lambda run=run: not run.pids(), 20), f"left: {run.pids()}\n{errors}"
                assert not list(run.run_dirs.iterdir())
            if not supervisor_died:
                assert code == 0, errors
                break
            words = ["run", "--resume", self._output] if (self._output / "commits.log").exists() else [*self._words]
        assert eventually(lambda: not _abandoned(_shared() - before), 10)

    def _disturb(self, run: Running, most_faults: int) -> bool:
        """Whether the supervisor was the last victim."""
        while self.faults.total() < most_faults:
            if not self._wait(run):
                return False
            victims = run.pids()
            if not victims:
                return False
            victim = self._chance.choice(victims)
            number = self._chance.choice([signal.SIGKILL, signal.SIGSTOP])
            name = _name_of(victim)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, number)
                self.faults[f"{name} {number.name}"] += 1
            if victim == run.process.pid:
                if number == signal.SIGSTOP:
                    # Nobody but a person can see to that; this one loses patience.
                    time.sleep(0.5)
                    run.process.kill()
                return True
        return False

    def _wait(self, run: Running) -> bool:
        """Wait for the moment of the next fault: mostly some frames on, at times while processes are starting.

        Returns:
            False if the run ends before.
        """
        since_ns = time.time_ns()
        amid_frames = self._chance.random() < _AMID_FRAMES
        patience_s = time.monotonic() + _LONGEST_WAIT_S
        pause_s = self._chance.uniform(0.0, _LONGEST_PAUSE_S)
        due_s = None if amid_frames else time.monotonic() + pause_s
        while due_s is None or time.monotonic() < due_s:
            if run.process.poll() is not None:
                return False
            if due_s is None and (
                _changed_since(self._output / "tracks.jsonl", since_ns) or time.monotonic() > patience_s
            ):
                due_s = time.monotonic() + pause_s
            time.sleep(0.02)
        return True


def _changed_since(path: Path, then_ns: int) -> bool:
    try:
        return path.stat().st_mtime_ns > then_ns
    except OSError:
        return False


def _shared() -> set[Path]:
    """Shared memory with a name that anything of ours could have given it: Python, torch, semaphores, ourselves."""
    kinds = ("psm_*", "torch_*", "sem.*", "streamseg*")
    return {path for kind in kinds for path in Path("/dev/shm").glob(kind)}


def _abandoned(paths: set[Path]) -> set[Path]:
    """Those that no living process has mapped: what other programs use at the time is not ours."""
    left = set(paths)
    for maps in Path("/proc").glob("[0-9]*/maps") if left else ():
        with contextlib.suppress(OSError):
            text = maps.read_text()
            left = {path for path in left if str(path) not in text}
    return left


def _name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"streamseg.runtime.worker.process" in words:
            return "worker"
        return "janitor" if any(word.endswith(b"janitor.py") for word in words) else "supervisor"
    return "gone"
