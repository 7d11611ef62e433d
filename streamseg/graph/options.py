"""Options of nodes by one name each: what is a flag of ``streamseg run`` and a keyword of `streamseg.segment_video`.

They are written in the `Config` of a node, and nowhere else (`streamseg.structs.Option`). An option that several nodes
have, such as the model, is one: it is set at all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streamseg.errors import GraphError, UsageError, nearest
from streamseg.graph import registry
from streamseg.graph.config import Graph
from streamseg.structs import Option, may_be_none, option_of

PIPELINE = ("decode", "embed", "propagate", "cleanup")
"""The nodes of the standard graph, but for its sinks and a detector."""
FRAME_BY_FRAME = PIPELINE[1:]
"""Those of them that work on a frame which the caller has in hand."""
DETECTORS = ("motion", "onnx_detector", "discover", "text_detector")
"""Detectors that come along; a graph has one of them or none."""
OF_A_LOOP = (*PIPELINE, *DETECTORS)
"""Nodes whose options are keywords of `streamseg.segment_video`."""
SINKS = {"record": "output", "publish": "publish", "page": "page", "rerun": "rerun"}
"""Nodes that are in the standard graph if a certain option of theirs is given, and the name of that one."""


class NamedOption(msgspec.Struct, frozen=True, kw_only=True):
    """An option that has a flag, of one node or of several."""

    name: str
    """Of the keyword."""
    flag: str
    """What is typed, say ``--max-frames``; ``--no-overlay`` for the option ``overlay``, which is on by default."""
    nodes: tuple[str, ...]
    """By their names in the registry."""
    field: str
    """Its name among the options of these nodes."""
    type: Any
    default: Any
    """`msgspec.NODEFAULT` if there is none."""
    about: Option

    @property
    def switches_off(self) -> bool:
        """Whether the flag takes away what is there without it."""
        return self.flag.startswith("--no-")

    @property
    def help(self) -> str:
        """What it is for, and its default if that is worth a word."""
        text = self.about.help
        # Without the option that brings a sink there is none, so its default does not hold.
        obvious = self.default in (None, msgspec.NODEFAULT) or isinstance(self.default, bool)
        told = obvious or self.name in SINKS.values() or "default" in text
        return text if told else f"{text} (default: {self.default})"


def named_options(nodes: Iterable[str] = (*OF_A_LOOP, *SINKS)) -> dict[str, NamedOption]:
    """Name -> option, for all fields of these nodes' `Config` that have a flag.

    Raises:
        GraphError: two nodes have the same flag for different things, or a node cannot be imported.
    """
    found: dict[str, NamedOption] = {}
    for node in nodes:
        for field in msgspec.structs.fields(registry.load(node).Config):
            about = option_of(field.type)
            if about is None or about.flag is None:
                continue
            option = NamedOption(
                name=about.flag.removeprefix("--").removeprefix("no-").replace("-", "_"),
                flag=about.flag,
                nodes=(node,),
                field=field.name,
                type=field.type,
                default=field.default,
                about=about,
            )
            other = found.get(option.name)
            if other is not None:
                option = msgspec.structs.replace(option, nodes=(*other.nodes, node))
                if msgspec.structs.replace(other, nodes=option.nodes) != option:
                    raise GraphError(
                        f"nodes {other.nodes[0]!r} and {node!r} have different options with the flag {option.flag}; "
                        f"give one of them another flag, or both the same Config to inherit it from"
                    )
            found[option.name] = option
    return found


def frame_by_frame_options() -> dict[str, NamedOption]:
    """Name -> option, of what works on one frame after the other: all of these nodes' but for how many at once."""
    return {name: option for name, option in named_options(FRAME_BY_FRAME).items() if name != "batch"}


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse what is not an option.

    Raises:
        UsageError: with the nearest name.
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise UsageError(f"there is no option {name!r}; {nearest(name, known)}")


def by_node(values: Mapping[str, Any], known: Mapping[str, NamedOption]) -> dict[str, dict[str, Any]]:
    """Node -> its options, from values by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        for node in known[name].nodes:
            found.setdefault(node, {})[known[name].field] = value
    return found


def with_options(graph: Graph, values: Mapping[str, Any], known: Mapping[str, NamedOption]) -> Graph:
    """The graph with options set at its nodes. None leaves an option as it is, unless it is a value it may have.

    Raises:
        UsageError: there is no such option, or the graph has not just one node that it could belong to.
    """
    check_names(values, known)
    places = {use: nodes_of(graph, use) for name in values for use in known[name].nodes}
    for name, value in values.items():
        option = known[name]
        if value is None and not may_be_none(option.type):
            continue
        plain = os.fspath(value) if isinstance(value, os.PathLike) else value
        # Of the detectors that could have the option there is one or none.
        there = [use for use in option.nodes if use not in DETECTORS or places[use]]
        for use in there or option.nodes:
            names = places[use]
            if len(names) != 1:
                raise UsageError(
                    f"{option.flag} needs a graph with one {use} node, this one has {len(names)}; "
                    f"write it into the graph file"
                )
            # What holds anyway is not written down: a job that is gone on with stays the same to the letter.
            if graph.nodes[names[0]].options.get(option.field, option.default) != plain:
                graph = _set(graph, names[0], [option.field], plain)
    return graph


def with_option_at(graph: Graph, path: str, value: Any) -> Graph:
    """The graph with one option of one node set, whatever it is; the node checks it later.

    Args:
        graph: the graph.
        path: node and option, say ``record.alpha``, or deeper, say ``propagate.tracking.motion``.
        value: plain data.

    Raises:
        UsageError: there is no such node in the graph, or it is no path.
    """
    node, *keys = path.split(".")
    if not keys or not all((node, *keys)):
        raise UsageError(f"expected NODE.OPTION, such as record.alpha, got {path!r}")
    if node not in graph.nodes:
        raise UsageError(f"{path}: the graph has no node {node!r}; {nearest(node, graph.nodes)}")
    return _set(graph, node, keys, value)


def nodes_of(graph: Graph, use: str) -> list[str]:
    """Names of the nodes of a graph that are a built-in one, by its name in the registry or by its class."""
    point = registry.entry_points().get(use)
    same = {use, point.value} if point is not None else {use}
    return [name for name, spec in graph.nodes.items() if spec.use in same]


def _set(graph: Graph, node: str, keys: list[str], value: Any) -> Graph:
    spec = graph.nodes[node]
    changed = msgspec.structs.replace(spec, options=_merged(spec.options, keys, value))
    return msgspec.structs.replace(graph, nodes={**graph.nodes, node: changed})


def _merged(options: Any, keys: list[str], value: Any) -> dict[str, Any]:
    inside = dict(options) if isinstance(options, Mapping) else {}
    first, *rest = keys
    return {**inside, first: _merged(inside.get(first), rest, value) if rest else value}
