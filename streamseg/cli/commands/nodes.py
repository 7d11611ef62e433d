"""``streamseg nodes``: which nodes there are, what they take and give, and their options."""

from __future__ import annotations

import argparse
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from streamseg.cli.output.text import shown, table
from streamseg.cli.parser import Parser
from streamseg.errors import GraphError, UsageError, nearest
from streamseg.graph import registry
from streamseg.node import AnyNode, Node, ports
from streamseg.structs import bare, members, option_of

_WIDTH = 110
_LIMITS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = __doc__
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these nodes, with the options inside of options")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print all nodes, or some.

    Raises:
        UsageError: one of them is not there.
    """
    points = registry.entry_points()
    for name in args.names:
        if name not in points:
            raise UsageError(f"there is no node {name!r}; {nearest(name, points)}")
    for number, name in enumerate(args.names or sorted(points)):
        point = points[name]
        origin = f" from {point.dist.name} {point.dist.version}" if point.dist is not None else ""
        print("\n" * bool(number) + f"{name}  ({point.value}{origin})")
        try:
            kind = registry.load(name)
            print(_describe(kind, whole=bool(args.names)))
        except GraphError as error:
            print(f"  cannot be used: {shown(str(error))}")
    return 0


def _describe(kind: type[AnyNode], *, whole: bool) -> str:
    """A node in words; the whole of it has the options inside of options, too."""
    port = ports(kind)
    takes, gives = (type_.__name__ if type_ else "nothing" for type_ in (port.takes, port.gives))
    summary = (kind.__doc__ or "").strip().partition("\n")[0]
    lines = [f"  {summary}"] if summary else []
    extras = []
    if issubclass(kind, Node):
        extras += ["may have replicas"] if kind.replicable else []
        extras += [f"sends back {kind.gives_feedback.__name__}"] if kind.gives_feedback else []
        extras += [f"listens to {kind.takes_feedback.__name__}"] if kind.takes_feedback else []
    lines.append("  " + ", ".join([f"{takes} -> {gives}", *extras]))
    fields = list(fields_of(kind.Config, whole=whole))
    rows = [(f"    {path}", type_text(field.type), default_text(field)) for path, _, field in fields]
    for (_, _, field), row in zip(fields, table(rows).splitlines() if rows else (), strict=True):
        lines += [row, *textwrap.wrap(purpose(field), _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)]
    return "\n".join(lines)


def fields_of(
    kind: type[msgspec.Struct], path: str = "", *, whole: bool
) -> Iterator[tuple[str, type[msgspec.Struct], Any]]:
    """(path, struct it is in, field) of each option; the path is what ``--set`` takes."""
    for field in msgspec.structs.fields(kind):
        yield f"{path}{field.encode_name}", kind, field
        for inner in map(bare, members(field.type) if whole else ()):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield from fields_of(inner, f"{path}{field.encode_name}.", whole=whole)


def purpose(field: Any) -> str:
    """What an option is for, and its flag, if it has one."""
    about = option_of(field.type)
    if about is None:
        return ""
    return about.help if about.flag is None else f"{about.help} ({about.flag})"


def type_text(annotation: Any) -> str:
    """A type as one would write it, with the limits of a number behind it: ``int >= 1 | None``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        limits = [
            f"{sign} {getattr(meta, name)}" for meta in arguments[1:] for name, sign in _LIMITS if _has(meta, name)
        ]
        return " ".join([type_text(arguments[0]), *limits])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_text, arguments))
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if arguments:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(type_text, arguments))}]"
    if annotation is Ellipsis:
        return "..."
    if annotation is type(None) or annotation is None:
        return "None"
    return getattr(annotation, "__name__", str(annotation))


def _has(meta: Any, name: str) -> bool:
    return getattr(meta, name, None) is not None


def default_text(field: Any) -> str:
    """What an option has if it is not given, with a ``=`` before it."""
    if isinstance(field.default, msgspec.Struct):
        return "= its own defaults"
    if field.default is not msgspec.NODEFAULT:
        return f"= {field.default!r}"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"= {field.default_factory()!r}"
    return "(must be given)"
