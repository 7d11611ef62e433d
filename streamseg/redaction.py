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


# What a query may say that is no secret; the values of other keys are hidden unless they are small numbers.
# fmt: off
_HARMLESS = frozenset(
    {
        "action", "audio", "buffer_size", "cam", "camera", "channel", "cmd", "codec", "compression", "end",
        "exp", "expire", "expires", "fifo_size", "format", "fps", "h", "height", "id", "interface", "latency",
        "listen", "localaddr", "localport", "mode", "name", "overrun_nonfatal", "page", "pkt_size", "profile",
        "proto", "protocol", "quality", "rate", "real", "res", "resolution", "reuse", "rotate", "size",
        "snapshot", "start", "stream", "streams", "subtype", "sv", "t", "timeout", "transport", "ttl", "type",
        "v", "video", "w", "width", "x", "x-amz-algorithm", "x-amz-date", "x-amz-expires", "y",
    }
)
# fmt: on
_SMALL_NUMBER = re.compile(r"-?\d{0,3}(?:\.\d{1,3})?")
_KEY_OF_NEXT = re.compile(
    r"(?:access|api|auth|id|refresh|secret)?[-_]?(?:auth|bearer|credentials?|jwt|key|pass|password|passphrase|passwd|pwd"
    r"|secret|session|sid|signature|sig|tokens?)",
    re.IGNORECASE,
)
_LETTERS_OR_DIGITS = re.compile(r"[A-Za-z]+|[0-9]+")
_RANDOM_CHARS = 16
_RANDOM_PARTS = 6
_STREAM_KEY_CHARS = 12
# As players of television take them: /live/USER/PASSWORD/7.ts
_USER_IN_PATH = re.compile(r"(/(?:live|movie|series|timeshift)/)[^/]+/[^/]+(?=/\d+(?:\.\w+)?$)")
_USER_WITHOUT_SCHEME = re.compile(r"(^|/)[^\s/:@'\"]{1,64}:[^\s/@'\"]{1,64}@(?=[\w.\[-])")
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-(?:api-key|access-key|auth-key|auth-token|access-token))"
    r"(: ?)[^\r\n'\"]+",
    re.IGNORECASE,
)


def redact(source: str) -> str:
    """The source with user, password and query secrets replaced by ``***``; fit for logs, errors and run.json.

    >>> redact("rtsp://admin:1234@10.0.0.5/live?token=abc&channel=1")
    'rtsp://***@10.0.0.5/live?token=***&channel=1'
    """
    scheme = _SCHEME.match(source)
    if not scheme:
        # concat:http://…, or a scheme that was forgotten
        inside = _SCHEME_IN_TEXT.search(source)
        return redact_text(source) if inside else _USER_WITHOUT_SCHEME.sub(rf"\1{HIDDEN}@", source)
    rest = source[scheme.end() :]
    end = _userinfo_end(rest)
    shown = _SECRET.sub(rf"\g<1>{HIDDEN}", rest[end:])
    # What comes after white space in a value cannot be told from the value.
    if shown != rest[end:]:
        shown = re.sub(rf"({re.escape(HIDDEN)})[\s'\"<>][^&]*", r"\1", shown)
    place, mark, query = shown.partition("?")
    place = _path_without_keys(place, scheme[1].lower())
    return scheme[0] + (f"{HIDDEN}@" if end else "") + place + mark + "&".join(map(_argument, query.split("&")))


def secret_name(name: str) -> bool:
    """Whether an option of FFmpeg's or a key of a mapping, by its name, holds a secret: headers, say."""
    return bool(_SECRET.fullmatch(f"{name}=") or name.lower() in ("headers", "cookies", "decryption_key", "http_proxy"))


def _argument(text: str) -> str:
    """One ``key=value`` of a query."""
    key, equals, value = text.partition("=")
    if not equals:
        return HIDDEN if _is_random(text) else text
    value = value.partition("#")[0]
    if value.startswith(HIDDEN) or key.lower() in _HARMLESS or _SMALL_NUMBER.fullmatch(value):
        return text
    return f"{key}={HIDDEN}"


def _path_without_keys(place: str, scheme: str) -> str:
    """Host and path without what stands behind the name of a secret, or looks like one."""
    place = _USER_IN_PATH.sub(rf"\1{HIDDEN}/{HIDDEN}", place)
    host, *parts = place.split("/")
    for number, part in enumerate(parts):
        is_key = number > 0 and _KEY_OF_NEXT.fullmatch(parts[number - 1])
        is_stream = scheme.startswith("rtmp") and number == len(parts) - 1 and len(part) >= _STREAM_KEY_CHARS
        mixed = len(_LETTERS_OR_DIGITS.findall(part)) > 1 and any(map(str.isdigit, part))
        if part and not part.startswith(HIDDEN) and (is_key or (is_stream and mixed) or _is_random(part)):
            parts[number] = HIDDEN
    return "/".join([host, *parts])


def _is_random(text: str) -> bool:
    """Whether a part of a path looks as if a machine had made it up: letters and digits in turn."""
    stem = text.split(".")[0]
    return (len(stem) >= _RANDOM_CHARS and len(_LETTERS_OR_DIGITS.findall(stem)) >= _RANDOM_PARTS) or stem[:3] == "eyJ"


def redact_text(text: str) -> str:
    """Free text, say an error of another library, with every URL in it redacted."""
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
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
