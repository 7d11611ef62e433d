"""Options of nodes as flags: made from what the nodes say of them, and read back as values."""

from __future__ import annotations

import argparse
import math
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from streamseg.graph.options import NamedOption, named_options
from streamseg.structs import bare, members
from streamseg.yaml_files import parse_yaml

_WHOLE = re.compile(r"[+-]?[0-9]+")
_PREFIX = "option "
"""Of what argparse keeps, so that flags which are not options of nodes may be called as they like."""


def some_options(names: Iterable[str]) -> dict[str, NamedOption]:
    """A few options of embed and propagate, for a command that takes no others."""
    known = named_options(("embed", "propagate"))
    return {name: known[name] for name in names}


def add_options(parser: argparse._ActionsContainer, options: Iterable[NamedOption]) -> list[argparse.Action]:
    """Add the flags of some options to a parser, or to a group of one.

    Returns:
        Those that are rare.
    """
    rare = []
    for option in options:
        names = [option.flag] if option.about.short is None else [option.about.short, option.flag]
        settings = _settings(option)
        text = settings.pop("help").replace("%", "%%")
        action = parser.add_argument(*names, dest=f"{_PREFIX}{option.name}", default=None, help=text, **settings)
        if option.about.rare:
            rare.append(action)
    return rare


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """Name -> value of those flags that were given."""
    found = vars(args).items()
    return {key.removeprefix(_PREFIX): value for key, value in found if key.startswith(_PREFIX) and value is not None}


def with_option(args: argparse.Namespace, name: str, value: Any) -> argparse.Namespace:
    """The same command line with an option given in it."""
    return argparse.Namespace(**{**vars(args), f"{_PREFIX}{name}": value})


def assignment(text: str) -> tuple[str, Any]:
    """``NODE.OPTION=VALUE`` as (path, value), the value in YAML."""
    path, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NODE.OPTION=VALUE, such as record.alpha=0.3, got {text!r}")
    try:
        return path, parse_yaml(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a value in YAML after {path}=, got {value!r}: {error}") from None


def hide(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> None:
    """Leave flags out of ``--help``, and add ``--help-all``, which shows them."""
    texts = {action: action.help for action in actions}
    for action in texts:
        action.help = argparse.SUPPRESS

    class HelpAll(argparse.Action):
        def __call__(self, *_: Any) -> None:
            for hidden, text in texts.items():
                hidden.help = text
            parser.print_help()
            parser.exit()

    parser.add_argument("--help-all", action=HelpAll, nargs=0, help="show this and the rarer flags, and exit")


def _settings(option: NamedOption) -> dict[str, Any]:
    """What argparse has to know of a flag."""
    kind = _kind(option)
    if kind is bool and option.switches_off:
        return {"action": "store_false", "help": f"do not {option.help}"}
    if kind is bool and option.default is False:
        return {"action": "store_true", "help": option.help}
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction, "help": option.help}
    if typing.get_origin(kind) is typing.Literal and all(isinstance(each, str) for each in typing.get_args(kind)):
        return {"choices": typing.get_args(kind), "help": option.help}
    settings = {"type": _reader(option), "metavar": option.about.metavar or option.name.upper(), "help": option.help}
    return settings if option.about.alone is None else {**settings, "nargs": "?", "const": option.about.alone}


def _kind(option: NamedOption) -> Any:
    """The one type of the values, None left out; `Any` if there are several."""
    kinds = [bare(each) for each in members(option.type) if each is not type(None)]
    return kinds[0] if len(kinds) == 1 else Any


def _reader(option: NamedOption) -> Callable[[str], Any]:
    kind = _kind(option)

    def read(text: str) -> Any:
        try:
            return msgspec.convert(_plain(text, kind), option.type)
        except (ValueError, msgspec.ValidationError):
            raise argparse.ArgumentTypeError(f"expected {_expected(option)}, got {text!r}") from None

    return read


def _plain(text: str, kind: Any) -> Any:
    """What is typed, as plain data; a number is written as people do: YAML would take 1:30 for one."""
    if kind is int and not _WHOLE.fullmatch(text):
        raise ValueError(text)
    if kind is float and not math.isfinite(float(text)):
        raise ValueError(text)
    return kind(text) if kind in (str, int, float) else parse_yaml(text)


def _expected(option: NamedOption) -> str:
    """The type of a value in words, such as "a whole number of 1 or more"."""
    words = {int: "a whole number", float: "a number"}.get(_kind(option), "a value in YAML")
    annotation = next((each for each in members(option.type) if each is not type(None)), option.type)
    for limit in (*getattr(annotation, "__metadata__", ()), *getattr(option.type, "__metadata__", ())):
        if isinstance(limit, msgspec.Meta):
            words += _limits(limit)
            break
    return words


def _limits(limit: msgspec.Meta) -> str:
    if limit.ge is not None and limit.le is not None:
        return f" from {limit.ge} to {limit.le}"
    words = {" of {} or more": limit.ge, " above {}": limit.gt, " of at most {}": limit.le, " below {}": limit.lt}
    return " and".join(text.format(bound) for text, bound in words.items() if bound is not None)
