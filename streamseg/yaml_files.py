"""YAML that people write: plain data, read so that whatever the bytes are, there is data or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from streamseg.errors import UsageError
from streamseg.regular_files import read_regular

LARGEST_BYTES = 16 << 20
_MOST_BY_ALIASES = 10_000


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
        ValueError: it is not YAML, or a few aliases in it stand for more values than memory can hold.
    """
    try:
        data = yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError) as error:
        # What PyYAML makes of a value that is not of the type that it says, such as 2001-99-99 or !!bool 7.
        raise ValueError(f"a value cannot be read: {type(error).__name__}: {error}") from error
    # Without aliases a value takes a character or more, but for the nothing in {a, b}.
    _check_size(data, 2 * len(text) + _MOST_BY_ALIASES)
    return data


def _check_size(data: Any, most: int) -> None:
    """Count as whoever copies the data would: what an alias stands for as often as it is used."""
    count, waiting = 0, [data]
    while waiting:
        value = waiting.pop()
        count += 1
        if count + len(waiting) > most:
            raise ValueError("its aliases stand for far more values than it has letters; write them out")
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, (list, tuple, set)):
            waiting += value
