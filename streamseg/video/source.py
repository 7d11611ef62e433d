"""What a source string means."""

from __future__ import annotations

import os
import re
import stat
import zlib
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

from streamseg.redaction import redact, redact_text

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_FILE_URL = re.compile(r"file:(?://(?:localhost(?=/))?|(?=/))", re.IGNORECASE)
_CAMERA = re.compile(r"^(\d+|/dev/video\d+|video=.+)$")
_VIDEO4LINUX = 81
"""Major number of its devices."""
_BY_NAME = Path("/dev/v4l")
"""Where Linux has cameras by their names and places; what is not plugged in is not there."""
__all__ = ["IMAGE_SUFFIXES", "SourceKind", "classify", "local_path", "redact", "redact_text"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
"""File names that are read as images, in lower case."""

BAG_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
"""File names that are read as bags of robots, or are files of one, in lower case."""


class SourceKind(StrEnum):
    """How a source is read."""

    FILE = "file"
    FOLDER = "folder"
    """Still images: a folder of them, or a single one."""
    BAG = "bag"
    """What a robot has recorded: an MCAP file, or a ROS 2 bag."""
    CAMERA = "camera"
    URL = "url"
    MEMORY = "memory"
    """Frames that another process has in memory."""
    TEST = "test"
    """A test pattern, which is drawn as it goes."""
    PUBLISHED = "published"
    """What another streamseg publishes."""


_OWN_SCHEMES = {"frames": SourceKind.MEMORY, "test": SourceKind.TEST, "streamseg": SourceKind.PUBLISHED}


def classify(source: str) -> SourceKind:
    """What kind of source a string names; looks at the file system, opens nothing.

    A bare number, ``/dev/videoN``, whatever leads to one such as ``/dev/v4l/by-id/…``, and ``video=NAME`` (DirectShow)
    are cameras; to read a file that is called
    ``0`` write ``./0``. Anything with ``scheme://`` is a URL, except ``file://``, ``test://``, ``streamseg://``, and
    ``frames://``, with which `streamseg.segment_video` calls the pipe that it hands frames over on. What is left is a
    path: a directory or an
    image file is a folder, the rest is a file, whether or not it exists. A file that is called like a
    bag is one, and so is a directory with such files and no images.
    """
    if _CAMERA.match(source):
        return SourceKind.CAMERA
    scheme = _SCHEME.match(source)
    if scheme and scheme[1].lower() != "file":
        return _OWN_SCHEMES.get(scheme[1], SourceKind.URL)
    path = local_path(source)
    if _is_camera(path):
        return SourceKind.CAMERA
    if is_bag(path):
        return SourceKind.BAG
    # Not Path.is_dir: it raises where the folder above may not be entered.
    if os.path.isdir(path) or path.suffix.lower() in IMAGE_SUFFIXES:  # noqa: PTH112
        return SourceKind.FOLDER
    return SourceKind.FILE


def _is_camera(path: Path) -> bool:
    """Whether a path is or leads to a camera of Linux, under any name."""
    if path.is_relative_to(_BY_NAME):
        return True
    try:
        if _CAMERA.match(os.path.realpath(path)):
            return True
        found = path.stat()
    except (OSError, ValueError):
        return False  # not there, or no path at all
    return stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == _VIDEO4LINUX


def is_bag(path: Path) -> bool:
    """Whether a path leads to a bag, by the names alone."""
    if path.name.lower().endswith(BAG_SUFFIXES):
        return True
    try:
        names = [each.name.lower() for each in os.scandir(path)]
    except (OSError, ValueError):
        return False  # not there, no folder, or no path at all
    has_images = any(os.path.splitext(name)[1] in IMAGE_SUFFIXES for name in names)  # noqa: PTH122
    return not has_images and any(name.endswith(BAG_SUFFIXES) for name in names)


def bag_files(folder: Path) -> list[Path]:
    """The files of a bag in a folder, in the order of their names; of one that is there unpacked too just that."""
    paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(BAG_SUFFIXES))
    names = {path.name for path in paths}
    return [path for path in paths if path.suffix.lower() != ".zstd" or path.stem not in names]


def local_path(source: str) -> Path:
    """The path of a source that has one; ``file:`` and ``frames://`` are unwrapped and ``~`` is expanded."""
    if source.startswith("frames://"):
        return Path(source.removeprefix("frames://"))
    found = _FILE_URL.match(source)
    if found:
        return Path(unquote(source[found.end() :]))
    return Path(source).expanduser()


def is_pipe(source: str) -> bool:
    """Whether a source is a local pipe, which can be read once."""
    try:
        return classify(source) is SourceKind.FILE and local_path(source).is_fifo()
    except OSError:
        return False


def file_facts(path: str | Path) -> dict[str, int] | None:
    """Size and time of a file, by which it is seen to have changed; None if it is not there."""
    try:
        found = Path(path).expanduser().stat()
    except OSError:
        return None
    return {"size_bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def source_facts(source: str) -> dict[str, int] | None:
    """What shows that a file, a bag or a folder of images has changed; None for what is no file."""
    kind = classify(source)
    if kind is SourceKind.FILE:
        return file_facts(local_path(source))
    if kind not in (SourceKind.FOLDER, SourceKind.BAG):
        return None
    path = local_path(source)
    if not path.is_dir():
        return file_facts(path)
    images = (p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    names = bag_files(path) if kind is SourceKind.BAG else sorted(images)
    return {"files": len(names), "crc32": zlib.crc32(repr([(p.name, file_facts(p)) for p in names]).encode())}
