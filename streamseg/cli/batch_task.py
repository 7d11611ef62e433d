"""A process that does one task of a batch: ``python -m streamseg.cli.batch_task`` with the task on standard input.

It is what ``streamseg run`` would do, and says what that says. Standard input stays open; once it ends, whoever wanted
the results is gone, and so is this.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

import msgspec

from streamseg.batches.task import Task
from streamseg.cli.commands import run
from streamseg.cli.output.text import error_facts, say
from streamseg.errors import StreamsegError


def main() -> int:
    """Do it; returns the exit code."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    threading.Thread(target=_leave_with_the_caller, daemon=True).start()
    settings = {**task.settings, "option output": task.output, "sources": [task.source], "prompts": task.prompts}
    try:
        return run.run_one(argparse.Namespace(**settings))
    except StreamsegError as error:
        say(f"error: {error_facts(error)['message']}")
        return error.exit_code
    except OSError as error:
        say(f"error: the system refused something: {error}")
        return 1


def _leave_with_the_caller() -> None:
    # At once: another machine may go on with these results as soon as their lock is free. Nothing is lost by it but
    # what was done since the last commit, and the processes of the run are ended by its janitor.
    while os.read(sys.stdin.fileno(), 4096):
        continue
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
