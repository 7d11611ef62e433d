"""YAML and JSON that people write: plain data, read so that whatever the bytes are, there is data or one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from streamseg.errors import UsageError
from streamseg.regular_files import read_regular

LARGEST_BYTES = 1 << 20
"""Of YAML; reading that takes some seconds already."""
_MOST_BY_ALIASES = 10_000
_MOST_SEPARATORS = 100_000
_SEPARATORS = ",:-[{\n"
_TAGS = "tag:yaml.org,2002:"
_MERGE = f"{_TAGS}merge"
_PLAIN_TAGS = frozenset(f"{_TAGS}{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map"))
_MOST_DIGITS = 4000
_OCTAL = re.compile(r"[-+]?0[0-9_]+")


def read_yaml(path: Path, kind: type[UsageError]) -> Any:
    """The data in a file.

    Raises:
        UsageError: of the given kind; it cannot be read, is too large, or is not YAML.
    """
    try:
        return parse_yaml(read_regular(path, LARGEST_BYTES).decode("utf-8"))
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise kind(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise kind(f"{path}: not valid YAML: {error}") from error


def parse_yaml(text: str) -> Any:
    """The data in a text.

    Raises:
        ValueError: it is not YAML, has a key twice, merges mappings (``<<``), has a type that is no plain data or a
            number that means another one than it seems to, has too many values to be read soon, or a few aliases in
            it stand for more of them than memory can hold.
    """
    if sum(map(text.count, _SEPARATORS)) > _MOST_SEPARATORS:
        raise ValueError("it has too many values to be read as YAML; write less, or JSON where that is read")
    try:
        loader = yaml.SafeLoader(text)
        # The nodes first: an alias is one node there however often it is used, and is copied only afterwards.
        root = loader.get_single_node()
        if root is None:
            return None
        _check_nodes(root)
        # Without aliases a value takes a character or more, but for the nothing in {a, b}.
        if _size(root, {}) > 2 * len(text) + _MOST_BY_ALIASES:
            raise _RefusedError("its aliases stand for far more values than it has letters; write them out")
        return loader.construct_document(root)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError) as error:
        if isinstance(error, _RefusedError):
            raise
        # What PyYAML makes of a value that is not of the type that it says, such as 2001-99-99 or !!bool 7.
        raise ValueError(f"a value cannot be read: {type(error).__name__}: {error}") from error


def parse_json(text: str) -> Any:
    """The data in a text.

    Raises:
        ValueError: it is not JSON, or has a key twice.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once, parse_int=_whole)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number in it has {len(digits)} digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice; leave one out")
    return found


class _RefusedError(ValueError):
    """YAML that could be read, but is not."""


def _check_nodes(root: yaml.Node) -> None:
    """Refuse what would be lost (a key that is there twice), copied at once (merges), or taken for something else."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
        _check_type(node)
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                line = key.start_mark.line + 1
                if key.tag == _MERGE:
                    raise _RefusedError(f"line {line}: mappings are not merged ('<<'); write the keys out")
                if isinstance(key, yaml.ScalarNode):
                    found = (key.tag, key.value)
                    if found in lines:
                        raise _RefusedError(
                            f"line {line}: the key {key.value!r} is there twice, first in line {lines[found]}; "
                            f"leave one out"
                        )
                    lines[found] = line
        for child in reversed(_children(node)):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _check_type(node: yaml.Node) -> None:
    line = node.start_mark.line + 1
    if node.tag not in _PLAIN_TAGS and node.tag != _MERGE:
        shown = node.tag.replace(_TAGS, "!!")
        raise _RefusedError(f"line {line}: expected plain values and lists, got the type {shown}; leave the type out")
    if node.tag == f"{_TAGS}int" and len(node.value) > _MOST_DIGITS:
        raise _RefusedError(f"line {line}: a number there has {len(node.value)} digits")
    if node.tag == f"{_TAGS}int" and _OCTAL.fullmatch(node.value):
        raise _RefusedError(
            f"line {line}: {node.value} begins with 0, so YAML takes it for an octal number; leave the 0 out, "
            f"or put it in quotes if it is text"
        )


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, what is used by an alias as often as it is used."""
    if id(node) not in known:
        known[id(node)] = 0  # what is in itself is refused by whoever converts it
        known[id(node)] = 1 + sum(_size(child, known) for child in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
