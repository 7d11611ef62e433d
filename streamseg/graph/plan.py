"""From a graph to what each process has to know. Everything that can be checked before a process starts is here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from streamseg.errors import GraphError, PromptError
from streamseg.graph import config, registry
from streamseg.graph.config import Graph, HostSpec, NodeSpec
from streamseg.node import AnyNode, Awaited, Node, NodeConfig, Ports, Source, ports

CALLER = "caller"
"""Name of the sink that hands results to the process which started the graph."""


class BufferSpec(msgspec.Struct, frozen=True):
    """A node's output buffer."""

    number: int
    slots: int
    slot_bytes: int


class SourceSpec(msgspec.Struct, frozen=True):
    """What a source has to know of the rest: its tickets, and who reports them finished."""

    tickets: list[int]
    sinks: list[str]
    inner: list[str] = []
    """Nodes below that are no sinks; they report what they have begun with."""
    alone: bool = True
    """Whether no other source sends frames to those."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """That a process runs on another machine, and what is there too."""

    name: str
    """Of the machine, in the graph file."""
    host: HostSpec
    endpoints: list[str]
    """Those of all processes of the run that are there: what goes to them stays there."""
    buffers: list[int]
    """Numbers of those that are written there: what lies in them need not be sent."""
    threads: int | None
    """As the graph file has it: the cores that are shared out are those of the other machine."""
    replicas: int


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that one worker process is told."""

    name: str
    replica: int
    use: str
    options: dict[str, Any]
    threads: int
    streams: list[str]
    """Streams that reach this node."""
    ordered: bool
    """Whether this process sees every frame, so has to put them in order."""
    inputs: list[str]
    """`use` of the nodes upstream, whose message types arrive."""
    feedback_inputs: list[str]
    own_buffer: BufferSpec | None
    buffers: list[BufferSpec]
    """Buffers of the nodes above, to read."""
    outbox: list[list[str]]
    """For each node below, the endpoints of its replicas."""
    feedback_outbox: list[str]
    finished: dict[str, str]
    """Sinks only: stream -> endpoint where its source counts finished frames."""
    begun: dict[str, str] = {}
    """Nodes between sources and sinks only: stream -> the same endpoint of its source."""
    source: SourceSpec | None = None
    output_dir: str | None = None
    gives_commands: bool = False
    """Whether the node may give others commands."""
    placed: Placed | None = None
    """None on the machine that runs the graph."""

    @property
    def identity(self) -> str:
        """Name of the process: the node's name, with a number if there are several."""
        return identity(self.name, self.replica)

    @property
    def is_sink(self) -> bool:
        """Whether frames end here."""
        return bool(self.finished)


def identity(name: str, replica: int) -> str:
    """Name of a node's process."""
    return name if replica == 0 else f"{name}.{replica + 1}"


def inbox(name: str, replica: int) -> str:
    """Name of the endpoint where a process takes messages; the transport makes an address of it."""
    return f"{identity(name, replica)}.in"


def feedback_inbox(name: str, replica: int) -> str:
    """Name of the endpoint where a process takes messages of a back-edge."""
    return f"{identity(name, replica)}.back"


def finished_inbox(name: str) -> str:
    """Name of the endpoint where a source counts finished frames."""
    return f"{name}.finished"


