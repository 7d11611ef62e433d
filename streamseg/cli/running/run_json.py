"""``run.json``: what a run has to say for itself, beside its results."""

from __future__ import annotations

from pathlib import Path

import msgspec
from streamseg_nodes.record.output_folder import MASKS, MCAP, OVERLAY, RUN, TRACKS

from streamseg.cli.output.text import redacted, say
from streamseg.regular_files import write_own
from streamseg.runtime.report import Report

_RESULTS = (OVERLAY, MASKS, TRACKS, MCAP, RUN)
_MOST_SHOWN = 8


def write_run_json(folder: Path, report: Report) -> str:
    """Write ``run.json`` in one step, secrets of URLs hidden; returns a line that says what the folder holds."""
    target = folder / RUN
    data = msgspec.json.format(msgspec.json.encode(redacted(msgspec.to_builtins(report))), indent=2)
    try:
        write_own(target, data + b"\n")
    except OSError as error:
        say(f"warning: {target} could not be written: {error.strerror or error}")
    streams = sorted({path.parent.name for name in _RESULTS for path in folder.glob(f"*/{name}")} - set(_RESULTS))
    folders = [f"{name}/" for name in streams] if len(streams) <= _MOST_SHOWN else [f"{len(streams)} folders"]
    here = folders + [name for name in _RESULTS if (folder / name).exists()]
    return f"results: {folder}: {', '.join(here)}"
