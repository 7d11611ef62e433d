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


def options_of_source(report: dict[str, Any] | None) -> dict[str, Any]:
    """Options of the node that reads the source, if there is one such node; else none."""
    found = list(_sources(report))
    return found[0][1] if len(found) == 1 else {}


def decode_facts(report: dict[str, Any] | None) -> dict[str, Any]:
    """What that node has said of itself."""
    found = [name for name, _ in _sources(report)]
    facts = ((report or {}).get("nodes") or {}).get(found[0]) if len(found) == 1 else None
    return facts if isinstance(facts, dict) else {}


def pictures(report: dict[str, Any] | None, source: str | None) -> Pictures | None:
    """Where the pictures are: in `source`, or where the run has read them from if that can be read again."""
    options = options_of_source(report)
    chosen = {name: options[name] for name in _DECODE if options.get(name) is not None}
    if "fps" in options:
        chosen["image_fps"] = options["fps"]
    if source is not None:
        return Pictures(source, chosen)
    if not options or decode_facts(report).get("live") or options.get("live"):
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