class Plan:
    """A checked graph, ready to run.

    Raises:
        GraphError: unknown node or option, a link whose ends do not fit, no source, no sink.
        PromptError: something is asked for at a frame that will not come.
        StreamsegError: a node refuses its options.
    """

    def __init__(self, graph: Graph, *, output_dir: str | None = None, results_from: str | None = None) -> None:
        self.graph = graph
        self.results_from = results_from
        """The node whose output also goes to the calling process; None if nobody there wants any."""
        self.output_dir = output_dir
        self.order = config.order(graph)
        self.kinds: dict[str, type[AnyNode]] = {name: registry.load(graph.nodes[name].use) for name in self.order}
        self.ports: dict[str, Ports] = {name: ports(kind) for name, kind in self.kinds.items()}
        self.options: dict[str, NodeConfig] = {
            name: config.options_of(kind.Config, graph.nodes[name].options, f"node {name!r}")
            for name, kind in self.kinds.items()
        }
        for name, kind in self.kinds.items():
            kind.check(self.options[name])
        self.sources = [name for name in self.order if issubclass(self.kinds[name], Source)]
        self.sinks = [name for name in self.order if self.ports[name].gives is None]
        self.inner = [name for name in self.order if name not in self.sources and name not in self.sinks]
        """Nodes between sources and sinks."""
        if results_from is not None:
            self.sinks.append(CALLER)
        self._check_links()
        self._check_feedback()
        self._check_ends()
        self._check_awaited()
        self.buffers = self._make_buffers()

    def below(self, name: str) -> list[str]:
        """Nodes directly below, the calling process included."""
        return self.graph.downstream(name) + ([CALLER] if name == self.results_from else [])

    def above(self, name: str) -> list[str]:
        """Every node above `name`."""
        direct = [self.results_from] if name == CALLER and self.results_from else self.graph.upstream(name)
        found = dict.fromkeys(direct)
        for origin in direct:
            found |= dict.fromkeys(self.above(origin))
        return list(found)

    def streams(self, name: str) -> list[str]:
        """Streams that reach a node: the sources above it, or itself."""
        return [source for source in self.sources if source == name or source in self.above(name)]

    def check_stream(self, source: str, facts: Mapping[str, Any]) -> None:
        """Let every node that gets a source's frames as they are refuse what cannot be meant of them.

        Raises:
            StreamsegError: one does.
        """
        for name, kind in self.kinds.items():
            between = [each for each in self.above(name) if source in self.above(each)]
            if source in self.above(name) and all(self.kinds[each].keeps_frames for each in between):
                kind.check_stream(self.options[name], source, facts)

    def workers(self) -> list[WorkerSpec]:
        """One spec for each process, sinks first: who receives is there before who sends."""
        names = reversed(self.order)
        return [self.worker(name, replica) for name in names for replica in range(self._replicas(name))]

    def worker(self, name: str, replica: int) -> WorkerSpec:
        """What one process of a node has to know (`CALLER` included)."""
        spec = self.graph.nodes.get(name, NodeSpec(use=CALLER))
        direct = [self.results_from] if name == CALLER and self.results_from else self.graph.upstream(name)
        feedback_to = [to for origin, to in self.graph.feedback if origin == name]
        feedback_from = [origin for origin, to in self.graph.feedback if to == name]
        return WorkerSpec(
            name=name,
            replica=replica,
            use=spec.use,
            options=spec.options,
            threads=self._threads(name, spec),
            streams=self.streams(name),
            ordered=spec.replicas == 1,
            inputs=[self.graph.nodes[origin].use for origin in direct],
            feedback_inputs=[self.graph.nodes[origin].use for origin in feedback_from],
            own_buffer=self.buffers.get(name),
            buffers=[self.buffers[origin] for origin in self.above(name)],
            outbox=[[inbox(to, k) for k in range(self._replicas(to))] for to in self.below(name)],
            feedback_outbox=[feedback_inbox(to, k) for to in feedback_to for k in range(self._replicas(to))],
            finished={s: finished_inbox(s) for s in self.streams(name)} if name in self.sinks else {},
            begun={s: finished_inbox(s) for s in self.streams(name)} if name in self.inner else {},
            source=self._source(name) if name in self.sources else None,
            output_dir=self.output_dir,
            gives_commands=name != CALLER and getattr(self.kinds[name], "gives_commands", False),
            placed=self._placed(spec) if spec.host else None,
        )

    def _placed(self, spec: NodeSpec) -> Placed:
        there = [name for name in self.order if self.graph.nodes[name].host == spec.host]
        endpoints = [finished_inbox(name) for name in there if name in self.sources]
        for name in there:
            for replica in range(self._replicas(name)):
                endpoints += [inbox(name, replica), feedback_inbox(name, replica)]
        return Placed(
            name=spec.host,
            host=self.graph.hosts[spec.host],
            endpoints=endpoints,
            buffers=[self.buffers[name].number for name in there if name in self.buffers],
            threads=spec.threads,
            replicas=spec.replicas,
        )

    def _replicas(self, name: str) -> int:
        return 1 if name == CALLER else self.graph.nodes[name].replicas

    def _threads(self, name: str, spec: NodeSpec) -> int:
        if name == CALLER:
            return 1
        return threads_for(self.kinds[name], self.options[name], spec.threads, spec.replicas)

    def _source(self, name: str) -> SourceSpec:
        first = self.sources.index(name) * self.graph.tickets
        sinks = [sink for sink in self.sinks if name in self.above(sink)]
        inner = [each for each in self.inner if name in self.above(each)]
        alone = all(self.streams(each) == [name] for each in inner)
        return SourceSpec(list(range(first, first + self.graph.tickets)), sinks, inner, alone)

    def _make_buffers(self) -> dict[str, BufferSpec]:
        slots = self.graph.tickets * len(self.sources)
        givers = [name for name in self.order if self.ports[name].gives is not None]
        return {name: BufferSpec(number, slots, self.graph.slot_mb << 20) for number, name in enumerate(givers)}

    def _check_links(self) -> None:
        for origin, to in self.graph.links:
            gives, takes = self.ports[origin].gives, self.ports[to].takes
            if gives is None:
                raise GraphError(f"the link {origin} -> {to} starts at a sink: {origin!r} gives nothing")
            if takes is None:
                raise GraphError(f"the link {origin} -> {to} ends at a source: {to!r} takes nothing")
            if not issubclass(gives, takes):
                raise GraphError(
                    f"the link {origin} -> {to} does not fit: {origin!r} gives {gives.__name__}, "
                    f"{to!r} takes {takes.__name__}"
                )

    def _check_feedback(self) -> None:
        for origin, to in self.graph.feedback:
            gives = getattr(self.kinds[origin], "gives_feedback", None)
            takes = getattr(self.kinds[to], "takes_feedback", None)
            if gives is None or takes is None or not issubclass(gives, takes):
                raise GraphError(
                    f"the back-edge {origin} -> {to} does not fit: {origin!r} sends {_type_name(gives)} back, "
                    f"{to!r} expects {_type_name(takes)}"
                )
            if to not in self.above(origin):
                raise GraphError(f"the back-edge {origin} -> {to} does not lead back: {to!r} is not above {origin!r}")

    def _check_ends(self) -> None:
        if not self.sources:
            raise GraphError("the graph has no source; add a node such as 'decode'")
        if not self.sinks:
            raise GraphError("the graph has no sink; add a node such as 'record'")
        for name in self.order:
            kind = self.kinds[name]
            if name not in self.sources and not self.graph.upstream(name):
                raise GraphError(f"node {name!r} takes {_type_name(self.ports[name].takes)}, but no link leads to it")
            if name not in self.sinks and not self.below(name):
                raise GraphError(f"node {name!r} gives {_type_name(self.ports[name].gives)}, but no link leads away")
            if self.graph.nodes[name].replicas > 1 and not (issubclass(kind, Node) and kind.replicable):
                raise GraphError(
                    f"node {name!r} cannot have replicas: it keeps something from frame to frame, "
                    f"so one process has to see them all"
                )

    def _check_awaited(self) -> None:
        """Refuse what is asked for at a frame that will not come, rather than at the end of the run."""
        for name, kind in self.kinds.items():
            for awaited in kind.awaits(self.options[name]):
                streams = [each for each in self.streams(name) if awaited.stream in (None, each)]
                ends = [self._end_before(stream, awaited) for stream in streams]
                if ends and all(ends):
                    raise PromptError(f"{awaited.what}: there is no such frame; stream {streams[0]!r} {ends[0]}")

    def _end_before(self, stream: str, awaited: Awaited) -> str | None:
        source = self.kinds[stream]
        if not issubclass(source, Source):
            return None
        return source.ends_before(self.options[stream], awaited.frame, awaited.time_s)


def _type_name(kind: type | None) -> str:
    return "nothing" if kind is None else kind.__name__


def threads_for(kind: type[AnyNode], options: NodeConfig, threads: int | None, replicas: int) -> int:
    """How many threads each process of a node gets on this machine.

    Args:
        kind: class of the node.
        options: of it.
        threads: as the graph file has it; None shares out the cores.
        replicas: how many processes it has.
    """
    if threads is not None:
        return threads
    limit = {"one": 1, "two": 2, "all": cores()}[kind.threads_wanted(options)]
    return max(1, min(limit, cores() // replicas))


def cores() -> int:
    """Processor cores this process may use; the environment variable ``STREAMSEG_CORES`` says that it be fewer."""
    allowed = os.environ.get("STREAMSEG_CORES", "")
    if allowed.isdecimal() and int(allowed):
        return min(int(allowed), _all_cores())
    return _all_cores()


def _all_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_environment(threads: int) -> Mapping[str, str]:
    """Environment variables that hold numeric libraries to a number of threads.

    Waiting threads sleep: several OpenMP programs that wait busily on the same cores run many times slower.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    return {**dict.fromkeys(names, str(threads)), "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
