"""Files that somebody else has named or left there: opened only if they are what they should be.

A name may lead to a device that never ends, a FIFO that nobody writes to, a file larger than memory, or by a link out
of the folder it seems to lie in. What is wrong is said as an `OSError`, as the system says the rest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

_INHERITED = re.compile(r"-|/dev/stdin|/(?:dev|proc/self)/fd/(?P<number>\d+)")
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_regular(path: Path | str, most_bytes: int) -> bytes:
    """All of a file.

    Raises:
        OSError: it is not there, not a regular file, has more bytes than that, or cannot be read.
    """
    with opened(path) as fd:
        if (size_bytes := os.fstat(fd).st_size) > most_bytes:
            raise OSError(errno.EFBIG, f"it has {size_bytes >> 20} MiB, at most {most_bytes >> 20} are read", str(path))
        # Files below /proc say that they are empty, and any file may grow meanwhile.
        data = bytearray()
        while len(data) <= most_bytes and (piece := os.read(fd, min(1 << 20, most_bytes + 1 - len(data)))):
            data += piece
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than the {most_bytes >> 20} MiB that are read", str(path))
    return bytes(data)


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[int]:
    """A file descriptor to read a regular file.

    Raises:
        OSError: it is not there, not a regular file, or cannot be read.
    """
    check_regular(path)
    # The name may lead to something else by now. Without O_NONBLOCK a FIFO would wait for a writer here.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check_kind(os.fstat(fd).st_mode, str(path))
        yield fd
    finally:
        os.close(fd)


def check_regular(path: Path | str) -> os.stat_result:
    """See, without opening it, that a name leads to a regular file; links are followed. Returns what is known of it.

    Raises:
        OSError: it is not there or something else.
    """
    try:
        # Devices are not opened even for a moment: for some that alone does something.
        found = os.stat(path)  # noqa: PTH116 (a text may be no path at all)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"no file can have that name ({error})", ascii(str(path))) from None
    _check_kind(found.st_mode, str(path))
    return found


def inherited_fd(path: str) -> int | None:
    """Number of the open file that a name stands for: ``-``, ``/dev/stdin``, ``<(…)`` of a shell; None for others."""
    found = _INHERITED.fullmatch(path)
    return None if found is None else int(found["number"] or 0)


def open_own(path: Path, flags: int, mode: int = 0o666) -> int:
    """Open a file of a folder that is ours: the last part of its path must be no link, and the file a regular one.

    Args:
        path: of the file; its folder has been looked at.
        flags: as for `os.open`; nothing is cut off before the file has been looked at.
        mode: of a file that is made.

    Raises:
        OSError: it is a link, a FIFO, a device, a folder, has another name elsewhere, or cannot be opened.
    """
    kept = flags & ~os.O_TRUNC
    try:
        fd = os.open(path, kept | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            _check_kind(os.lstat(path).st_mode, str(path))
        raise
    try:
        found = os.fstat(fd)
        _check_kind(found.st_mode, str(path))
        if found.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EMLINK, "it is the same file as another one elsewhere (a hard link)", str(path))
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_own(path: Path, data: bytes) -> None:
    """Write a file of a folder that is ours in one step: it appears under its name, with all that is in it, or not.

    Raises:
        OSError: it cannot be written, or what stands for it until it is complete is no regular file.
    """
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(data)
    part.replace(path)


def check_own(path: Path) -> None:
    """See that what `open_own` would open is a regular file or not there.

    Raises:
        OSError: it is something else.
    """
    with contextlib.suppress(FileNotFoundError):
        _check_kind(os.lstat(path).st_mode, str(path))


def _check_kind(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"expected a regular file, it is {kind}", path)
