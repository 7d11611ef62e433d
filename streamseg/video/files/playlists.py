"""Local files that name other files: which FFmpeg may follow, and where to.

A file of a stranger that calls itself a video may be a list of other files on this machine, or of addresses to be
called up. So FFmpeg reads a list only where the name says that it is one, and only if all that is named in it lies
beside it or below, unless whoever runs it says that it may lead anywhere.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import av

from streamseg.errors import MediaError
from streamseg.regular_files import check_regular, read_regular

_LISTS = {".m3u8": "hls", ".m3u": "hls", ".ffconcat": "concat"}
"""Ending of a file's name -> FFmpeg's format."""
# Formats that open what they name, or devices and generators; `tty` and the like are refused with a better sentence.
_FOLLOWING = frozenset(
    {"concat", "dash", "hls", "imf", "sdp", "rtsp", "rtp", "sap", "lavfi", "vapoursynth", "avisynth", "vobsub"}
    | {"webm_dash_manifest", "image2", "alsa", "fbdev", "kmsgrab", "oss", "x11grab", "v4l2"}
)
_PROTOCOLS = "file,crypto,data,http,https,tcp,tls"
_LARGEST_BYTES = 16 << 20
_MOST_NAMED = 100_000
_DEEPEST = 3
"""A list may name lists, as one for several qualities does."""

_ATTRIBUTE = re.compile(r'URI=(?:"([^"]*)"|([^,\s]*))', re.IGNORECASE)
_CONCAT_FILE = re.compile(r"\s*file\s+(.*)")
_HEADS = {b"ffconcat": "ffconcat", b"#EXTM3U": "m3u8", b"<?xml": "XML", b"<MPD": "DASH", b"v=0": "SDP"}


def allowed_formats(path: Path) -> str:
    """What FFmpeg may take a file for, as its ``format_whitelist``."""
    own = _LISTS.get(path.suffix.lower())
    return ",".join([*_media_formats(), *([] if own is None else [own])])


def anywhere(path: Path) -> dict[str, str]:
    """FFmpeg's options for a list that may name what it likes; none for other files."""
    kind = _LISTS.get(path.suffix.lower())
    if kind is None:
        return {}
    # By itself FFmpeg follows lists in files to plain names of files only.
    return {"protocol_whitelist": _PROTOCOLS} | ({"safe": "0"} if kind == "concat" else {})


def check_list(path: Path) -> None:
    """See what a list names, before FFmpeg opens any of it; nothing to do for other files.

    Raises:
        MediaError: something in it does not lie beside it or below, or is no regular file.
    """
    if path.suffix.lower() in _LISTS:
        _check(path, path.parent.resolve(), _DEEPEST, [_MOST_NAMED])


def hidden_list(path: Path) -> str | None:
    """What kind of list a file is that is not named as one; None if it is none."""
    if path.suffix.lower() in _LISTS:
        return None
    with path.open("rb") as file:
        head = file.read(16).removeprefix(b"\xef\xbb\xbf")
    return next((kind for mark, kind in _HEADS.items() if head.startswith(mark)), None)


@cache
def _media_formats() -> tuple[str, ...]:
    return tuple(sorted(name for name in av.formats_available if not _FOLLOWING.intersection(name.split(","))))


def _check(path: Path, folder: Path, depth: int, left: list[int]) -> None:
    try:
        text = read_regular(path, _LARGEST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise MediaError(f"expected a readable list of media in {path}, got: {error.strerror}") from None
    named = _in_concat(text) if _LISTS.get(path.suffix.lower()) == "concat" else _in_hls(text)
    for name in named:
        left[0] -= 1
        if left[0] < 0:
            raise MediaError(f"expected at most {_MOST_NAMED} names in the list {path}, got more; split it")
        other = _beside(path, folder, name)
        if other.suffix.lower() in _LISTS:
            if not depth:
                raise MediaError(f"expected media in the list {path}, got lists in lists; give one of them")
            _check(other, folder, depth - 1, left)


def _beside(path: Path, folder: Path, name: str) -> Path:
    """The regular file that a name in a list means."""
    what = f"expected the list {path} to name files beside it or below it"
    if re.match(r"[A-Za-z][A-Za-z0-9+.,-]*:", name) or "\0" in name:
        raise MediaError(
            f"{what}, got {name!r}; download them first, give the address itself as the source, or let lists lead "
            f"anywhere (playlists_anywhere of decode)"
        )
    # FFmpeg takes both forms of a name with %20 in it.
    for form in {name, unquote(name), name.split("?")[0]}:
        other = (path.parent / form).resolve()
        if not other.is_relative_to(folder):
            raise MediaError(
                f"{what}, got {name!r}; put the files there, or let lists lead anywhere (playlists_anywhere of decode)"
            )
    other = path.parent / name
    try:
        check_regular(other)
    except FileNotFoundError:
        return other
    except OSError as error:
        raise MediaError(f"{what}, got {name!r}: {error.strerror}") from None
    return other


def _in_hls(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        if line.startswith("#"):
            found += [quoted or bare for quoted, bare in _ATTRIBUTE.findall(line)]
        elif line.strip():
            found.append(line.strip())
    return found


def _in_concat(text: str) -> list[str]:
    """Names without the quotes and backslashes that FFmpeg takes away; by itself it refuses other than plain ones."""
    matches = map(_CONCAT_FILE.match, text.splitlines())
    return [re.sub(r"['\\]", "", match[1]).strip() for match in matches if match is not None]
