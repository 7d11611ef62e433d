"""Which nodes there are: built in and third-party ones alike come from the entry-point group ``streamseg.nodes``."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from streamseg.errors import GraphError, nearest
from streamseg.node import AnyNode, Node, Source

GROUP = "streamseg.nodes"


def entry_points() -> dict[str, metadata.EntryPoint]:
    """Name -> entry point of every installed node, none of them imported yet."""
    return dict(_entry_points(tuple((folder, _changed_ns(folder)) for folder in sys.path)))


@lru_cache(maxsize=1)
def _entry_points(folders: tuple[tuple[str, int], ...]) -> dict[str, metadata.EntryPoint]:
    """Looked for once, as long as nothing is installed or taken away: a start asks for them some twenty times."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def _changed_ns(folder: str) -> int:
    """When something was put into a folder or taken out last; 0 if it is none."""
    with contextlib.suppress(OSError):
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116 (a Path for each costs more than the look)
    return 0


def _where(module_name: str) -> str:
    """The command does not look for modules in the current folder, as `python -m` does: say so if it would help."""
    name = module_name.partition(".")[0]
    there = name.isidentifier() and (Path(f"{name}.py").is_file() or Path(name).is_dir())
    hidden = there and importlib.util.find_spec(name) is None
    return "; modules in the current folder are found with PYTHONPATH=. before the command" if hidden else ""


def load(use: str) -> type[AnyNode]:
    """The node class of that name, or of a ``package.module:Class`` path.

    Raises:
        GraphError: there is no such node, it cannot be imported, or it is not a node.
    """
    if ":" in use:
        path = use
    else:
        points = entry_points()
        if use not in points:
            raise GraphError(
                f"there is no node {use!r}; {nearest(use, points)} ('streamseg nodes' lists them; "
                f"a class of your own is 'package.module:Class')"
            )
        path = points[use].value
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise GraphError(f"node {use!r}: expected 'package.module:Class'; a file is found by its folder in PYTHONPATH")
    try:
        kind = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise GraphError(f"node {use!r} ({path}) cannot be imported: {error}{_where(module_name)}") from error
    except (Exception, SystemExit) as error:
        # A script that ends itself when it is imported must not end the command, as if all were well.
        raise GraphError(f"node {use!r} ({path}) cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, (Node, Source))):
        raise GraphError(f"node {use!r} ({path}) is not a subclass of streamseg.node.Node or Source")
    return kind
