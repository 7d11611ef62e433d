"""Reading a trace as strictly as the format is described.

The rules are those of "Trace Event Format" as Perfetto documents what it takes of it: an array of events; ``X`` with
ts and dur, ``M`` with one of the known names, ``s``, ``t``, ``f`` with an id, bound to the slice that is open there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

_COMMON = {"ph": str, "name": str, "pid": int, "tid": int}
_FIELDS: dict[str, dict[str, Any]] = {
    "X": {**_COMMON, "cat": str, "ts": int, "dur": int, "args": dict},
    "M": {**_COMMON, "args": dict},
    "s": {**_COMMON, "cat": str, "ts": int, "id": int},
    "t": {**_COMMON, "cat": str, "ts": int, "id": int},
    "f": {**_COMMON, "cat": str, "ts": int, "id": int, "bp": str},
}
_FACTS = {"process_name": ("name", str), "process_sort_index": ("sort_index", int), "thread_name": ("name", str)}


class Slice(NamedTuple):
    track: str
    number: int
    began_us: int
    ended_us: int
    args: dict[str, Any]


class Trace:
    """A checked trace."""

    def __init__(self, text: str) -> None:
        events = json.loads(text)
        assert isinstance(events, list)
        self.names: dict[tuple[int, int], str] = {}
        self.processes: dict[int, str] = {}
        for event in events:
            _check(event)
            if event["name"] == "process_name":
                assert event["pid"] not in self.processes
                self.processes[event["pid"]] = event["args"]["name"]
            if event["name"] == "thread_name":
                self.names[event["pid"], event["tid"]] = event["args"]["name"]
        # A thread belongs to one process, wherever it is named.
        assert len({tid for _, tid in self.names}) == len(self.names)
        self.slices = [self._slice(event) for event in events if event["ph"] == "X"]
        self.tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for event in events:
            if event["ph"] == "X":
                self.tracks[event["pid"], event["tid"]].append(event)
        for found in self.tracks.values():
            _check_nesting(found)
        self.flows: dict[int, list[tuple[str, Slice]]] = defaultdict(list)
        for event in events:
            if event["ph"] in "stf":
                self.flows[event["id"]].append((event["ph"], self._bound(event)))

    def of(self, track: str) -> list[Slice]:
        """Slices of one process and thread, such as ``embed`` or ``decode/reading``."""
        return [each for each in self.slices if each.track == track]

    def _slice(self, event: dict[str, Any]) -> Slice:
        place = event["pid"], event["tid"]
        process, thread = self.processes[event["pid"]], self.names[place]
        track = process if event["tid"] == event["pid"] else f"{process}/{thread}"
        args = event["args"]
        return Slice(track, args.get("seq", args.get("index")), event["ts"], event["ts"] + event["dur"], args)

    def _bound(self, event: dict[str, Any]) -> Slice:
        """The slice that encloses an event: none would leave an arrow without an end."""
        found = [
            each
            for each in self.tracks[event["pid"], event["tid"]]
            if each["ts"] <= event["ts"] <= each["ts"] + each["dur"]
        ]
        assert found, event
        return self._slice(max(found, key=lambda each: each["ts"]))


def _check(event: dict[str, Any]) -> None:
    assert event.get("ph") in _FIELDS, event
    fields = _FIELDS[event["ph"]]
    assert event.keys() == fields.keys(), event
    for name, kind in fields.items():
        assert isinstance(event[name], kind) and not isinstance(event[name], bool), event
    assert event.get("ts", 0) >= 0 and event.get("dur", 0) >= 0 and event["pid"] > 0 and event["tid"] > 0
    assert event.get("bp", "e") == "e"
    if event["ph"] == "M":
        name, kind = _FACTS[event["name"]]
        assert event["args"].keys() == {name} and isinstance(event["args"][name], kind)


def _check_nesting(events: list[dict[str, Any]]) -> None:
    """Slices of one thread lie beside or inside each other; others are left out by who reads them."""
    open_until: list[int] = []
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        while open_until and open_until[-1] <= event["ts"]:
            open_until.pop()
        assert not open_until or event["ts"] + event["dur"] <= open_until[-1], event
        open_until.append(event["ts"] + event["dur"])


def read_trace(path: Path) -> Trace:
    """A trace that was ended in good order."""
    return Trace(path.read_text())


def read_cut_trace(path: Path) -> Trace:
    """One whose writer was killed: it lacks its end, and nothing else."""
    text = path.read_text()
    assert not text.rstrip().endswith("]\n]")
    return Trace(text + "\n]")
