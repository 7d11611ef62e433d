"""Reading the command line: argparse whose errors are ours, with the nearest valid option."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from streamseg.errors import UsageError, nearest

NUMBER_OPTIONS = ("--box", "--point", "--negative")
"""Options whose value may start with a minus sign."""

_STARTS_WITH_NUMBER = re.compile(r"-\.?\d")


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would print and exit."""

    def __init__(self, *, fill: Callable[[Parser], None] | None = None, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self._fill = fill
        """Adds the arguments once they are needed: what that imports costs nothing where another command is meant."""

    def error(self, message: str) -> NoReturn:
        """Raise it.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; '{self.prog} --help' says more")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does, but an unknown option is an error that names the nearest one of this command."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)
        found, left = super().parse_known_args(args, namespace)
        for word in left:
            if word.startswith("-") and word != "-":
                name = word.partition("=")[0]
                self.error(f"there is no option {name!r}; {nearest(name, self._option_string_actions)}")
        return found, left

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse does, but where it cannot be written that is an error."""
        where = sys.stderr if file is None else file
        if message and where is not None:
            where.write(message)
            where.flush()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = action.metavar if isinstance(action.metavar, str) else action.dest
            name = "/".join(action.option_strings) or what
            raise argparse.ArgumentError(
                None, f"{name}: there is no {value!r}; {nearest(str(value), map(str, action.choices))}"
            )


def join_negative_numbers(words: Sequence[str], options: Sequence[str] = NUMBER_OPTIONS) -> list[str]:
    """``--box -5,0,10,10`` as ``--box=-5,0,10,10``, which argparse would otherwise take for two options."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in options and _STARTS_WITH_NUMBER.match(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def numbers(text: str) -> list[float]:
    """``"1,2.5"`` as numbers; how many there must be is checked where it is known."""
    parts = re.split(r"[,\s]+", text.strip())
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got {text!r}") from None


def natural(text: str) -> int:
    """A whole number of zero or more."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def moment(text: str) -> dict[str, float]:
    """``12`` as the number of a frame, ``2.5s`` as a time in seconds."""
    count, is_time = text.removesuffix("s"), text.endswith("s")
    try:
        if is_time and float(count) >= 0:
            return {"time_s": float(count)}
        if not is_time and int(count) >= 0:
            return {"frame": int(count)}
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected the number of a frame, say 12, or a time, say 2.5s, got {text!r}")


def port(text: str) -> int:
    """The number of a port; 0 for any free one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def amount(text: str) -> float:
    """A number of zero or more."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, got {text!r}")
    return found
