"""What a source string means."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

from streamseg.redaction import redact, redact_text

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_CAMERA = re.compile(r"^(\d+|/dev/video\d+|video=.+)$")
__all__ = ["IMAGE_SUFFIXES", "SourceKind", "classify", "local_path", "redact", "redact_text"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
"""File names that are read as images, in lower case."""


class SourceKind(StrEnum):
    """How a source is read."""

    FILE = "file"
    FOLDER = "folder"
    """Still images: a folder of them, or a single one."""
    CAMERA = "camera"
    URL = "url"


def classify(source: str) -> SourceKind:
    """What kind of source a string names; looks at the file system, opens nothing.

    A bare number, ``/dev/videoN`` and ``video=NAME`` (DirectShow) are cameras; to read a file that is called
    ``0`` write ``./0``. Anything with ``scheme://`` is a URL, except ``file://``. What is left is a path: a
    directory or an image file is a folder, the rest is a file, whether or not it exists.
    """
    if _CAMERA.match(source):
        return SourceKind.CAMERA
    scheme = _SCHEME.match(source)
    if scheme and scheme[1].lower() != "file":
        return SourceKind.URL
    path = local_path(source)
    # Not Path.is_dir: it raises where the folder above may not be entered.
    if os.path.isdir(path) or path.suffix.lower() in IMAGE_SUFFIXES:  # noqa: PTH112
        return SourceKind.FOLDER
    return SourceKind.FILE


def local_path(source: str) -> Path:
    """The path of a file or folder source; ``file://`` URLs are unwrapped and ``~`` is expanded."""
    if source.lower().startswith("file://"):
        return Path(unquote(source[len("file://") :]))
    return Path(source).expanduser()
