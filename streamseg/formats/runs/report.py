"""What ``run.json`` says of a run that is read again: where its pictures are, and how many frames there were."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamseg.formats.clip import Pictures
from streamseg.regular_files import read_regular
from streamseg.result_files import RUN

_LARGEST_REPORT_BYTES = 64 << 20
_DECODE = ("stream", "topic", "start_s", "end_s", "max_pixels")
"""Options of the decode node that say which pictures are meant, called so by `open_source` too."""


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report in the folder of a run, or in that of all its streams; None if there is none."""
    for path in (folder / RUN, folder.parent / RUN):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            report = json.loads(read_regular(path, _LARGEST_REPORT_BYTES))
            if isinstance(report, dict):
                return report
    return None


def _sources(report: dict[str, Any] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and options of each node that reads a source."""
    nodes = ((report or {}).get("graph") or {}).get("nodes") or {}
    for name, node in nodes.items():
        options = node.get("options") if isinstance(node, dict) else None
        if isinstance(options, dict) and isinstance(options.get("source"), str):
            yield name, options


def _source_of(report: dict[str, Any] | None, stream: str) -> tuple[str, dict[str, Any]]:
    """The only source, or of several the one that is called like the stream."""
    found = dict(_sources(report))
    name = next(iter(found), "") if len(found) == 1 else stream
    return name, found.get(name, {})


def options_of_source(report: dict[str, Any] | None, stream: str) -> dict[str, Any]:
    """Options of the node that reads the source of a stream; none if nobody knows which that is."""
    return _source_of(report, stream)[1]


def decode_facts(report: dict[str, Any] | None, stream: str) -> dict[str, Any]:
    """What that node has said of itself."""
    facts = ((report or {}).get("nodes") or {}).get(_source_of(report, stream)[0])
    return facts if isinstance(facts, dict) else {}


def pictures(report: dict[str, Any] | None, stream: str, source: str | None) -> Pictures | None:
    """Where the pictures are: in `source`, or where the run has read them from if that can be read again."""
    options = options_of_source(report, stream)
    chosen = {name: options[name] for name in _DECODE if options.get(name) is not None}
    if "fps" in options:
        chosen["image_fps"] = options["fps"]
    if source is not None:
        return Pictures(source, chosen)
    if not options or decode_facts(report, stream).get("live") or options.get("live"):
        return None
    return Pictures(options["source"], chosen)


def recorded_frames(report: dict[str, Any] | None, stream: str) -> int | None:
    """How many frames record says that it has written of a stream; None if nobody says."""
    for facts in (report or {}).get("nodes", {}).values():
        frames = facts.get("frames") if isinstance(facts, dict) and "gaps" in facts else None
        if isinstance(frames, dict):
            values = [value for value in frames.values() if isinstance(value, int)]
            return values[0] if len(values) == 1 else frames.get(stream)
    return None
