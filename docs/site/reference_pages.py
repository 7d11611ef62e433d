"""The reference of commands, nodes, formats and errors, from the code itself."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import itertools
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from unittest import mock

import msgspec

from streamseg import errors
from streamseg.cli.commands.nodes import default_text, fields_of, purpose, type_text
from streamseg.cli.main import COMMANDS, main
from streamseg.formats.format import entry_points, load, reads, writes
from streamseg.graph import registry
from streamseg.node import AnyNode, Node, ports

_COLUMNS = "100"


def pages() -> dict[str, str]:
    """Page -> Markdown."""
    made = {"command": _command(), "errors": _errors(), "formats": _formats(), "nodes": _nodes()}
    return {f"reference/{name}.md": "\n".join(lines) + "\n" for name, lines in made.items()}


def _command() -> Iterator[str]:
    yield from ("# The command `streamseg`", "", *_fenced(_printed("--help")))
    for name in COMMANDS:
        shown = _printed(name, "--help")
        yield from ("", f"## {name}", "", *_fenced(_printed(name, "--help-all") if "--help-all" in shown else shown))


def _printed(*words: str) -> str:
    """What the command prints, its lines as long as the page has room for."""
    printed = io.StringIO()
    # What argparse asks for the width of its help.
    width = mock.patch.dict(os.environ, {"COLUMNS": _COLUMNS})
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main(words)
    return printed.getvalue()


def _nodes() -> Iterator[str]:
    yield from (
        "# Nodes and their options",
        "",
        "These come with streamseg. A graph file gives them `options`; `--set NODE.OPTION=VALUE` sets any of them",
        "beside a run; those with a flag are flags of `streamseg run` too, and, unless they are about files, keywords",
        "of `streamseg.segment_video`. `streamseg nodes` prints the same of all that is installed.",
    )
    for name in sorted(registry.entry_points()):
        kind = registry.load(name)
        yield from ("", f"## {name}", "", _ports(kind), "", *_paragraph(kind), "")
        yield from _table(
            ("option", "type", "default", "what it is for"),
            (
                (
                    f"`{path}`",
                    f"`{type_text(field.type)}`",
                    f"`{default_text(field).removeprefix('= ')}`",
                    purpose(field) or _said_of(owner, field.name),
                )
                for path, owner, field in fields_of(kind.Config, whole=True)
            ),
        )


def _said_of(kind: type, field: str) -> str:
    """The docstring below a field of a class; empty if it has none."""
    for each in kind.__mro__:
        if field in inspect.get_annotations(each):
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body
            for line, after in itertools.pairwise(body):
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == field:
                    said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    return " ".join(inspect.cleandoc(after.value.value).split()) if said else ""
    return ""


def _ports(kind: type[AnyNode]) -> str:
    port = ports(kind)
    takes, gives = (each.__name__ if each else "nothing" for each in (port.takes, port.gives))
    words = [f"**{takes} → {gives}**"]
    if issubclass(kind, Node):
        words += ["may have replicas"] * bool(kind.replicable)
        words += [f"sends back {kind.gives_feedback.__name__}"] if kind.gives_feedback else []
        words += [f"listens to {kind.takes_feedback.__name__}"] if kind.takes_feedback else []
    return ", ".join(words)


def _formats() -> Iterator[str]:
    yield from (
        "# Formats for other programs",
        "",
        "`streamseg convert RUN --to FORMAT` writes them, `--from FORMAT` reads those that can be read; "
        "[exports](../exports.md) says what is in them and shows how they are used.",
        "",
    )
    kinds = {name: load(name) for name in entry_points()}
    rows = [
        (
            f"[`{name}`](#{name})",
            kind.holds,
            kind.read_by,
            " ".join(["`--to`"] * writes(kind) + ["`--from`"] * reads(kind)),
        )
        for name, kind in kinds.items()
    ]
    yield from _table(("format", "holds", "read by", ""), rows)
    for name, kind in kinds.items():
        yield from ("", f"## {name}", "", *_paragraph(kind), "")
        fields = msgspec.structs.fields(kind.Config)
        yield from _table(
            ("option", "type", "default", "what it is for"),
            (
                (
                    f"`--{field.name.replace('_', '-')}`",
                    f"`{type_text(field.type)}`",
                    f"`{default_text(field).removeprefix('= ')}`",
                    purpose(field),
                )
                for field in fields
            ),
        )


def _errors() -> Iterator[str]:
    yield from (
        "# Errors and exit codes",
        "",
        "Everything that streamseg raises on purpose; the command ends with the code.",
        "",
    )
    yield from _fenced("\n".join((inspect.getdoc(errors) or "").splitlines()[2:]))


def _paragraph(kind: type) -> list[str]:
    return (inspect.getdoc(kind) or "").splitlines()


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown; nothing if it has no rows."""
    lines = [" | ".join(map(_cell, row)) for row in rows]
    if lines:
        yield from (f"| {line} |" for line in (" | ".join(heads), " | ".join("---" for _ in heads), *lines))


def _cell(text: str) -> str:
    return text if text.startswith("`") else text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _fenced(text: str) -> list[str]:
    return ["```text", *text.rstrip().splitlines(), "```"]
