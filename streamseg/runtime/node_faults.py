"""What a node's code does wrong, as others are told of it: its exceptions, and messages that it may not give."""

from __future__ import annotations

import traceback

from streamseg.errors import StreamsegError
from streamseg.messages import Message, Stamp
from streamseg.redaction import printable, redact_text
from streamseg.runtime.node_code import LeftError
from streamseg.runtime.plain_text import plain_text, text_of
from streamseg.transport.control import Trouble

_TRACEBACK_LINES = 50


def trouble(error: Exception) -> Trouble:
    """An exception as the supervisor is told of it, without the secrets of any URL in it."""
    known = isinstance(error, StreamsegError)
    message = printable(redact_text(text_of(error))) if known else reason_of(error)
    fatal = isinstance(error, StreamsegError) and error.fatal
    lines = traceback.format_exception(error)
    where = printable(redact_text("".join(plain_text(line) for line in lines[-_TRACEBACK_LINES:])))
    return Trouble(type(error).__name__, message, where, fatal)


def reason_of(error: Exception) -> str:
    """Why a frame failed, for its gap, without the secrets of any URL in it."""
    said = text_of(error) if isinstance(error, LeftError) else f"{type(error).__name__}: {text_of(error)}"
    return printable(redact_text(said))


def check_output(gives: type[Message], stamp: Stamp, output: object) -> None:
    """Whether this is what a node may give for a frame: its frame would never be counted otherwise.

    Raises:
        TypeError: it is of another type than the port, or about another frame.
    """
    if type(output) is not gives:
        raise TypeError(f"expected a {gives.__name__}, as its type arguments say, got {type(output).__name__}")
    if output.stamp != stamp:
        raise TypeError(
            f"expected a {gives.__name__} of frame {stamp.seq} of {stamp.stream!r} with the stamp that came, got one "
            f"with another stamp; a message that was kept cannot be given again"
        )
