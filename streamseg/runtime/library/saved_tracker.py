"""What a tracker is written down as: which one it was, how far it is, and a checksum."""

from __future__ import annotations

import zlib
from importlib import metadata
from typing import Any, TypeVar

import msgspec

from streamseg.errors import UsageError
from streamseg.jobs import Natural

WANTED = "expected the state of a tracker, as save() gives it"

MAGIC = b"streamseg tracker\n"
"""What a state begins with, before its checksum."""
_SUM_BYTES = 4

Found = TypeVar("Found")


class SavedTracker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tracker between two frames."""

    model: str
    sha256: str
    """Of the model's weights."""
    frames: Natural
    """How many frames it has had."""
    frame_size: tuple[int, int] | None
    """(width, height) of the first of them; None before it."""
    state: bytes
    """`Segmented.tracker` of the last frame."""
    prompts: list[dict[str, Any]]
    """That wait for their frame, as plain data."""
    everything: dict[str, Any] | None
    """Options for finding all objects of the next frame; None does not."""


class _Of(msgspec.Struct, frozen=True, array_like=True):
    """What is read before all else, whatever version wrote it."""

    version: str
    tracker: msgspec.Raw


def to_bytes(saved: SavedTracker) -> bytes:
    """What `from_bytes` reads."""
    body = msgspec.msgpack.encode(_Of(_version(), msgspec.Raw(msgspec.msgpack.encode(saved))))
    return MAGIC + zlib.crc32(body).to_bytes(_SUM_BYTES, "big") + body


def from_bytes(data: bytes) -> SavedTracker:
    """What `to_bytes` wrote.

    Raises:
        UsageError: it is damaged, of another version, or something else.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UsageError(f"{WANTED}, got a {type(data).__name__}")
    data = bytes(data)
    if not data.startswith(MAGIC):
        raise UsageError(f"{WANTED}, got {len(data)} bytes of something else")
    begin = len(MAGIC) + _SUM_BYTES
    body = data[begin:]
    if zlib.crc32(body).to_bytes(_SUM_BYTES, "big") != data[len(MAGIC) : begin]:
        raise UsageError(f"{WANTED}, got one that is damaged: its checksum is another")
    found = _decoded(body, _Of)
    if found.version != _version():
        raise UsageError(
            f"expected the state of a tracker of streamseg {_version()}, got one of {found.version}; restore it with "
            f"that version, or point at the objects again"
        )
    return _decoded(bytes(found.tracker), SavedTracker)


def _decoded(data: bytes, kind: type[Found]) -> Found:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{WANTED}, got one that cannot be read: {error}") from error


def check_fits(saved: SavedTracker, model: str, sha256: str) -> None:
    """Whether a tracker of this model, with weights of this checksum, can go on with it.

    Raises:
        UsageError: it cannot.
    """
    if (saved.model, saved.sha256) == (model, sha256):
        return
    which = f"model {saved.model!r}" if saved.model != model else f"other weights of {model!r} ({saved.sha256[:12]}…)"
    raise UsageError(
        f"expected the state of a tracker of model {model!r} ({sha256[:12]}…), got one of {which}; restore it in a "
        f"tracker of the same model and checkpoint"
    )


def _version() -> str:
    return metadata.version("streamseg")
