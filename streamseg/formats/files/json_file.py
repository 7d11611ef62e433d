"""JSON of strangers, that is read; and ours, whose lists are longer than memory.

These are gathered in temporary files, and joined at the end.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from streamseg.errors import MediaError, OutputError, StreamsegError, UsageError
from streamseg.regular_files import read_regular

_LARGEST_BYTES = 4 << 30
_BUFFER_BYTES = 1 << 16
_encode = msgspec.json.Encoder().encode


class JsonFile:
    """A file with one mapping: plain values first, then the lists, which are written entry by entry.

        with JsonFile(path, {"info": {}}, "images", "annotations") as file:
            file.add("images", {"id": 1})

    It is there once the block ends in good order.

    Args:
        path: of the file.
        head: what stands before the lists.
        lists: their names, in order.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, head: dict[str, Any], *lists: str) -> None:
        self._path = path
        self.head = head
        """What stands before the lists; may be added to until the end."""
        self._lists: dict[str, IO[bytes]] = {}
        self._counts = dict.fromkeys(lists, 0)
        try:
            for name in lists:
                self._lists[name] = tempfile.TemporaryFile(dir=path.parent, buffering=_BUFFER_BYTES)  # noqa: SIM115
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, name: str, entry: Any) -> None:
        """Append an entry to a list."""
        self.add_encoded(name, _encode(entry))

    def add_encoded(self, name: str, *pieces: bytes) -> None:
        """Append an entry that is JSON already, in pieces."""
        file = self._lists[name]
        try:
            file.write(b",\n" if self._counts[name] else b"\n")
            for piece in pieces:
                file.write(piece)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._counts[name] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._join()
        except OSError as reason:
            raise cannot_write(self._path, reason) from reason
        finally:
            for file in self._lists.values():
                # What was in it is in the file by now, or there was an error already.
                with contextlib.suppress(OSError):
                    file.close()

    def _join(self) -> None:
        part = self._path.with_name(f".{self._path.name}.part")
        with part.open("wb") as out:
            begin = _encode(self.head)[:-1]
            out.write(begin)
            for number, (name, file) in enumerate(self._lists.items()):
                out.write((b"," if number or len(begin) > 1 else b"") + b"\n" + _encode(name) + b": [")
                file.seek(0)
                shutil.copyfileobj(file, out, 1 << 20)
                out.write(b"]")
            out.write(b"}\n")
        part.replace(self._path)


class Spools:
    """Text that comes frame by frame and is wanted object by object: each has a temporary file, open only to append.

    Args:
        folder: where the files are for the time.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = tempfile.TemporaryDirectory(prefix=".spool-", dir=folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        self._buffers: dict[tuple[int, str], bytearray] = {}

    def add(self, object_id: int, kind: str, data: bytes) -> None:
        """Append to what there is of an object."""
        buffer = self._buffers.setdefault((object_id, kind), bytearray())
        buffer += data
        if len(buffer) >= _BUFFER_BYTES:
            self._flush(object_id, kind)

    def read(self, object_id: int, kind: str) -> Iterator[bytes]:
        """What there is of an object, piece by piece."""
        path = self._of(object_id, kind)
        if path.exists():
            with path.open("rb") as file:
                yield from iter(lambda: file.read(1 << 20), b"")
        yield bytes(self._buffers.get((object_id, kind), b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def _of(self, object_id: int, kind: str) -> Path:
        return Path(self._folder.name) / f"{object_id}-{kind}"

    def _flush(self, object_id: int, kind: str) -> None:
        buffer = self._buffers[object_id, kind]
        path = self._of(object_id, kind)
        try:
            with path.open("ab") as file:
                file.write(buffer)
        except OSError as error:
            raise cannot_write(path, error) from error
        buffer.clear()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say it of a file if something cannot be written inside the block.

    Raises:
        OutputError: the system refused something; errors of our own pass as they are.
    """
    try:
        yield
    except StreamsegError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error about a file that cannot be written."""
    return OutputError(f"expected to write {path}, got: {error.strerror or error}; free space or choose another folder")


def read_json(path: Path) -> Any:
    """The data in a JSON file.

    Raises:
        MediaError: it cannot be read.
        UsageError: it is no JSON.
    """
    try:
        return msgspec.json.decode(read_regular(path, _LARGEST_BYTES))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: expected JSON, got: {error}") from error


def check_keys(path: Path, data: Any, *keys: str) -> None:
    """Refuse what has not the keys of a format.

    Raises:
        UsageError: it is no mapping, or one is missing.
    """
    missing = [key for key in keys if not isinstance(data, dict) or key not in data]
    if missing:
        raise UsageError(f"{path}: expected a mapping with {', '.join(map(repr, keys))}, {missing[0]!r} is not there")
