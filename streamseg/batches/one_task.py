"""Doing one task: a process of ``streamseg run``, what it reads fetched before, what it writes put away after."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import msgspec

from streamseg.batches import places
from streamseg.batches.task import Ended, Task, ended, parsed_report
from streamseg.errors import EXIT_INTERRUPTED, StreamsegError
from streamseg.result_files import RUN

CORES = "STREAMSEG_CORES"
"""Environment variable: processor cores that a run may use."""
_COMMAND = (sys.executable, "-m", "streamseg.cli.task")
_LOOK_S = 0.1
_ENDS_WITHIN_S = 15.0
_KEPT_LINES = 20
_ERROR = "streamseg: error: "


def do(task: Task, stopped: Callable[[], bool], *, cores: int | None = None) -> Ended:
    """Do a task to its end, or until it shall be stopped.

    Args:
        task: with a source and a folder that are at hand here, or URLs.
        stopped: whether it shall end early, in good order.
        cores: that it may use; None for all.
    """
    host = socket.gethostname()
    with tempfile.TemporaryDirectory(prefix="streamseg-batch-") as scratch:
        try:
            return _do(task, Path(scratch), stopped, cores, host)
        except StreamsegError as error:
            return ended(task, error.exit_code, str(error), host=host)
        except OSError as error:
            return ended(task, 1, f"the system refused something: {error}", host=host)


def _do(task: Task, scratch: Path, stopped: Callable[[], bool], cores: int | None, host: str) -> Ended:
    stored = places.is_url(task.output)
    if stored and not task.settings.get("overwrite"):
        report = parsed_report(places.read(places.join(task.output, RUN)) or b"")
        if report is not None and report.get("error", "") is None and report.get("stopped_early") is False:
            return Ended(name=task.name, source=task.source, output=task.output, code=0, frames=report["frames_out"])
    here = msgspec.structs.replace(
        task,
        source=_here(task.source, scratch / "source"),
        prompts=None if task.prompts is None else _here(task.prompts, scratch / "prompts"),
        output=str(scratch / task.name) if stored else task.output,
    )
    code, reason = _run(here, stopped, cores)
    folder = Path(here.output)
    if stored and folder.is_dir():
        places.put(folder, task.output, last=RUN)
    return ended(task, code, reason, folder=folder, host=host)


def _here(place: str, folder: Path) -> str:
    if not places.is_url(place):
        return place
    folder.mkdir()
    return str(places.fetch(place, folder))


def _run(task: Task, stopped: Callable[[], bool], cores: int | None) -> tuple[int, str]:
    """Exit code, and why no run began; what is said meanwhile goes no further than its last lines."""
    process = subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ if cores is None else {**os.environ, CORES: str(cores)},
        # Ctrl-C is for whoever started the batch.
        process_group=0,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    pipe = process.stderr
    listening = Thread(target=lambda: last.extend(line.decode(errors="replace") for line in pipe), daemon=True)
    listening.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            # It stays open: should we be killed, it closes, and the run ends, too.
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            process.stdin.flush()
        code = _wait(process, stopped)
    except BaseException:
        process.terminate()
        _wait(process, lambda: True)
        raise
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    listening.join(_ENDS_WITHIN_S)
    pipe.close()
    said = [line.removeprefix(_ERROR).strip() for line in last if line.startswith(_ERROR)]
    if code < 0:
        return 7, f"it was killed by signal {-code}"
    return code, said[-1] if said and code not in (0, EXIT_INTERRUPTED) else ""


def _wait(process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> int:
    """Its exit code. Once it shall stop it is asked to, and killed if it does not."""
    asked = False
    while True:
        try:
            return process.wait(_ENDS_WITHIN_S if asked else _LOOK_S)
        except subprocess.TimeoutExpired:
            if asked:
                process.kill()
            elif stopped():
                asked = True
                process.terminate()
