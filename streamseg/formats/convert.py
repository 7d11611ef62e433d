"""From a run, or from files of another program, to the files of a format."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamseg.errors import UsageError
from streamseg.formats import format as formats
from streamseg.formats.clip import Clip, Pictures, Selected
from streamseg.formats.files.images import write_file
from streamseg.formats.files.json_file import cannot_write
from streamseg.formats.files.turns import short_turns
from streamseg.formats.runs.run import load_run

IDS = "ids.json"
"""Which object of the run has which id, where they were numbered anew."""


def open_clip(
    path: Path, name: str | None = None, *, source: str | None = None, size: tuple[int, int] | None = None
) -> Clip:
    """The clip in a run's folder, or in files of a format.

    Args:
        path: of the folder or file.
        name: of the format; None for a run.
        source: where the pictures are, if not where the run read them from.
        size: (height, width) of the frames, for formats that do not say it.

    Raises:
        UsageError: it is no such folder or file.
        MediaError: it cannot be read.
    """
    if name is None:
        return load_run(path, source=source)
    kind = formats.load(name)
    if not path.exists():
        raise UsageError(f"expected a file or folder of the format {name!r} at {path}, there is nothing")
    clip = kind.read(path, size)
    if source is not None:
        clip.pictures = Pictures(source)
    return clip


def write_clip(
    clip: Clip,
    name: str,
    folder: Path,
    options: Mapping[str, Any] | None = None,
    *,
    every: int = 1,
    renumber: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write a clip in a format.

    Args:
        clip: what to write.
        name: of the format.
        folder: where; it is made.
        options: of the format.
        every: write only frames 0, N, 2 N, …
        renumber: give the objects the ids 1, 2, …, and write down which is which.
        overwrite: whether there may be files in the folder.

    Returns:
        What is not whole, or could not be written as it is; a sentence each.

    Raises:
        UsageError: there is no such format or option, or the format cannot hold what there is.
        OutputError: the files cannot be written.
        MediaError: pictures are needed and not there, or a file of the run is damaged.
    """
    chosen = formats.make(name, options or {})
    if every < 1:
        raise UsageError(f"expected every to be 1 or more, got {every}; 1 writes all frames")
    ids = {each: number for number, each in enumerate(clip.objects, 1)} if renumber else None
    selected = Selected(clip, every=every, ids=ids) if every > 1 or ids is not None else clip
    largest = max(selected.objects, default=0)
    if chosen.largest_id is not None and largest > chosen.largest_id:
        raise UsageError(
            f"expected ids up to {chosen.largest_id}, which is what the format {name!r} can hold, got object "
            f"{largest}; say --renumber to give the objects the ids 1, 2, …"
        )
    _make(folder, overwrite=overwrite)
    with short_turns():
        chosen.write(selected, folder)
    if ids is not None:
        text = msgspec.json.encode({str(number): each for each, number in ids.items()})
        write_file(folder / IDS, msgspec.json.format(text, indent=2) + b"\n")
    return [*clip.notes, *chosen.notes]


def _make(folder: Path, *, overwrite: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_files = next(folder.iterdir(), None) is not None
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise UsageError(f"expected a folder to write to, but {folder} is a file; choose another output") from error
        raise cannot_write(folder, error) from error
    if has_files and not overwrite:
        raise UsageError(
            f"expected an empty or new folder, but {folder} has files in it; choose another output, or say --overwrite "
            f"to replace those of the same names"
        )
