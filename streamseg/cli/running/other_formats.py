"""``--also``: the results of a run in the formats of other programs, written when it is over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from streamseg.errors import StreamsegError
from streamseg.formats import format as formats
from streamseg.formats.convert import write_clip
from streamseg.formats.runs.folder import stream_folders
from streamseg.formats.runs.run import load_run
from streamseg.graph.options import nodes_of
from streamseg.graph.plan import Plan


def asked_for(plan: Plan) -> dict[str, list[str]]:
    """Name of a record node -> the formats that it is asked for; only nodes that are asked for some.

    Raises:
        UsageError: there is no such format, or it cannot be written.
    """
    found: dict[str, list[str]] = {}
    for name in nodes_of(plan.graph, "record"):
        if also := named(getattr(plan.options[name], "also", [])):
            found[name] = also
    return found


def named(also: str | list[str]) -> list[str]:
    """The names of formats in a value of ``--also``.

    Raises:
        UsageError: there is no such format, or it cannot be written.
    """
    chosen = [each.strip() for each in (also.split(",") if isinstance(also, str) else also) if each.strip()]
    for each in chosen:
        formats.check_writes(each)
    return chosen


def write(folder: Path, chosen: Sequence[str]) -> tuple[list[str], list[str]]:
    """Write what is in the folder of a run in formats, each into a folder of its name in there.

    One that cannot be written is left out: the results themselves are there.

    Returns:
        A line for each that was written, and one for each that was not, or not as it is.
    """
    lines, troubles = [], []
    for place, name in itertools.product(stream_folders(folder), chosen):
        try:
            notes = write_clip(load_run(place), name, place / name, overwrite=True)
            troubles += [f"note: {name}: {note}" for note in notes]
            lines.append(f"as {name}: {place / name}")
        except StreamsegError as error:
            troubles.append(f"warning: {place / name} could not be written: {error}")
    return lines, troubles
