"""The child processes of a run: starting them, their log lines, their end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from streamseg.errors import RunError
from streamseg.graph.plan import thread_environment
from streamseg.redaction import printable, redact_text
from streamseg.runtime.worker_io import Assignment

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_KEPT_LINES = 30
_JANITOR_ENDS_S = 5.0


class Child:
    """One worker process."""

    def __init__(self, assignment: Assignment) -> None:
        self.identity = assignment.spec.identity
        self.name = assignment.spec.name
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        """The end of what it wrote to standard error."""
        try:
            self._process = subprocess.Popen(
                _python("streamseg.runtime.worker"),
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[*assignment.file_descriptors.values(), *(assignment.heart or ())[:1]],
                env=_environment(assignment.spec.threads),
                # A group of its own: Ctrl-C in the terminal is for the supervisor, which ends its workers in order.
                process_group=0,
            )
        except OSError as error:
            raise RunError(
                f"expected to start a process for node {self.name!r}, got: {error.strerror}; "
                f"allow more open files or processes (ulimit -n, ulimit -u), or free memory"
            ) from error
        self.pid = self._process.pid
        self.verdict = ""
        """Why it was killed, if that was done on purpose."""
        self._send_line(msgspec.json.encode(assignment) + b"\n")
        self._reader = threading.Thread(target=self._relay, name=f"{self.identity}-log", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it ended other than by returning in good order, which it does only after its last words."""
        return self._process.poll() not in (None, 0)

    @property
    def exit_text(self) -> str:
        """How it ended, in words, with the end of its log."""
        code = self._process.poll()
        if self.verdict:
            text = self.verdict
        elif code is None:
            text = "is still running"
        elif code < 0:
            text = f"was killed by {_signal_name(-code)}"
            if -code == signal.SIGKILL:
                text += " (the system does that when memory runs out)"
        else:
            text = f"ended with exit code {code}"
        self._reader.join(timeout=1)
        return "\n  ".join([text, *self.last_lines])

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it; False where that cannot be seen."""
        return is_stopped(self.pid)

    def kill(self) -> None:
        """End it at once, and wait for that."""
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float) -> bool:
        """Wait for its end. False if it did not come."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Let go of its pipes; it has to have ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._reader.join(timeout=5)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _send_line(self, line: bytes) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except BrokenPipeError:
                logging.getLogger(__name__).debug("%s ended before it was told what to do", self.identity)

    def _relay(self) -> None:
        """Pass on its log under its own name, with the level it had there, without the secrets of any URL."""
        log = logging.getLogger(f"streamseg.worker.{self.identity}")
        for raw in self._process.stderr or ():
            line = printable(redact_text(raw.decode("utf-8", "replace").rstrip()))
            level, _, text = line.partition(" ")
            if level in _LEVELS:
                log.log(_LEVELS[level], "%s", text)
            else:
                log.info("%s", line)
            self.last_lines.append(line)


class Janitor:
    """The process that cleans up should this one be killed; see `streamseg.runtime.janitor`."""

    def __init__(self) -> None:
        self._run_dir: Path | None = None
        self._pids: list[int] = []
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("janitor.py")
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-I", str(script)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        if self._run_dir is not None:
            self._tell(f"dir {self._run_dir}")
        for pid in self._pids:
            self._tell(f"pid {pid}")
        return self._process

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    def look_after(self) -> None:
        """Put another one in its place, should it be dead or stopped."""
        if self._process.poll() is not None or is_stopped(self._process.pid):
            logging.getLogger(__name__).warning("the janitor process was gone; another one is started")
            self._end()
            self._process = self._start()

    def clean(self, run_dir: Path) -> None:
        """Remove this directory, should it come to that; it need not be there yet."""
        self._run_dir = run_dir
        self._tell(f"dir {run_dir}")

    def watch(self, pid: int) -> None:
        """Kill this process too, should it come to that."""
        self._pids.append(pid)
        self._tell(f"pid {pid}")

    def forget(self, pid: int) -> None:
        """That process has ended; its number may be given to another."""
        self._pids.remove(pid)
        self._tell(f"gone {pid}")

    def dismiss(self) -> None:
        """All is clean."""
        self._tell("bye")
        self._end()

    def _end(self) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                logging.getLogger(__name__).debug("the janitor had gone already")
        try:
            # One that is stopped hears nothing.
            self._process.wait(0 if is_stopped(self._process.pid) else _JANITOR_ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            logging.getLogger(__name__).debug("the janitor process is gone")


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped a process; False where ``/proc`` does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def end_all(children: Iterable[Child], seconds: float) -> None:
    """Wait for processes that were told to exit; kill those that did not within that time."""
    deadline_s = time.monotonic() + seconds
    for child in children:
        if not child.wait(deadline_s - time.monotonic()):
            logging.getLogger(__name__).warning("%s did not exit in time and is killed", child.identity)
            child.kill()


_SEEING_THE_SAME = (
    "import sys; sys.path[:] = sys.argv[2:]; import importlib; sys.exit(importlib.import_module(sys.argv[1]).main())"
)


def _python(module: str) -> list[str]:
    """A command that runs ``main()`` of a module where just that can be imported which can be imported here.

    ``python -m`` would look into the current folder first, so a file there of a stranger, named as some library is,
    would be run. A detector beside a script, which Python has put on its path, is found.
    """
    flags = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site, "-S": sys.flags.no_site}
    kept = [flag for flag, on in flags.items() if on]
    paths = [entry for entry in sys.path if isinstance(entry, str)]
    return [sys.executable, "-P", *kept, "-c", _SEEING_THE_SAME, module, *paths]


def _environment(threads: int) -> Mapping[str, str]:
    return {**os.environ, **thread_environment(threads), "PYTHONUNBUFFERED": "1"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
