"""The first moments of the command: Ctrl-C while modules load, and standard streams that are closed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

EXIT_INTERRUPTED = 130


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process with a word: raised in the middle of an import it would end in a traceback."""
    try:
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)
    except ValueError:
        before = None  # not in the main thread, where no signal arrives
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def fill_standard_streams() -> None:
    """Give closed standard streams (``<&-``) to /dev/null: else the next file or socket would get their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


def _leave(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"streamseg: interrupted\n")
    os._exit(EXIT_INTERRUPTED)
