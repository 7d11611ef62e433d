"""Cameras that are plugged in: which there are, and how FFmpeg's devices are told what pictures they shall give."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

_SIZE = re.compile(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})")
_CODECS = ("mjpeg", "h264")
"""Formats that are compressed: dshow calls these a codec, and everything else a pixel format."""


class CameraMode(NamedTuple):
    """What pictures a camera is asked for; None leaves it to the camera."""

    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    fps: float | None = None
    """Frames per second."""
    format: str | None = None
    """As FFmpeg calls it: mjpeg, yuyv422, nv12, h264 and others."""


class FoundCamera(NamedTuple):
    """A camera of this machine."""

    source: str
    """What to give as a source."""
    name: str
    """What it calls itself; empty if it does not."""
    stable: str
    """A name for it that stays the same whatever is plugged in first; empty if there is none."""


def parse_size(text: str) -> tuple[int, int]:
    """``1280x720`` as width and height.

    Raises:
        ValueError: it is no size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a size such as 1280x720, got {text!r}")
    return int(found[1]), int(found[2])


def camera_device(source: str) -> tuple[str, str]:
    """(device name, FFmpeg input format) of a camera source on this system: v4l2, avfoundation or dshow."""
    number = source if source.isdigit() else None
    if sys.platform == "darwin":
        return source, "avfoundation"
    if sys.platform == "win32":
        return (source if number is None else f"video={number}"), "dshow"
    return (f"/dev/video{number}" if number is not None else source), "v4l2"


def mode_options(mode: CameraMode, device: str) -> dict[str, str]:
    """Options that ask an FFmpeg device for a mode.

    Args:
        mode: what is wished for.
        device: v4l2, avfoundation or dshow.
    """
    options: dict[str, str] = {}
    if mode.size is not None:
        options["video_size"] = f"{mode.size[0]}x{mode.size[1]}"
    if mode.fps is not None:
        options["framerate"] = f"{mode.fps:g}"
    if mode.format is not None:
        compressed = device == "dshow" and mode.format in _CODECS
        options["input_format" if device == "v4l2" else "vcodec" if compressed else "pixel_format"] = mode.format
    return options


def cameras_here(root: Path = Path("/")) -> list[FoundCamera]:
    """The cameras that Linux knows of, in the order of their numbers; elsewhere FFmpeg has to be asked for them.

    Args:
        root: of the file system, for tests.
    """
    links: dict[str, str] = {}
    for link in sorted((root / "dev/v4l/by-id").glob("*")):
        links.setdefault(link.resolve().name, f"/dev/v4l/by-id/{link.name}")
    found = []
    for device in sorted((root / "dev").glob("video[0-9]*"), key=lambda path: int(path.name.removeprefix("video"))):
        about = root / "sys/class/video4linux" / device.name
        # The others of a camera's devices have what is known of its pictures, or none of them.
        if _text(about / "index") not in ("", "0"):
            continue
        found.append(FoundCamera(f"/dev/{device.name}", _text(about / "name"), links.get(device.name, "")))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
