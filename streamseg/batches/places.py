"""Where sources are and results go: paths, or URLs of object stores and file servers, through `fsspec`."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from streamseg import extras
from streamseg.errors import MediaError, OutputError, StreamsegError
from streamseg.redaction import redact, redact_text

SCHEMES = ("abfs", "abfss", "az", "gcs", "gs", "hdfs", "memory", "s3", "s3a", "sftp", "smb", "webhdfs")
"""What is fetched and put as whole files. What begins otherwise is a path, or a stream for the run to open."""

T = TypeVar("T")


def is_url(place: str) -> bool:
    """Whether files there are fetched and put, rather than opened where they are."""
    scheme, separator, _ = place.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def expand(source: str) -> list[str]:
    """The URLs that match a URL with ``*`` in it, sorted; anything else as it is.

    Raises:
        MediaError: none does, or the place cannot be read.
    """
    if not is_url(source) or "*" not in source:
        return [source]
    files, path = _open(source)
    found = sorted(_reading(source, lambda: files.glob(path)))
    if not found:
        raise MediaError(f"expected files that match {redact(source)}, there are none")
    return [files.unstrip_protocol(each) for each in found]


def names(url: str) -> list[str]:
    """URLs of the files in a folder, sorted.

    Raises:
        MediaError: it cannot be read.
    """
    files, path = _open(url)
    found = _reading(url, lambda: files.ls(path, detail=True))
    return sorted(files.unstrip_protocol(each["name"]) for each in found if each["type"] == "file")


def fetch(url: str, folder: Path) -> Path:
    """Copy a file into a folder; returns where it is.

    Raises:
        MediaError: it cannot be read.
    """
    files, path = _open(url)
    here = folder / posixpath.basename(path)
    _reading(url, lambda: files.get_file(path, str(here)))
    return here


def read(url: str) -> bytes | None:
    """The content of a file; None if there is none.

    Raises:
        MediaError: it cannot be read.
    """
    files, path = _open(url)
    return _reading(url, lambda: files.cat_file(path) if files.exists(path) else None)


def put(folder: Path, url: str, *, last: str) -> None:
    """Copy what is in a folder to a place, where nothing else is left.

    Args:
        folder: of the results.
        url: of the place.
        last: the name of a file that is copied after all others: where it is, all are.

    Raises:
        OutputError: it cannot be written.
    """
    files, path = _open(url)
    found = sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink())
    targets = {each: posixpath.join(path, *each.relative_to(folder).parts) for each in found}
    try:
        before = files.find(path) if files.exists(path) else []
        # While it is not there, nobody takes what is there for whole.
        if posixpath.join(path, last) in before:
            files.rm_file(posixpath.join(path, last))
        for each in sorted(found, key=lambda each: each == folder / last):
            files.makedirs(posixpath.dirname(targets[each]), exist_ok=True)
            files.put_file(str(each), targets[each])
        for each in set(before) - set(targets.values()) - {posixpath.join(path, last)}:
            files.rm_file(each)
    except Exception as error:
        raise OutputError(f"expected to write results to {redact(url)}, got: {_words(error)}") from error


def write(url: str, data: bytes) -> None:
    """Write a file.

    Raises:
        OutputError: it cannot be written.
    """
    files, path = _open(url)
    try:
        files.makedirs(posixpath.dirname(path), exist_ok=True)
        files.pipe_file(path, data)
    except Exception as error:
        raise OutputError(f"expected to write {redact(url)}, got: {_words(error)}") from error


def join(place: str, name: str) -> str:
    """A name in a folder or below a URL."""
    return f"{place.rstrip('/')}/{name}" if is_url(place) else str(Path(place).expanduser() / name)


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    fsspec = extras.load("fsspec", "cloud", f"to read and write {redact(url)}")
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise MediaError(f"expected to reach {redact(url)}, got: {error}; pip install what it names") from error
    except Exception as error:
        raise MediaError(f"expected to reach {redact(url)}, got: {_words(error)}") from error
    # What was there a moment ago may have been replaced by another machine.
    files.invalidate_cache()
    return files, path


def _reading(url: str, act: Callable[[], T]) -> T:
    try:
        return act()
    except StreamsegError:
        raise
    # Each store has errors of its own; none of them is a fault of ours.
    except Exception as error:
        raise MediaError(f"expected to read {redact(url)}, got: {_words(error)}") from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {redact_text(str(error))}"
