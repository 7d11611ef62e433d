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


@contextlib.contextmanager
def own_folder(folder: Path, root: Path | None = None, *, make: bool = False) -> Iterator[int]:
    """A file descriptor of a folder that is ours.

    Args:
        folder: itself, which is `root` or below it.
        root: from here on no part of the path may be a link, whoever puts it there and when; None for `folder`, so that
            links lead there as they like.
        make: whether what is not there is made.

    Raises:
        OSError: it is not there, or a link, or no folder.
    """
    root = folder if root is None else root
    if make:
        root.mkdir(parents=True, exist_ok=True)
    # Where the system knows it, a folder need not be readable to be gone through.
    flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
    fd = os.open(root, flags)
    try:
        at = root
        for part in folder.relative_to(root).parts:
            at /= part
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=fd)
            if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, "expected a folder, it is a link", str(at))
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def open_own(path: Path, flags: int, mode: int = 0o666, *, root: Path | None = None) -> int:
    """Open a file of a folder that is ours: it must be a regular one, and no link.

    Args:
        path: of the file.
        flags: as for `os.open`; nothing is cut off before the file has been looked at.
        mode: of a file that is made.
        root: as for `own_folder`; None if the folder of the file is the one that whoever runs us has named.

    Raises:
        OSError: it is a link, a FIFO, a device, a folder, has another name elsewhere, lies behind a link, or cannot be
            opened.
    """
    kept = flags & ~os.O_TRUNC
    with own_folder(path.parent, root) as folder_fd:
        try:
            safe = kept | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
            fd = os.open(path.name, safe, mode, dir_fd=folder_fd)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
                found = os.stat(path.name, dir_fd=folder_fd, follow_symlinks=False)
                _check_kind(found.st_mode, str(path))
            raise OSError(error.errno, error.strerror, str(path)) from None
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


def sync(path: Path) -> None:
    """Make what is in a file, or the names in a folder, durable.

    Raises:
        OSError: it is not there, or the disk does not take it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
