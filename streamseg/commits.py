"""The commit log of a recorded run: how far its files are durable, and what it takes to go on from there.

A file of records, each with its length and checksum, so that one that was cut off by a crash is seen and left out. The
first says what the job is, each later start adds how often it was started again, and the last commit is what counts.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from streamseg.errors import OutputError, UsageError
from streamseg.jobs import Natural, Position
from streamseg.regular_files import open_own

_log = logging.getLogger("streamseg.commits")

NAME = "commits.log"
_MARK = b"streamseg commits 1\n"
_HEAD_BYTES = 8
_LONGEST_RECORD_BYTES = 1 << 28
_COMPACT_BYTES = 16 << 20
"""Beyond this the log is written anew with its last commit only: tracker states take up some kilobytes each."""


class Began(msgspec.Struct, frozen=True, tag=True):
    """A start of the job."""

    facts: dict[str, Any]
    """What the job is: its graph, and what its results depend on besides."""
    restarts: Natural
    """How often it had been started again by then."""


class Committed(msgspec.Struct, frozen=True, tag=True):
    """Everything up to here is on the disk."""

    position: Position
    marks: dict[str, Any]
    """What the writer of the files has to know to cut them off here."""


class Contents(msgspec.Struct, frozen=True):
    """What a log says."""

    began: Began
    last: Committed | None
    whole_bytes: Natural
    """Length of the log without a record that was cut off."""


def read(folder: Path) -> Contents | None:
    """The log in a folder; None if there is none, or none that was begun in full.

    Raises:
        OutputError: the file cannot be read, or is no commit log.
    """
    path = folder / NAME
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            return _contents(path, file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"expected to read {path}, got: {error.strerror}; check its mode") from error


def _contents(path: Path, file: BinaryIO) -> Contents | None:
    mark = file.read(len(_MARK))
    if not _MARK.startswith(mark):
        raise OutputError(f"expected {path} to be a commit log of streamseg, it is something else; move it away")
    decoder = msgspec.msgpack.Decoder(Began | Committed)
    began: Began | None = None
    last: Committed | None = None
    at = len(_MARK)
    while (record := _record(file)) is not None:
        try:
            entry = decoder.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OutputError(
                f"expected records of this version of streamseg in {path}, got: {error}; "
                f"resume with the version that wrote it"
            ) from error
        if isinstance(entry, Began):
            began = entry
        else:
            last = entry
        at += _HEAD_BYTES + len(record)
    return None if began is None else Contents(began, last, at)


class CommitLog:
    """Appends to the log of a folder.

    Args:
        before: what the log says already, to go on with it; None begins a new one.
        root: a folder from which on no part of the path may be a link; None for `folder`.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path, began: Began, before: Contents | None, *, root: Path | None = None) -> None:
        self._path = folder / NAME
        self._root = root
        self._encoder = msgspec.msgpack.Encoder()
        self._began = began
        self._fd: int | None = None
        self._whole_bytes = 0
        try:
            if before is None:
                self._begin(None)
            else:
                self._fd = open_own(self._path, os.O_WRONLY, root=self._root)
                os.ftruncate(self._fd, before.whole_bytes)
                self._whole_bytes = os.lseek(self._fd, 0, os.SEEK_END)
                self._append(began)
            sync_folder(folder)
        except OSError as error:
            self.close()
            raise self._cannot(error) from error

    def append(self, entry: Committed) -> None:
        """Add a commit; it is on the disk when this returns.

        Raises:
            OutputError: the disk is full or gone; the log ends with the commit before.
        """
        try:
            if self._whole_bytes <= _COMPACT_BYTES or not self._compacted(entry):
                self._append(entry)
        except OSError as error:
            raise self._cannot(error) from error

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _compacted(self, entry: Committed) -> bool:
        """Write the log anew with this entry only. False if there is no room for that; the log stays as it is."""
        try:
            self._begin(entry)
        except OSError as error:
            _log.info("%s could not be written anew, so it grows further: %s", self._path, error.strerror)
            return False
        return True

    def _begin(self, entry: Committed | None) -> None:
        """Begin a new file; the one before stays in use until the new one is whole and has its name."""
        part = self._path.with_name(f".{NAME}.part")
        fd = open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, root=self._root)
        try:
            data = b"".join([_MARK, *(self._packed(each) for each in (self._began, entry) if each is not None)])
            _write(fd, data)
            os.fsync(fd)
            part.replace(self._path)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        before, self._fd, self._whole_bytes = self._fd, fd, len(data)
        if before is not None:
            os.close(before)
        sync_folder(self._path.parent)

    def _append(self, entry: Began | Committed) -> None:
        if self._fd is None:
            raise UsageError(f"expected {self._path} to be open, it is closed; begin another log")
        data = self._packed(entry)
        try:
            _write(self._fd, data)
            os.fsync(self._fd)
        except OSError:
            # Where even this fails the disk is gone; readers leave out a record that was cut off.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._whole_bytes)
                os.lseek(self._fd, self._whole_bytes, os.SEEK_SET)
            raise
        self._whole_bytes += len(data)

    def _packed(self, entry: Began | Committed) -> bytes:
        body = self._encoder.encode(entry)
        if len(body) > _LONGEST_RECORD_BYTES:
            raise OSError(errno.EFBIG, f"a commit of {len(body) >> 20} MiB is more than is read again")
        return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(f"expected to write {self._path}, got: {error.strerror}; free space or check the disk")


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _record(file: BinaryIO) -> bytes | None:
    """The body of the record that begins here; None if it is not there in full."""
    head = file.read(_HEAD_BYTES)
    length = int.from_bytes(head[:4], "big")
    # What a length promises has to be there before memory is taken for it.
    left_bytes = os.fstat(file.fileno()).st_size - file.tell()
    if len(head) < _HEAD_BYTES or not 0 < length <= min(left_bytes, _LONGEST_RECORD_BYTES):
        return None
    body = file.read(length)
    return body if len(body) == length and zlib.crc32(body) == int.from_bytes(head[4:], "big") else None
