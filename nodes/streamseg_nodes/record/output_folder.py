"""The folder that record writes into: whether it may, and what of it is ours to remove."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from streamseg import commits
from streamseg.errors import OutputError
from streamseg.result_files import MASKS as MASKS
from streamseg.result_files import MCAP as MCAP
from streamseg.result_files import OVERLAY as OVERLAY
from streamseg.result_files import RUN as RUN
from streamseg.result_files import SEGMENT as SEGMENT
from streamseg.result_files import TRACKS as TRACKS
from streamseg.result_files import mask_name as mask_name

_log = logging.getLogger("streamseg.nodes.record")

_FILES = (OVERLAY, TRACKS, MCAP, RUN, commits.NAME, *(f".{name}.part" for name in (commits.NAME, OVERLAY, RUN)))
_LOCK_WITHIN_S = 5.0

_MASK_FILE = re.compile(r"\d{5,}\.png|\.\d{5,}\.png\.part")
_STREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def stream_folder(folder: Path, stream: str) -> Path:
    """Where one of several streams is recorded.

    Raises:
        OutputError: the name of the stream, or a link that lies under it, would lead out of the folder.
    """
    if not _STREAM_NAME.fullmatch(stream):
        raise OutputError(
            f"expected a stream name of letters, digits, '_' and '-' to make a folder of, got {stream!r}; "
            f"rename the source"
        )
    if (folder / stream).is_symlink():
        raise OutputError(f"expected a folder at {folder / stream}, got a link that leads elsewhere; remove it")
    return folder / stream


def check(folder: Path, *, overwrite: bool) -> None:
    """Make sure, without touching anything, that results may be written here.

    Raises:
        OutputError: it is no folder, has something in it, or may not be written to.
    """
    there = folder
    while not there.exists() and there != there.parent:
        if there.is_symlink():
            raise OutputError(
                f"expected a folder to write to, but {there} is a link that leads nowhere; remove it, or choose "
                f"another output"
            )
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"expected a folder to write to, but {there} is a file; choose another output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"expected to be allowed to write to {folder}, but {there} is closed to this user; "
            f"choose another output or change its mode"
        )
    if there == folder and not overwrite and _has_entries(folder):
        resume = ", --resume to go on with that run" if (folder / commits.NAME).exists() else ""
        raise OutputError(
            f"expected an empty or new folder, but {folder} has files in it; choose another output, or say "
            f"--overwrite (overwrite: true in a graph) to replace the results of an earlier run{resume}"
        )


def check_files(folder: Path, *, begun: bool) -> None:
    """Make sure, without touching anything, that the files of ours that lie in a folder are files, and in there.

    Args:
        begun: whether it is gone on with them; else they are removed first, whatever they are but for folders.

    Raises:
        OutputError: one of them is a folder, or, where it is gone on with it, a link, a FIFO or a device.
    """
    for name in (*_FILES, MASKS):
        path = folder / name
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        is_right = stat.S_ISDIR(mode) if name == MASKS else stat.S_ISREG(mode)
        stays = stat.S_ISDIR(mode) or (name == MASKS and not stat.S_ISLNK(mode))
        if not is_right and (begun or stays):
            kind = "a link that leads elsewhere" if stat.S_ISLNK(mode) else "something else"
            raise OutputError(
                f"expected a {'folder' if name == MASKS else 'file'} at {path}, it is {kind}; "
                f"remove it or choose another output"
            )


def lock(folder: Path, *, patient: bool) -> int | None:
    """Keep other processes from recording into a folder, which is made if it is not there.

    Args:
        patient: whether the one who has it may be on its way out: a process of this job that was killed.

    Returns:
        A file descriptor; the lock ends when it is closed. None where the file system knows no locks.

    Raises:
        OutputError: another process has it, or the folder cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(
            f"expected to make the folder {error.filename}, got: {error.strerror}; choose another output"
        ) from error
    deadline_s = time.monotonic() + (_LOCK_WITHIN_S if patient else 0.0)
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline_s:
                os.close(fd)
                raise OutputError(
                    f"expected to be the only one who records into {folder}, but another run does; "
                    f"wait for it, end it, or choose another output"
                ) from error
            time.sleep(0.05)
        except OSError as error:
            os.close(fd)
            _log.warning("%s cannot be locked (%s): see that no other run records into it", folder, error.strerror)
            return None
        else:
            return fd


def cut_off(folder: Path, first_index: int, *, keep_files: bool) -> None:
    """Remove what an earlier run has written beyond its last commit.

    Args:
        first_index: number of the first frame to come.
        keep_files: whether there is a commit; if not, tracks and overlay go too.

    Raises:
        OutputError: a file cannot be removed.
    """
    try:
        for path in list(_results(folder)):
            is_mask = _MASK_FILE.fullmatch(path.name) is not None
            if (not is_mask and not keep_files and path.name != commits.NAME) or (
                is_mask and (path.name.startswith(".") or int(path.stem) >= first_index)
            ):
                path.unlink()
    except OSError as error:
        raise OutputError(
            f"expected to cut off the results in {folder}, got: {error.strerror} ({error.filename}); check its mode"
        ) from error


def clear(folder: Path) -> None:
    """Remove the results of an earlier run, and nothing else that lies there.

    Raises:
        OutputError: a file cannot be removed.
    """
    try:
        for path in list(_results(folder)):
            path.unlink()
        masks = folder / MASKS
        if masks.is_symlink():
            masks.unlink()  # what it leads to is not ours
        elif masks.is_dir() and not _has_entries(masks):
            masks.rmdir()
        for segment in folder.iterdir() if folder.is_dir() else ():
            if SEGMENT.fullmatch(segment.name) and segment.is_dir() and not segment.is_symlink():
                clear(segment)
                if not _has_entries(segment):
                    segment.rmdir()
    except OSError as error:
        raise OutputError(
            f"expected to replace the earlier results in {folder}, got: {error.strerror} ({error.filename}); "
            f"remove them by hand or choose another output"
        ) from error


def _results(folder: Path) -> Iterator[Path]:
    for name in _FILES:
        path = folder / name
        # FIFOs and devices too: nobody could write results there.
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            yield path
    masks = folder / MASKS
    if masks.is_dir() and not masks.is_symlink():
        yield from (path for path in masks.iterdir() if _MASK_FILE.fullmatch(path.name) and not path.is_dir())


def _has_entries(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError as error:
        raise OutputError(
            f"expected to list {folder}, got: {error.strerror}; choose another output or change its mode"
        ) from error
