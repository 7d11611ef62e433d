"""What a source string means, and how to show one without its secrets."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"<>]+")
_CAMERA = re.compile(r"^(\d+|/dev/video\d+|video=.+)$")
_SECRET_QUERY = re.compile(
    r"([?&;](?:x-amz-)?(?:access_?token|auth(?:orization)?|api_?key|credential|key|pass(?:phrase|word|wd)?|pwd|"
    r"secret|security-token|session_?(?:id|key)?|sig(?:nature)?|token|user(?:name)?|streamid)=)[^&;#\s]*",
    re.IGNORECASE,
)
_HIDDEN = "***"

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


def redact(source: str) -> str:
    """The source with user, password and query secrets replaced by ``***``; fit for logs, errors and run.json.

    >>> redact("rtsp://admin:1234@10.0.0.5/live?token=abc&channel=1")
    'rtsp://***@10.0.0.5/live?token=***&channel=1'
    """
    scheme = _SCHEME.match(source)
    if not scheme:
        return source
    rest = source[scheme.end() :]
    rest = rest[_userinfo_end(rest) :]
    shown = scheme[0] + (f"{_HIDDEN}@" if len(rest) < len(source) - scheme.end() else "") + rest
    return _SECRET_QUERY.sub(rf"\g<1>{_HIDDEN}", shown)


def redact_text(text: str) -> str:
    """Free text, say an error of another library, with every URL in it redacted."""
    return _URL_IN_TEXT.sub(lambda found: redact(found[0]), text)


def _userinfo_end(rest: str) -> int:
    """Length of ``user:password@`` at the start of what follows ``scheme://``; 0 if there is none."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return authority.rindex("@") + 1
    # A password with an unescaped / ? or # in it: not a valid URL, but no less secret. A port is all digits.
    port = authority.partition(":")[2]
    if port and not port.isdigit() and not port.startswith("[") and "]" not in port and "@" in rest:
        return rest.rindex("@") + 1
    return 0
