"""Words for people and for scripts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from streamseg.errors import StreamsegError, UsageError
from streamseg.redaction import HIDDEN, printable, redact, redact_text, secret_name


def say(line: str) -> None:
    """A line on standard error, without secrets of URLs and what a terminal would obey.

    Nobody may be there any more to read it.
    """
    with contextlib.suppress(OSError):
        print(f"streamseg: {shown(line)}", file=sys.stderr, flush=True)


def shown(text: str) -> str:
    """Text as people are shown it: no secrets of URLs, and nothing in it that a terminal would obey."""
    return printable(redact_text(text))


def check_words(words: Sequence[str]) -> None:
    """Refuse what cannot be written into any report: file names on Linux may be any bytes.

    Raises:
        UsageError: a word is not UTF-8.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(word).decode("utf-8", "backslashreplace")
            raise UsageError(f"expected names in UTF-8, got {shown}; rename it, or make a link to it") from None


def error_facts(error: StreamsegError, exit_code: int | None = None) -> dict[str, Any]:
    """An error for scripts, without the secrets of a URL."""
    code = error.exit_code if exit_code is None else exit_code
    return {"kind": type(error).__name__, "message": shown(str(error)), "exit_code": code}


def redacted(value: Any) -> Any:
    """Plain data with the secrets of every URL in it hidden."""
    if isinstance(value, str):
        # A value that begins as a URL is one to its end, with white space too.
        return redact_text(redact(value))
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(each, str) and secret_name(str(key)) else redacted(each)
            for key, each in value.items()
        }
    return [redacted(each) for each in value] if isinstance(value, (list, tuple)) else value


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(printable(line).rstrip() for line in lines)


def size_text(size_bytes: int) -> str:
    """Bytes as a person would say them."""
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def duration_text(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
