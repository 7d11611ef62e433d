"""Doing one task: a process of ``streamseg run``, what it reads fetched before, what it writes put away after."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

import msgspec

from streamseg.batches import places
from streamseg.batches.task import Ended, Task, ended, parsed_report
from streamseg.errors import EXIT_INTERRUPTED, RunError, StreamsegError, UsageError
from streamseg.redaction import redact
from streamseg.result_files import RUN, is_finished

CORES = "STREAMSEG_CORES"
"""Environment variable: processor cores that a run may use."""
TASK = "task.json"
"""Beside results in an object store: what they are of."""
_NOT_OF_RESULTS = ("verbose", "resume", "json", "option output", "option overwrite")
# A program of the command's own; it does what 'streamseg run' does.
_COMMAND = (sys.executable, "-m", "streamseg.cli.batch_task")
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
    if stored and not task.settings.get("option overwrite") and (found := _finished(task)) is not None:
        return found
    here = msgspec.structs.replace(
        task,
        source=_here(task.source, scratch / "source"),
        prompts=None if task.prompts is None else _here(task.prompts, scratch / "prompts"),
        output=str(scratch / task.name) if stored else task.output,
    )
    code, reason = _run(here, stopped, cores)
    folder = Path(here.output)
    if stored and folder.is_dir():
        (folder / TASK).write_bytes(_asked(task))
        places.put(folder, task.output, last=RUN)
    return ended(task, code, reason, folder=folder, host=host)


def _finished(task: Task) -> Ended | None:
    """What became of a task whose results are whole in an object store; None if they are not.

    Raises:
        UsageError: they are of another task.
    """
    report = parsed_report(places.read(places.join(task.output, RUN)) or b"")
    if not is_finished(report):
        return None
    if places.read(places.join(task.output, TASK)) != _asked(task):
        raise UsageError(
            f"the results at {redact(task.output)} were made of another source, or with other prompts or options; "
            f"choose another -o, or say --overwrite"
        )
    return ended(task, 0, report=report)


def _asked(task: Task) -> bytes:
    """What of a task its results depend on, as it is kept beside them."""
    settings = {name: value for name, value in task.settings.items() if name not in _NOT_OF_RESULTS}
    plain = {"source": redact(task.source), "prompts": task.prompts and redact(task.prompts), "settings": settings}
    return msgspec.json.format(msgspec.json.encode(plain, order="deterministic"), indent=2) + b"\n"


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
        cwd=task.folder if task.folder is not None and Path(task.folder).is_dir() else None,
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
    if not listening.is_alive():
        pipe.close()
    if code < 0:
        return RunError.exit_code, f"it was killed by signal {-code}"
    return code, "" if code in (0, EXIT_INTERRUPTED) else _why(last)


def _why(last: Sequence[str]) -> str:
    """The last error in what a run said last, or else its last words."""
    lines = [line.strip() for line in last if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return (errors or lines or ["it said nothing"])[-1]


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
