"""What was heard, in a file of JSON lines: a message a line, its masks as COCO has them.

A line is the message's header (``docs/wire-format.md``) with ``received_ns``; in it the ``mask`` of an object is nil or
``{"size": [height, width], "counts": …}``, and the ``image`` of a frame nil or ``{"encoding": …, "base64": …}``.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from streamseg.errors import OutputError, UsageError, WireError
from streamseg.masks import rle
from streamseg.publishing import format
from streamseg.publishing.format import FrameHeader, Published


class Heard(NamedTuple):
    """A message, and when it came."""

    received_ns: int
    """Nanoseconds since the epoch."""
    message: Published


def plain(message: Published, received_ns: int, *, masks: bool = True, image: bool = True) -> dict[str, Any]:
    """A message as plain data, for JSON: keys that we do not know are kept.

    Args:
        message: as `streamseg.publishing.format.decode` gives it.
        received_ns: when it came, nanoseconds since the epoch.
        masks: whether each object has its mask, too; if not there is no such key.
        image: whether the picture goes along; if not there is no such key.

    Raises:
        WireError: a mask cannot be read.
    """
    header = msgspec.msgpack.decode(message.parts[1], type=dict[str, Any])
    if isinstance(message.header, FrameHeader):
        for entry, found in zip(header["objects"], message.header.objects, strict=True):
            entry.pop("mask", None)
            if masks:
                mask = message.mask(found)
                entry["mask"] = None if mask is None else rle.to_coco(mask)
        attached = message.header.image
        header.pop("image", None)
        if image:
            header["image"] = attached and {
                "encoding": attached.encoding,
                "base64": base64.b64encode(message.part(attached)).decode(),
            }
    return {"received_ns": received_ns, **header}


def line(message: Published, received_ns: int, *, masks: bool = True, image: bool = True) -> bytes:
    """`plain` as a line of JSON, with its line feed.

    Raises:
        WireError: a mask cannot be read, or a key that we do not know has a value that JSON has not.
    """
    try:
        return msgspec.json.encode(plain(message, received_ns, masks=masks, image=image)) + b"\n"
    except (TypeError, msgspec.MsgspecError) as error:
        raise WireError(f"expected a header that JSON can tell, got: {error}") from error


class Recorder:
    """Appends messages to a file, each as a whole line or not at all."""

    def __init__(self, path: Path) -> None:
        """Open a file, new or begun before.

        Raises:
            OutputError: it is no recording, or cannot be written.
        """
        try:
            if path.exists():
                _cut_off_torn_line(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from error
        self._path = path

    def add(self, message: Published, received_ns: int) -> None:
        """Append a message.

        Raises:
            WireError: it cannot be written as JSON; then nothing is.
            OutputError: the disk is full, or the file is gone.
        """
        text = line(message, received_ns)
        length = self._file.tell()
        try:
            if self._file.write(text) < len(text):
                self._file.truncate(length)
                raise OutputError(f"cannot write {self._path}: no space left; what was heard before is whole")
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}; what was heard before is whole") from error

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Heard]:
    """The messages of a file, with masks and pictures as when they came; a last line that is torn is left out.

    Raises:
        UsageError: the file cannot be read, or a line is none of a recording.
    """
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if text.endswith(b"\n"):
                    yield _heard(text, f"line {number} of {path}")
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; give a file that 'streamseg listen' recorded"
        ) from error


def _heard(text: bytes, where: str) -> Heard:
    parts: list[bytes] = [b"", b""]
    try:
        header = msgspec.json.decode(text, type=dict[str, Any])
        received_ns = msgspec.convert(header.pop("received_ns", None), int)
        for entry in header.get("objects", ()):
            if entry.get("mask") is not None:
                parts.append(entry["mask"]["counts"].encode())
                entry["mask"] = {"encoding": "coco-rle", "part": len(parts) - 1}
        if header.get("image") is not None:
            parts.append(base64.b64decode(header["image"]["base64"], validate=True))
            header["image"] = {"encoding": header["image"]["encoding"], "part": len(parts) - 1}
        parts[1] = msgspec.msgpack.encode(header)
        return Heard(received_ns, format.decode(parts))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"expected a message that 'streamseg listen' recorded in {where}, got: {error}") from error


def _cut_off_torn_line(path: Path) -> None:
    """What a power cut left of a line is removed; of a file that is no recording nothing is.

    Raises:
        OutputError: it is no recording.
    """
    refusal = f"expected {path} to be new or a recording of 'streamseg listen'; choose another file"
    if not path.is_file():
        raise OutputError(refusal)
    with path.open("r+b") as file:
        first = file.readline()
        with contextlib.suppress(UsageError):
            if first.endswith(b"\n"):
                _heard(first, "")
                first = b""
        if first:
            raise OutputError(refusal)
        length = file.seek(0, 2)
        step = 1 << 16
        while length:
            start = max(0, length - step)
            file.seek(start)
            end = file.read(length - start).rfind(b"\n")
            if end >= 0:
                file.truncate(start + end + 1)
                return
            length = start
