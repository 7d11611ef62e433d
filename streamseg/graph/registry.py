"""Which nodes there are: built in and third-party ones alike come from the entry-point group ``streamseg.nodes``."""

from __future__ import annotations

import importlib
from importlib import metadata

from streamseg.errors import GraphError, nearest
from streamseg.node import AnyNode, Node, Source

GROUP = "streamseg.nodes"


def entry_points() -> dict[str, metadata.EntryPoint]:
    """Name -> entry point of every installed node, none of them imported yet."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


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
    try:
        kind = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise GraphError(f"node {use!r} ({path}) cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, (Node, Source))):
        raise GraphError(f"node {use!r} ({path}) is not a subclass of streamseg.node.Node or Source")
    return kind
