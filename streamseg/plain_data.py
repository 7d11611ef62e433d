"""Plain data that people write: what of it cannot be handed on, to another process or into a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LARGEST_INT = (1 << 63) - 1
_DEEPEST = 64


def refusal(value: Any, at: str = "", depth: int = 0) -> str | None:
    """What is wrong with a value or something in it, as the end of an error; None if nothing is.

    Text must be Unicode: a lone half of a character, as JSON can have it, and bytes of a file name that are no UTF-8
    cannot be written down. Numbers must fit into 64 bits.
    """
    where = f" at {at}" if at else ""
    if depth > _DEEPEST:
        return f"expected plain data, got some that is nested more than {_DEEPEST} deep"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"expected text in UTF-8, got {value!a}{where}; rename it"
    elif isinstance(value, int) and abs(value) > _LARGEST_INT:
        return f"expected a number of 64 bits, got one of {value.bit_length()} bits{where}"
    elif isinstance(value, Mapping):
        found = (
            refusal(key, at, depth + 1) or refusal(each, f"{at}.{key}" if at else str(key), depth + 1)
            for key, each in value.items()
        )
        return next((each for each in found if each is not None), None)
    elif isinstance(value, (list, tuple)):
        found = (refusal(each, f"{at}[{number}]", depth + 1) for number, each in enumerate(value))
        return next((each for each in found if each is not None), None)
    return None
