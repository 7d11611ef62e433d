"""XML of strangers."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from streamseg.errors import MediaError, UsageError
from streamseg.regular_files import read_regular

_LARGEST_BYTES = 1 << 30


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
