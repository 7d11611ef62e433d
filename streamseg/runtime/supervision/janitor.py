"""A tiny process that cleans up if the supervisor cannot: SIGKILL leaves nobody else to do it.

Standard input is a pipe that only the supervisor writes to. When it ends without the line ``bye``, every worker named
before (``pid N``) is killed, stopped ones too, and the directory of the sockets (``dir PATH``) is removed. Run with
``-S -I`` by path: it imports nothing of streamseg.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

_ROUNDS = 10
_ROUND_S = 0.1


def main() -> None:
    """Wait for the end of standard input, then clean up."""
    for stopper in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stopper, signal.SIG_IGN)
    pids: list[int] = []
    run_dir = None
    for line in sys.stdin:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "pid":
            pids.append(int(value))
        elif word == "gone":
            pids.remove(int(value))
        elif word == "dir":
            run_dir = value
        elif word == "bye":
            return
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # A worker that nobody had named yet may put a socket there while it notices that it is alone.
    for _ in range(_ROUNDS):
        if run_dir is None:
            break
        shutil.rmtree(run_dir, ignore_errors=True)
        time.sleep(_ROUND_S)


if __name__ == "__main__":
    main()
