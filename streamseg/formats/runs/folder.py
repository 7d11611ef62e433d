"""Which files in the folder of a run are its results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamseg.errors import UsageError
from streamseg.result_files import MASKS, SEGMENT, TRACKS, mask_name


def stream_folders(folder: Path) -> list[Path]:
    """The folders of all streams that were recorded into a folder; of a single stream the folder itself."""
    if not folder.is_dir() or _is_results(folder):
        return [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    streams = [path for path in inside if not SEGMENT.fullmatch(path.name) and _has_results(path)]
    return streams or [folder]


def parts_of(folder: Path) -> list[Path]:
    """The folder itself, or its segments.

    Raises:
        UsageError: it is no such folder, or has several streams.
    """
    if not folder.is_dir():
        raise UsageError(f"expected the folder of a run, but {folder} is no folder; give what -o or the run said")
    if _is_results(folder):
        return [folder]
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    segments = [path for path in inside if SEGMENT.fullmatch(path.name) and _is_results(path)]
    if segments:
        return segments
    streams = [path.name for path in inside if _has_results(path)]
    if streams:
        names = ", ".join(streams)
        raise UsageError(f"expected the folder of one stream, {folder} has several: {names}; give one of these")
    raise UsageError(
        f"expected the folder of a run, but {folder} has neither {TRACKS} nor {MASKS}/; give the folder that "
        f"'streamseg run' has written"
    )


def _has_results(folder: Path) -> bool:
    """Whether a stream was recorded into a folder, in segments or not."""
    return _is_results(folder) or any(
        SEGMENT.fullmatch(path.name) and _is_results(path) for path in folder.iterdir() if path.is_dir()
    )


def _is_results(folder: Path) -> bool:
    return (folder / TRACKS).is_file() or any(True for _ in mask_files(folder))


def mask_files(folder: Path) -> Iterator[Path]:
    """The pictures of masks in a folder, in no order."""
    masks = folder / MASKS
    if not masks.is_dir():
        return
    for path in masks.iterdir():
        if path.stem.isdecimal() and path.name == mask_name(int(path.stem)):
            yield path
