"""The graph file: nodes, their options, and the links between them.

    version: 1
    nodes:
      camera: {use: decode, options: {source: clip.mp4}}
      embed: {replicas: 2}
      propagate: {options: {prompts: [{id: 1, box: [100, 120, 300, 400]}]}}
      cleanup: {}
      record: {options: {output: out}}
    links:
      - camera -> embed -> propagate -> cleanup -> record
    feedback:
      - propagate -> embed
    recovery: {commit_s: 2.0, restarts: 5}
    hosts:
      gpu: {address: 192.168.1.20:7700, own_key: here.key_secret, server_key: gpu.key}

A node takes its input from one kind of place: several links into a node are several streams, not parts of one. A node
with ``host: gpu`` runs on that machine (docs/remote.md).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from streamseg import structs
from streamseg.errors import GraphError, nearest
from streamseg.yaml_files import read_yaml

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")

Link = tuple[str, str]
"""(from, to) by node name."""


class HostSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another machine, where ``streamseg worker`` listens."""

    address: str
    """HOST:PORT."""
    own_key: str
    """The secret key file of this machine."""
    server_key: str
    """The public key file of the other one."""
    pictures: Literal["raw", "lossless", "jpeg"] = "raw"
    """How pictures travel; ``jpeg`` changes their pixels."""
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    """Of JPEG."""
    away_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 60.0
    """A lost link is waited for so long; then the nodes there count as dead."""

    @property
    def changes_pixels(self) -> bool:
        """Whether what arrives there is not exactly what was sent."""
        return self.pictures == "jpeg"


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node of the graph file."""

    use: str = ""
    """Name in the registry, or ``package.module:Class``; the node's own name if empty."""
    options: dict[str, Any] = {}
    replicas: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """How many processes share the work of this node."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """Threads for each of its processes; None shares out the cores."""
    host: str = ""
    """The machine it runs on, one of `Graph.hosts`; this one if empty."""


class Recovery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens when a process of the graph dies or hangs."""

    commit_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """Recorded results are made durable about so often."""
    restarts: Annotated[int, msgspec.Meta(ge=0)] = 5
    """How often the graph is started again, within `window_s` or without getting any further, before it ends."""
    window_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    hang_s: Annotated[float, msgspec.Meta(gt=0)] = 15.0
    """A process that gives no sign of life for so long is killed; more time is given until its first frame is done."""
    stall_s: Annotated[float, msgspec.Meta(ge=2)] = 300.0
    """A run in which every process waits and no frame moves for so long, although some are in flight, is ended."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A graph whose names and shape are sound; port types and options are checked by `streamseg.graph.plan`."""

    nodes: dict[str, NodeSpec]
    links: list[Link]
    feedback: list[Link] = []
    tickets: int = 6
    """Frames in flight at once, for each source."""
    slot_mb: int = 256
    """Room for what one node makes of one frame, in MiB; only what is written takes up memory."""
    recovery: Recovery = Recovery()
    hosts: dict[str, HostSpec] = {}

    def downstream(self, name: str) -> list[str]:
        """Nodes that a node's output goes to."""
        return [to for origin, to in self.links if origin == name]

    def upstream(self, name: str) -> list[str]:
        """Nodes that a node's input comes from."""
        return [origin for origin, to in self.links if to == name]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    nodes: dict[str, NodeSpec | None]
    links: list[str]
    version: int = 1
    feedback: list[str] = []
    tickets: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 6
    slot_mb: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 256
    recovery: Recovery = Recovery()
    hosts: dict[str, HostSpec] = {}


def load(path: Path) -> Graph:
    """Read a graph file.

    Raises:
        GraphError: it cannot be read, is not YAML, or is not a graph; the message starts with the file's name.
    """
    data = read_yaml(path, GraphError)
    try:
        return parse(data)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error


def parse(data: Any) -> Graph:
    """Build a `Graph` from plain data (what the YAML file holds) and check its shape.

    Raises:
        GraphError: an unknown key, a wrong type, an unknown node in a link, a loop, a node without a link.
    """
    if not isinstance(data, Mapping):
        raise GraphError(f"expected a mapping with 'nodes' and 'links', got {type(data).__name__}")
    file = structs.convert(data, _File, "the graph", GraphError)
    if file.version != 1:
        raise GraphError(f"graph file version {file.version} is not known; this streamseg reads version 1")
    specs = {name: _named(name, spec) for name, spec in file.nodes.items()}
    graph = Graph(
        nodes=specs,
        links=_links(file.links, specs, "links"),
        feedback=_links(file.feedback, specs, "feedback"),
        tickets=file.tickets,
        slot_mb=file.slot_mb,
        recovery=file.recovery,
        hosts=file.hosts,
    )
    _check_hosts(graph)
    _check_shape(graph)
    return graph


