"""The child processes of a run: starting them and ending them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from streamseg.graph.plan import thread_environment
from streamseg.runtime.limits import naming_what_is_scarce
from streamseg.runtime.supervision.worker_output import WorkerOutput
from streamseg.runtime.worker.assignment import Assignment, give

log = logging.getLogger(__name__)

_JANITOR_ENDS_S = 5.0
_KILLED_WITHIN_S = 10.0
"""The system takes longer only over a process that waits for a device which does not answer."""


class Child:
    """One worker process.

    Args:
        assignment: what it is told.
        module: whose ``main()`` it runs.
        cwd: its working directory; None for that of this process.
    """

    def __init__(
        self, assignment: Assignment, *, module: str = "streamseg.runtime.worker.process", cwd: Path | None = None
    ) -> None:
        self.identity = assignment.spec.identity
        self.name = assignment.spec.name
        self._unending = False
        with naming_what_is_scarce(f"start a process for node {self.name!r}"):
            output, its_end = os.pipe()
            self._channel, its_channel = socket.socketpair()
            try:
                self._process = subprocess.Popen(
                    _python(module),
                    cwd=cwd,
                    stdin=its_channel.fileno(),
                    # What a node prints is no result of ours.
                    stdout=its_end,
                    stderr=its_end,
                    env=_environment(assignment.spec.threads),
                    # A group of its own: Ctrl-C in the terminal is for the supervisor, which ends its workers in order.
                    process_group=0,
                )
            except BaseException:
                os.close(output)
                self._channel.close()
                raise
            finally:
                os.close(its_end)
                its_channel.close()
            self._output = WorkerOutput(self.identity, output)
        self.pid = self._process.pid
        self.verdict = ""
        """Why it was killed, if that was done on purpose."""
        self.rests = False
        """Whether it has said its last words of a run, and waits for another assignment."""
        self._tell(assignment)

    def assign(self, assignment: Assignment) -> None:
        """Give one that rests something to do for the same node of another run."""
        self.rests = False
        self._output.forget()
        self._tell(assignment)

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return not self._unending and self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it ended other than by returning in good order, which it does only after its last words."""
        return self._unending or self._process.poll() not in (None, 0)

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
        if code is not None:
            self._output.finish()
        return "\n  ".join([text, *self._output.last_lines])

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it; False where that cannot be seen."""
        return is_stopped(self.pid)

    def kill(self) -> None:
        """End it at once, and wait for that; what does not end then counts as dead all the same."""
        self._process.kill()
        if not self.wait(_KILLED_WITHIN_S):
            log.warning("%s (process %d) did not end when it was killed; it is left alone", self.identity, self.pid)
            self._unending = True

    def wait(self, seconds: float) -> bool:
        """Wait for its end. False if it did not come."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Let go of its pipes; it has to have ended."""
        self.hang_up()
        self._output.finish()

    def hang_up(self) -> None:
        """Nothing more will be said to it; it ends by that, if it has not yet."""
        self._channel.close()

    def _tell(self, assignment: Assignment) -> None:
        try:
            give(self._channel, assignment)
        except OSError as error:
            log.debug("%s ended before it was told what to do: %s", self.identity, error)


class Janitor:
    """The process that cleans up should this one be killed; see `streamseg.runtime.supervision.janitor`."""

    def __init__(self) -> None:
        self._run_dir: Path | None = None
        self._pids: list[int] = []
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("janitor.py")
        with naming_what_is_scarce("start the process that cleans up"):
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-I", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
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

    def ensure_running(self) -> None:
        """Put another one in its place, should it be dead or stopped."""
        if self._process.poll() is not None or is_stopped(self._process.pid):
            log.warning("the janitor process was gone; another one is started")
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
                log.debug("the janitor had gone already")
        try:
            # One that is stopped hears nothing.
            self._process.wait(0 if is_stopped(self._process.pid) else _JANITOR_ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_WITHIN_S)

    def _tell(self, line: str) -> None:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            log.debug("the janitor process is gone")


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
            log.warning("%s did not exit in time and is killed", child.identity)
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
