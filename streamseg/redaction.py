"""Showing URLs, and texts with URLs in them, without their secrets, and texts of strangers without control characters.

Cameras take passwords in ways that no standard knows, unescaped ones too. What cannot be told apart is hidden whole:
rather a host too many than a part of a password.
"""

from __future__ import annotations

import re

HIDDEN = "***"
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
# A scheme of bounded length: otherwise a long word without :// takes time that grows with its square.
_SCHEME_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}://")
_WORD_END = re.compile(r"[\s'\"<>]|$")
# Keys that say so wherever the word stands in them, in the path too, and words that must be the whole key or begin it.
# What they are the keys of goes on to the next & at most.
_SECRET = re.compile(
    r"((?:(?:pass|pwd|secret|token|credential|signature|session|login|api_?key|access_?key)[A-Za-z0-9_.\[\]-]{0,20}"
    r"|(?:pas|psw|pw)"
    r"|(?<![A-Za-z0-9])(?:(?:auth|user|usr|account|streamid|nonce|ticket|security-)[A-Za-z0-9_.\[\]-]{0,20}"
    r"|key|sig|sign|sid|credential))(?:=|%3d))[^&\s'\"<>]*",
    re.IGNORECASE,
)
_NOT_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def redact(source: str) -> str:
    """The source with user, password and query secrets replaced by ``***``; fit for logs, errors and run.json.

    >>> redact("rtsp://admin:1234@10.0.0.5/live?token=abc&channel=1")
    'rtsp://***@10.0.0.5/live?token=***&channel=1'
    """
    scheme = _SCHEME.match(source)
    if not scheme:
        return source
    rest = source[scheme.end() :]
    end = _userinfo_end(rest)
    shown = _SECRET.sub(rf"\g<1>{HIDDEN}", rest[end:])
    # What comes after white space in a value cannot be told from the value.
    if shown != rest[end:]:
        shown = re.sub(rf"({re.escape(HIDDEN)})[\s'\"<>][^&]*", r"\1", shown)
    return scheme[0] + (f"{HIDDEN}@" if end else "") + shown


def redact_text(text: str) -> str:
    """Free text, say an error of another library, with every URL in it redacted."""
    starts = [found.start() for found in _SCHEME_IN_TEXT.finditer(text)]
    if not starts:
        return text
    pieces = [text[: starts[0]]]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        piece = text[start:end]
        url = piece[: _url_end(piece)]
        pieces += [redact(url), piece[len(url) :]]
    return "".join(pieces)


def printable(text: str) -> str:
    """Text fit for a terminal and for a log of lines: control characters written out, ``\\x1b`` and the like.

    New lines and tabs stay. A terminal does what such characters say: moves the cursor, sets its title, turns text
    round; names of files, labels and errors may have any of them in it.
    """
    return _NOT_SHOWN.sub(lambda found: ascii(found[0])[1:-1], text)


def _url_end(piece: str) -> int:
    """Where the URL that a text begins with ends: at white space or a quote, unless that is within a password."""
    begin = piece.index("://") + 3
    found = _WORD_END.search(piece, begin)
    end = len(piece) if found is None else found.start()
    line_end = piece.find("\n")
    at = piece.rfind("@", begin, len(piece) if line_end < 0 else line_end)
    if at > end and ":" in piece[begin:at] and not piece.startswith(f"{HIDDEN}@", begin):
        found = _WORD_END.search(piece, at)
        end = len(piece) if found is None else found.start()
    return end


def utf8(text: str) -> str:
    """Text that can be sent: names of files may have bytes that are not UTF-8, which are written out as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _userinfo_end(rest: str) -> int:
    """Length of ``user:password@`` at the start of what follows ``scheme://``; 0 if there is none.

    A password may have an unescaped ``/``, ``?``, ``#`` or ``@`` in it: then it goes on to the last ``@`` there is.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    last = rest.rfind("@")
    # An address in brackets is a host. What is hidden already needs no more of it.
    if last < 0 or re.match(r"\*\*\*@|\[[0-9A-Fa-f:.]+\]", authority):
        return authority.rfind("@") + 1
    return last + 1 if "@" in authority or ":" in rest[:last] else 0