def options_of(kind: type[msgspec.Struct], options: Mapping[str, Any], owner: str) -> Any:
    """Options of a node as its own `Config`.

    Raises:
        GraphError: an unknown option (with the nearest valid name), a missing one, a value of a wrong type.
    """
    return structs.convert(options, kind, f"the options of {owner}", GraphError)


def to_plain(graph: Graph) -> dict[str, Any]:
    """The graph as plain data that `parse` reads back; this is what a run's record keeps."""
    plain = msgspec.to_builtins(graph)
    plain["links"] = [f"{origin} -> {to}" for origin, to in graph.links]
    plain["feedback"] = [f"{origin} -> {to}" for origin, to in graph.feedback]
    return {"version": 1, **plain}


def _named(name: str, spec: NodeSpec | None) -> NodeSpec:
    if not NAME.fullmatch(name):
        raise GraphError(
            f"node name {name!r}: use a letter first, then letters, digits, '_' and '-', 63 characters at most"
        )
    spec = spec or NodeSpec()
    return spec if spec.use else msgspec.structs.replace(spec, use=name)


def _links(lines: Iterable[str], nodes: Mapping[str, NodeSpec], key: str) -> list[Link]:
    found: list[Link] = []
    for line in lines:
        names = [part.strip() for part in line.split("->")]
        if len(names) < 2 or not all(names):
            raise GraphError(f"{key}: expected 'from -> to', got {line!r}")
        for name in names:
            if name not in nodes:
                raise GraphError(f"{key}: {line!r} names a node {name!r} that is not there; {nearest(name, nodes)}")
        for link in itertools.pairwise(names):
            if link in found:
                raise GraphError(f"{key}: the link {link[0]} -> {link[1]} is there twice")
            found.append(link)
    return found


def _check_hosts(graph: Graph) -> None:
    for name, host in graph.hosts.items():
        if not NAME.fullmatch(name):
            raise GraphError(f"host name {name!r}: use a letter first, then letters, digits, '_' and '-'")
        match = _ADDRESS.fullmatch(host.address)
        if match is None or not 0 < int(match[1]) <= 65535:
            raise GraphError(
                f"host {name!r}: expected its address as HOST:PORT, such as 192.168.1.20:7700, got {host.address!r}"
            )
    for name, spec in graph.nodes.items():
        if spec.host and spec.host not in graph.hosts:
            raise GraphError(
                f"node {name!r} is to run on the host {spec.host!r}, which is not under 'hosts'; "
                f"{nearest(spec.host, graph.hosts)}"
            )


def _check_shape(graph: Graph) -> None:
    if not graph.nodes:
        raise GraphError("the graph has no nodes")
    for name in graph.nodes:
        if len(graph.nodes) > 1 and not graph.upstream(name) and not graph.downstream(name):
            raise GraphError(f"node {name!r} has no link; add one under 'links' or remove the node")
    order(graph)
    _check_one_path(graph)


def order(graph: Graph) -> list[str]:
    """Node names so that each comes after those it takes its input from.

    Raises:
        GraphError: the links form a loop.
    """
    waiting = {name: set(graph.upstream(name)) for name in graph.nodes}
    done: list[str] = []
    while waiting:
        free = [name for name, needs in waiting.items() if not needs]
        if not free:
            loop = " -> ".join(sorted(waiting))
            raise GraphError(f"the links form a loop among: {loop}; a back-edge belongs under 'feedback'")
        for name in free:
            del waiting[name]
        done += free
        for needs in waiting.values():
            needs.difference_update(free)
    return done


def ways(graph: Graph, name: str) -> dict[str, int]:
    """How many ways lead from a node to each node below it, itself (1) included."""
    count = {name: 1}
    for node in order(graph):
        total = count.get(node, 0) + sum(count.get(origin, 0) for origin in graph.upstream(node))
        if total:
            count[node] = total
    return count


def _check_one_path(graph: Graph) -> None:
    for name in graph.nodes:
        for below, count in ways(graph, name).items():
            if count > 1:
                raise GraphError(
                    f"there are {count} ways from {name!r} to {below!r}, so it would get every frame {count} times; "
                    f"messages carry what came before them, so one way is enough"
                )
