"""A trace of a run, for Perfetto (ui.perfetto.dev) and chrome://tracing: when each process worked on which frame.

Chrome's trace event format, as an array of events, one a line: https://perfetto.dev/docs/getting-started/other-formats.
Readers take such an array without its end, so that what was written before a crash can be looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from streamseg.errors import OutputError
from streamseg.graph.plan import Plan
from streamseg.monitoring.snapshot import identities
from streamseg.transport.spans import Span

MOST_SPANS = 500_000
"""A trace has no more than that: some 150 MB, which viewers still open."""
_REMEMBERED = 4096  # frames whose way is known; nobody works on older ones any more


class TraceFile:
    """Writes what the processes of a run say they did. Use as a context manager.

    Args:
        path: of the file; one that is there is written over.
        plan: of the graph.
        most: spans that it has room for.

    Raises:
        OutputError: it cannot be written; `add` and `close` may raise that, too.
    """

    def __init__(self, path: Path, plan: Plan, most: int = MOST_SPANS) -> None:
        self._path = path
        self._places = {who: place for place, who in enumerate(identities(plan))}
        self._nodes = identities(plan)
        self._phases = {**dict.fromkeys(plan.sources, "s"), **dict.fromkeys(plan.sinks, "f")}
        self._most = most
        self._written = 0
        self._known: set[int] = set()
        self._flows: dict[tuple[str, int], int] = {}
        self.left_out = 0
        """Spans for which there was no room any more."""
        if _is_something_else(path):
            raise OutputError(f"expected {path} to be free for a trace, got a file that is none; name another")
        try:
            # Without a buffer, so that what was written is there even if this process is killed in the next moment.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise OutputError(f"expected to write a trace to {path}, got: {error.strerror}") from error
        self._separator = "[\n"

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def full(self) -> bool:
        """Whether there is no room for another span."""
        return self._written >= self._most

    def add(self, who: str, pid: int, spans: Iterable[Span]) -> None:
        """Write what a process did.

        Args:
            who: its identity.
            pid: its number.
            spans: what it did.
        """
        events: list[Mapping[str, Any]] = []
        for span in spans:
            if self.full:
                self.left_out += 1
                continue
            self._written += 1
            events += [*self._names(who, pid), *self._events(who, pid, span)]
        self._write(events)

    def close(self) -> None:
        """End the array."""
        if self._file.closed:
            return
        try:
            self._file.write(b"\n]\n" if self._separator != "[\n" else b"[]\n")
            self._file.close()
        except OSError as error:
            raise self._broken(error) from error

    def _names(self, who: str, pid: int) -> list[Mapping[str, Any]]:
        """What the tracks of a process are called, once."""
        if pid in self._known:
            return []
        self._known.add(pid)
        facts: list[tuple[str, int, Mapping[str, Any]]] = [
            ("process_name", pid, {"name": who}),
            ("process_sort_index", pid, {"sort_index": self._places.get(who, len(self._places))}),
            ("thread_name", pid, {"name": self._nodes.get(who, who)}),
        ]
        return [_fact(name, pid, tid, args) for name, tid, args in facts]

    def _events(self, who: str, pid: int, span: Span) -> list[Mapping[str, Any]]:
        node = self._nodes.get(who, who)
        # Whole microseconds: fractions would be rounded by who reads them, and spans that touch would overlap.
        began_us, ended_us = span.began_ns // 1000, span.ended_ns // 1000
        at = {"pid": pid, "tid": span.reader or pid, "ts": began_us}
        lasts = {"ph": "X", "cat": "frame", **at, "dur": ended_us - began_us}
        if span.reader:
            name = [] if span.reader in self._known else [_fact("thread_name", pid, span.reader, {"name": "reading"})]
            self._known.add(span.reader)
            args = {"stream": span.stream, "index": span.number}
            return [*name, {**lasts, "name": f"read {span.number}", "args": args}]
        arrow = {"ph": self._phases.get(node, "t"), "name": "frame", "cat": "flow", "id": self._flow(span), **at}
        if arrow["ph"] == "f":
            arrow["bp"] = "e"
        args = {"stream": span.stream, "seq": span.number}
        return [{**lasts, "name": f"{node} {span.number}", "args": args}, arrow]

    def _flow(self, span: Span) -> int:
        """A number for the way of a frame, from 1."""
        place = (span.stream, span.number)
        if place not in self._flows:
            self._flows[place] = self._written
            if len(self._flows) > _REMEMBERED:
                del self._flows[next(iter(self._flows))]
        return self._flows[place]

    def _write(self, events: Iterable[Mapping[str, Any]]) -> None:
        text = ""
        for event in events:
            text += self._separator + json.dumps(event, separators=(",", ":"))
            self._separator = ",\n"
        if not text:
            return
        try:
            self._file.write(text.encode())
        except OSError as error:
            self._file.close()
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> OutputError:
        return OutputError(f"expected to write a trace to {self._path}, got: {error.strerror}; make room for it")


def _fact(name: str, pid: int, tid: int, args: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}


def _is_something_else(path: Path) -> bool:
    """Whether there is a file that no trace can be: nobody's video is to be written over."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) not in (b"", b"[")
