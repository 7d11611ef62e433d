"""YAML and JSON that people write: plain data, read so that whatever the bytes are, there is data or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from streamseg.errors import UsageError
from streamseg.regular_files import read_regular

LARGEST_BYTES = 1 << 20
"""Of YAML; reading that takes some seconds already."""
_MOST_BY_ALIASES = 10_000
_MERGE = "tag:yaml.org,2002:merge"


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
        ValueError: it is not YAML, has a key twice or merges mappings (``<<``), or a few aliases in it stand for more
            values than memory can hold.
    """
    try:
        loader = yaml.SafeLoader(text)
        # The nodes first: an alias is one node there however often it is used, and is copied only afterwards.
        root = loader.get_single_node()
        if root is None:
            return None
        _check_keys(root)
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
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice; leave one out")
    return found


class _RefusedError(ValueError):
    """YAML that could be read, but is not."""


def _check_keys(root: yaml.Node) -> None:
    """Refuse keys that are there twice, of which one would be lost, and merges, which would be copied at once."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
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
