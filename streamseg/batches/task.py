"""What has to be done with one source of a batch, and what became of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from streamseg.regular_files import read_regular
from streamseg.result_files import RUN

_LARGEST_REPORT_BYTES = 64 << 20

T = TypeVar("T", int, float)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One source, from its frames to a folder of results."""

    name: str
    """Of the folder."""
    source: str
    output: str
    """Folder of the results, or the URL of one in an object store."""
    prompts: str | None = None
    """File of prompts, or the URL of one."""
    settings: dict[str, Any] = {}
    """The other arguments of ``streamseg run``, by their names."""
    folder: str | None = None
    """Current folder of whoever asked, which paths in the settings are relative to."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task."""

    name: str
    source: str
    output: str
    code: int
    """As the command ``streamseg run`` ends with: 0 if all is well."""
    reason: str = ""
    """Why it is not."""
    frames: int | None = None
    """That came out, by all attempts; None if nobody says."""
    fps: float | None = None
    """Frames a second of the last attempt."""
    host: str = ""
    """The machine that did it; empty if nobody had to."""


def ended(
    task: Task,
    code: int,
    reason: str = "",
    *,
    folder: Path | None = None,
    report: dict[str, Any] | None = None,
    host: str = "",
) -> Ended:
    """What became of a task, from its exit code and the report of its run.

    Args:
        task: that was done.
        code: how it ended.
        reason: why, where the report does not know it, since no run began.
        folder: of the results, if there is one.
        report: of the run, if it is not in that folder.
        host: that did it.
    """
    report = report if folder is None else report_in(folder)
    error = (report or {}).get("error")
    said = error.get("message") if isinstance(error, dict) else None
    return Ended(
        name=task.name,
        source=task.source,
        output=task.output,
        code=code,
        reason=str(reason or said or "it says more above") if code else "",
        frames=None if reason else _number(report, "frames_out", int),
        fps=None if reason else _number(report, "fps", float),
        host=host,
    )


def _number(report: dict[str, Any] | None, name: str, kind: type[T]) -> T | None:
    """A figure of a report that anybody may have written."""
    found = (report or {}).get(name)
    return kind(found) if isinstance(found, (int, float)) and math.isfinite(found) else None


def report_in(folder: Path) -> dict[str, Any] | None:
    """What ``run.json`` in a folder says; None if there is none."""
    try:
        return parsed_report(read_regular(folder / RUN, _LARGEST_REPORT_BYTES))
    except OSError:
        return None


def parsed_report(data: bytes) -> dict[str, Any] | None:
    """What ``run.json`` says; None if it is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
