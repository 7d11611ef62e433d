"""How far a run is: one line that is rewritten in place on a terminal, silence in a pipe."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Mapping

from streamseg.cli.output.text import duration_text, shown
from streamseg.graph.plan import Plan
from streamseg.transport.control import Stats

_EVERY_S = 0.25
_WINDOW_S = 5.0
_MOST_OF_A_KIND = 10
_MOST_KINDS = 1000
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")


class Progress(logging.Handler):
    """The line, and log records above it."""

    def __init__(self, plan: Plan, level: int) -> None:
        super().__init__(level)
        self._plan = plan
        self._on_terminal = sys.stderr.isatty()
        self._line = ""
        self._next_s = 0.0
        self._seen: OrderedDict[tuple[str, int, str], int] = OrderedDict()
        self._history: deque[tuple[float, Mapping[str, Stats]]] = deque()

    def show(self, stats: Mapping[str, Stats], total: int | None) -> None:
        """Bring the line up to date.

        Args:
            stats: figures of every process.
            total: frames to expect, if that is known.
        """
        now_s = time.monotonic()
        if not self._on_terminal or now_s < self._next_s:
            return
        self._next_s = now_s + _EVERY_S
        self._history.append((now_s, dict(stats)))
        while now_s - self._history[0][0] > _WINDOW_S:
            self._history.popleft()
        width = shutil.get_terminal_size().columns - 1
        self._replace(progress_line(self._plan, self._history, total)[:width])

    def clear(self) -> None:
        """Take the line away."""
        if self._line:
            self._replace("")

    def _replace(self, line: str) -> None:
        # Threads that relay the logs of workers hold this lock while they write above the line.
        self.acquire()
        try:
            self._line = line
            self._write(f"\r\x1b[K{line}")
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record above the line."""
        if not self._is_shown(record):
            return
        who = record.name.removeprefix("streamseg.").removeprefix("worker.")
        text = shown(self.format(record))
        above = f"{record.levelname.lower()}: {who}: {text}\n"
        self._write(f"\r\x1b[K{above}{self._line}" if self._line else above)

    def _is_shown(self, record: logging.LogRecord) -> bool:
        """A warning about every frame of a film would bury everything else.

        Of a kind are those that differ in numbers alone: all lines of a worker come by the same way.
        """
        key = (record.name, record.levelno, _NUMBER.sub("#", record.getMessage()))
        count = self._seen[key] = self._seen.pop(key, 0) + 1
        if len(self._seen) > _MOST_KINDS:
            self._seen.popitem(last=False)
        if self.level < logging.WARNING or count < _MOST_OF_A_KIND:
            return True
        if count == _MOST_OF_A_KIND:
            record.msg = f"{record.msg} (more of this kind are not shown; -v shows them)"
        return count == _MOST_OF_A_KIND

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def progress_line(plan: Plan, history: deque[tuple[float, Mapping[str, Stats]]], total: int | None) -> str:
    """Frames done, frames/s, time left and the load of every node, from figures of the last seconds."""
    (then_s, then), (now_s, now) = history[0], history[-1]
    done, dropped = _finished(plan, now), sum(now[name].dropped for name in plan.sources if name in now)
    rate = (done - _finished(plan, then)) / (now_s - then_s) if now_s > then_s else 0.0
    parts = [f"{done}/{total} frames" if total else f"{done} frames"]
    if total:
        parts.append(f"{min(1.0, done / total):.0%}")
    if dropped:
        parts.append(f"{dropped} dropped")
    if rate:
        parts.append(f"{rate:.1f} frames/s")
        if total and total >= done:
            parts.append(f"{duration_text((total - done) / rate)} left")
    loads = [f"{name} {_load(stats, then.get(name)):.0%}" for name, stats in _in_order(plan, now)]
    return "  ".join([*parts, "| " + " ".join(loads)] if loads else parts)


def _finished(plan: Plan, stats: Mapping[str, Stats]) -> int:
    return sum(sum(stats[name].finished.values()) for name in plan.sources if name in stats)


def _load(now: Stats, then: Stats | None) -> float:
    before = (then.busy_s, then.running_s) if then is not None else (0.0, 0.0)
    if now.running_s <= before[1]:
        before = (0.0, 0.0)
    return (now.busy_s - before[0]) / (now.running_s - before[1]) if now.running_s > before[1] else 0.0


def _in_order(plan: Plan, stats: Mapping[str, Stats]) -> list[tuple[str, Stats]]:
    position = {name: number for number, name in enumerate(plan.order)}
    return sorted(stats.items(), key=lambda entry: (position[entry[0].partition(".")[0]], entry[0]))
