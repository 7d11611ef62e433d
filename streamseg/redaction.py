"""Showing URLs, and texts with URLs in them, without their secrets."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
# A scheme of bounded length: otherwise a long word without :// takes time that grows with its square.
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s'\"<>]+")
_SECRET_QUERY = re.compile(
    r"([?&;](?:x-amz-)?(?:access_?token|auth(?:orization)?|api_?key|credential|key|pass(?:phrase|word|wd)?|pwd|"
    r"secret|security-token|session_?(?:id|key)?|sig(?:nature)?|token|user(?:name)?|streamid)=)[^&;#\s]*",
    re.IGNORECASE,
)
_HIDDEN = "***"


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


def utf8(text: str) -> str:
    """Text that can be sent: names of files may have bytes that are not UTF-8, which are written out as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


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
