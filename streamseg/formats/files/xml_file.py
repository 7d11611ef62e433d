"""XML: texts that we write, files of strangers that we read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax import saxutils

from streamseg.errors import MediaError, UsageError
from streamseg.regular_files import read_regular

_LARGEST_BYTES = 1 << 30
_NOT_HELD = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def text(value: str) -> str:
    """A text as the content of an element; what XML cannot hold becomes U+FFFD."""
    return saxutils.escape(_NOT_HELD.sub("\ufffd", value))


def attribute(value: str) -> str:
    """A text as the value of an attribute, in quotes; what XML cannot hold becomes U+FFFD."""
    return saxutils.quoteattr(_NOT_HELD.sub("\ufffd", value))


def not_held(labels: Iterable[str]) -> list[str]:
    """A sentence on each label that XML cannot hold as it is."""
    return [f"the label {label!r} has characters that XML cannot hold" for label in labels if _NOT_HELD.search(label)]


def parse_xml(path: Path, root: str) -> Element:
    """The root of an XML file.

    Args:
        path: of the file.
        root: what its root is called.

    Raises:
        MediaError: it cannot be read.
        UsageError: it is no XML, defines entities (which can be more than memory holds), or has another root.
    """
    try:
        data = read_regular(path, _LARGEST_BYTES)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    if b"<!ENTITY" in data:
        raise UsageError(f"{path}: expected plain XML, it defines entities; remove them")
    try:
        found = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UsageError(f"{path}: expected XML, got: {error}") from error
    if found.tag != root:
        raise UsageError(f"{path}: expected <{root}>, got <{found.tag}>; it is of another format")
    return found


def number_in(element: Element, path: str) -> float:
    """The number in an element below.

    Raises:
        UsageError: it is not there, or no number.
    """
    text = element.findtext(path)
    try:
        return float(text or "")
    except ValueError:
        raise UsageError(f"expected a number in <{path}> of <{element.tag}>, got {text!r}") from None
