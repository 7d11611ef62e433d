"""What a worker process writes to standard output and standard error, line by line, as records of the log."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque

from streamseg.redaction import printable, redact_text
from streamseg.runtime.plain_text import plain_text

_LEVELS = {b"DEBUG": 10, b"INFO": 20, b"WARNING": 30, b"ERROR": 40, b"CRITICAL": 50}
_KEPT_LINES = 30
_LONGEST_LINE_BYTES = 1 << 14
_CHUNK_BYTES = 1 << 16
_LOOKS_EVERY_MS = 100
_REST_WITHIN_S = 2.0


class WorkerOutput:
    """Reads the pipe in a thread, and closes it.

    Lines keep their level, lose the secrets of any URL, and are cut off where they have no end. A process that the node
    has left behind may hold the other end of the pipe, so the end of the pipe is not waited for.

    Args:
        identity: of the process; its log has this name.
        fd: the end to read from; closed here.
    """

    def __init__(self, identity: str, fd: int) -> None:
        self._last_lines: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._fd = fd
        self._log = logging.getLogger(f"streamseg.worker.{identity}")
        self._line = bytearray()
        self._skips = False  # the rest of a line that was cut off
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"{identity}-log", daemon=True)
        self._thread.start()

    @property
    def last_lines(self) -> list[str]:
        """The end of what it wrote."""
        return [_text(line) for line in list(self._last_lines)]

    def forget(self) -> None:
        """What it wrote so far is of a run that is over."""
        self._last_lines.clear()

    def finish(self) -> None:
        """The process has ended: wait for what it still had in the pipe."""
        self._ended.set()
        self._thread.join(_REST_WITHIN_S + 1)

    def _read(self) -> None:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN | select.POLLHUP)
        until_s: float | None = None
        try:
            while until_s is None or time.monotonic() < until_s:
                if poller.poll(_LOOKS_EVERY_MS):
                    chunk = os.read(self._fd, _CHUNK_BYTES)
                    if not chunk:
                        break
                    self._take(chunk)
                elif until_s is not None:
                    break
                if self._ended.is_set() and until_s is None:
                    until_s = time.monotonic() + _REST_WITHIN_S
        finally:
            if self._line:
                self._pass_on()
            os.close(self._fd)

    def _take(self, chunk: bytes) -> None:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._add(part)
            if not self._skips:
                self._pass_on()
            self._skips = False
        self._add(rest)

    def _add(self, part: bytes) -> None:
        if self._skips:
            return
        self._line += part[: _LONGEST_LINE_BYTES + 1]
        if len(self._line) > _LONGEST_LINE_BYTES:
            self._pass_on()
            self._skips = True

    def _pass_on(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        self._last_lines.append(line)
        word, _, rest = line.partition(b" ")
        level = _LEVELS.get(word)
        if level is None:
            level, rest = logging.INFO, line
        # A node may print without end what nobody wants to see.
        if self._log.isEnabledFor(level):
            self._log.log(level, "%s", _text(rest))


def _text(line: bytes) -> str:
    return printable(redact_text(plain_text(line.decode("utf-8", "replace").rstrip(), _LONGEST_LINE_BYTES)))
