"""Structs that people fill in: what they are told of a field, and plain data made a struct, with errors that help."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from streamseg.errors import StreamsegError, UsageError, nearest
from streamseg.plain_data import refusal

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
        raise error(f"{what}: {said}") from reason


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
