"""Text of other people's code, made fit to be logged and sent: bounded, and always UTF-8."""

from __future__ import annotations

from streamseg.redaction import utf8

LONGEST_CHARS = 4000


def plain_text(text: str, longest: int = LONGEST_CHARS) -> str:
    """The text with escapes for what cannot be encoded, and cut off where it goes on for ever.

    It is cut between words if it has any: half a URL would not be known for one when its password is hidden. What
    stands at its end is kept, since that says what was wrong, unless it may be the end of a password.
    """
    if len(text) > longest:
        head = text[:longest]
        words = text[-longest // 8 :].split(maxsplit=1)
        tail = f"{words[1]} " if len(words) > 1 and "@" not in words[1] else ""
        text = f"{head.rsplit(maxsplit=1)[0] if ' ' in head else head} … {tail}({len(text)} characters)"
    return utf8(text)


def text_of(error: BaseException) -> str:
    """What an exception says; its own `__str__` may fail."""
    try:
        return plain_text(str(error))
    except Exception:  # noqa: BLE001 (other people's code; the kind of the exception is still known)
        return "(it cannot say what it is)"
