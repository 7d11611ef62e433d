"""Structs that people fill in: what they are told of a field, and plain data made a struct, with errors that help."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from streamseg.errors import StreamsegError, UsageError, nearest
from streamseg.plain_data import refusal

_WRONG_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_WRONG_VALUE = re.compile(r"Invalid enum value (.+)", re.DOTALL)
_OUT_OF_RANGE = re.compile(r"Expected `([^`]+)` (>=|<=|>|<) (\S+)")
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "a mapping",
    "date": "a date",
    "datetime": "a time",
}
_TAKEN_FOR_OTHERS = frozenset({"int", "float", "bool", "null", "date", "datetime"})

Filled = TypeVar("Filled", bound=msgspec.Struct)


@dataclass(frozen=True)
class Option:
    """What people are told of a field of a struct, and whether it is a flag. It stands in the field's annotation.

    radius_px: Annotated[int, Option("how far it reaches", flag="--radius")] = 3
    """

    help: str
    """A phrase without a capital and a full stop."""
    flag: str | None = None
    """Makes it a flag of ``streamseg run``, too, and a keyword of `streamseg.segment_video` called like the flag.
    ``--no-cake`` switches off an option that is on by default; the keyword is ``cake``."""
    short: str | None = None
    """A short form of the flag."""
    metavar: str | None = None
    """What stands for the value in the help."""
    alone: str | None = None
    """What the flag means without a value; None if it needs one."""
    rare: bool = False
    """Only ``--help-all`` shows the flag."""


def option_of(annotation: Any) -> Option | None:
    """What an annotation says about its field; None if nothing."""
    found = [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Option)]
    return found[0] if found else None


def bare(annotation: Any) -> Any:
    """A type without what `Annotated` adds to it."""
    return bare(annotation.__origin__) if typing.get_origin(annotation) is typing.Annotated else annotation


def members(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have: those of a union, or the one."""
    kind = bare(annotation)
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (annotation,)


def may_be_none(annotation: Any) -> bool:
    """Whether None is a value of the type."""
    return any(each is type(None) for each in members(annotation))


def convert(
    data: Any,
    kind: type[Filled],
    what: str,
    error: type[UsageError] = UsageError,
    *,
    without: Collection[str] = (),
) -> Filled:
    """Plain data, such as a YAML file holds, as a struct.

    Args:
        data: what is to be a mapping.
        kind: of struct. Unknown keys are refused at every depth, whatever its own settings are.
        what: how errors call the data, say ``the options of node 'embed'``.
        error: its class.
        without: fields that are not for people to fill in.

    Raises:
        UsageError: of the given class: no mapping, an unknown key (with its place and the nearest valid one), a missing
            one, a value of a wrong type or out of range (with its path), one that cannot be handed on.
    """
    for text in _wrong_keys(data, kind, "", without):
        raise error(f"{what}: {text}")
    if (wrong := refusal(data)) is not None:
        raise error(f"{what}: {wrong}")
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as reason:
        # What a struct says by itself of its fields is a sentence already.
        said = reason.__cause__ if isinstance(reason.__cause__, StreamsegError) else reason
        raise error(f"{what}: {said if said is not reason else _in_words(str(said), kind)}") from reason


def _in_words(said: str, kind: type[msgspec.Struct]) -> str:
    """What msgspec says of a value of a wrong type or out of range, with the words of people; the rest as it is."""
    said, _, path = said.partition(" - at ")
    path = path.strip("`").removeprefix("$").removeprefix(".")
    place = f" for {path}" if path else ""
    if (found := _WRONG_VALUE.fullmatch(said)) is not None:
        values = _values_at(path, kind)
        if found[1].startswith("'") and values:
            return f"expected another value{place}, got {found[1]}; {nearest(found[1].strip(chr(39)), values)}"
        return f"expected {' or '.join(values) or 'another value'}{place}, got {found[1]}"
    if (found := _OUT_OF_RANGE.fullmatch(said)) is not None:
        limit = found[3].removesuffix(".0")
        words = {
            ">=": f"of at least {limit}",
            "<=": f"of at most {limit}",
            ">": f"above {limit}",
            "<": f"below {limit}",
        }
        return f"expected {_TYPES.get(found[1], found[1])} {words[found[2]]}{place}"
    if (found := _WRONG_TYPE.fullmatch(said)) is None:
        return f"{said} - at {path}" if path else said
    kinds = found[1].split(" | ")
    wanted = [_TYPES.get(each, each) for each in kinds if each != "null" or len(kinds) == 1]
    got = "a number with a fraction" if found[2] == "float" else _TYPES.get(found[2], found[2])
    # YAML takes 12, no, on and 2024-05-01 for something else than text.
    advice = "; put it in quotes" if "text" in wanted and found[2] in _TAKEN_FOR_OTHERS else ""
    return f"expected {' or '.join(wanted)}{place}, got {got}{advice}"


def _values_at(path: str, annotation: Any) -> list[str]:
    """The values that a field may have of which only some are allowed, by its path; none if it is not one of these."""
    for name in filter(None, re.split(r"[.\[\]]+", path)):
        for kind in map(bare, members(annotation)):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                annotation = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}.get(name)
            elif typing.get_origin(kind) in (list, dict):
                annotation = typing.get_args(kind)[-1]
    kinds = map(bare, members(annotation))
    literals = [each for kind in kinds if typing.get_origin(kind) is typing.Literal for each in typing.get_args(kind)]
    return [str(each) for each in literals]


def _wrong_keys(data: Any, annotation: Any, path: str, without: Collection[str] = ()) -> Iterator[str]:
    """What is wrong with the keys of all mappings that stand for structs, from the outside to the inside."""
    kinds = members(annotation)
    for kind in map(bare, kinds):
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not kind.__struct_config__.array_like:
            if isinstance(data, Mapping):
                yield from _wrong_keys_of_struct(data, kind, path, without)
            elif len(kinds) == 1:
                yield f"expected a mapping{_of(' for', path)}, got {type(data).__name__}"
        elif origin is list and isinstance(data, (list, tuple)):
            for number, each in enumerate(data):
                yield from _wrong_keys(each, arguments[0], f"{path}[{number}]")
        elif origin is dict and isinstance(data, Mapping):
            for key, each in data.items():
                yield from _wrong_keys(each, arguments[1], _below(path, key))


def _wrong_keys_of_struct(
    data: Mapping[Any, Any], kind: type[msgspec.Struct], path: str, without: Collection[str]
) -> Iterator[str]:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    known = [name for name in fields if name not in without]
    if (tag := kind.__struct_config__.tag_field) is not None:
        fields[tag] = Any
        known.append(tag)
    for key, value in data.items():
        if key in known:
            yield from _wrong_keys(value, fields[key], _below(path, key))
        else:
            yield f"unknown key {key!r}{_of(' in', path)}; {nearest(str(key), known)}"


def _of(word: str, path: str) -> str:
    return f"{word} {path!r}" if path else ""


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
