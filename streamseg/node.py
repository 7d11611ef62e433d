"""What the author of a node sees.

A node is plain Python: it knows neither sockets nor processes, and `run_node` runs one in a test.

    class Blur(Node[Frame, Frame]):
        class Config(NodeConfig):
            radius_px: Annotated[int, msgspec.Meta(ge=1), Option("half the side of the square")] = 3

        def process(self, message: Frame) -> Frame:
            blurred = self.context.empty(message.stamp, message.image_rgb.shape, np.uint8)
            cv2.blur(message.image_rgb, (self.config.radius_px,) * 2, dst=blurred)
            return Frame(stamp=message.stamp, image_rgb=blurred)

The type arguments are the port types; a graph whose links do not fit is refused before any process starts. A node
without output (``Node[Segmented, None]``) is a sink. Arrays that came in are read-only and are only lent: they hold
until the frame is finished, so a node that keeps one past its `process` call keeps a copy.
"""

from __future__ import annotations

import logging
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np

from streamseg.captured import Captured as Captured
from streamseg.commands import GiveCommand, Reply, nobody_takes_commands
from streamseg.errors import GraphError
from streamseg.jobs import Job, Left
from streamseg.messages import Gap, Message, SourceStatus, Stamp
from streamseg.structs import Option as Option

In = TypeVar("In")
Out = TypeVar("Out")

Empty = Callable[[Stamp, Sequence[int], Any], np.ndarray]
"""(stamp, shape, dtype) -> an array of undefined content."""


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a node: typed fields with defaults; one without a default must be given.

    An `Option` in the type of a field says what it is for; ``streamseg nodes`` shows that.
    """


def _plain_empty(stamp: Stamp, shape: Sequence[int], dtype: Any) -> np.ndarray:
    return np.empty(tuple(shape), dtype)


def _unheard(message: Message) -> None:
    """Nobody listens."""


class NodeContext:
    """What the world offers a node. The default is a world without processes, for tests and notebooks."""

    def __init__(
        self,
        name: str = "node",
        *,
        streams: Sequence[str] = (),
        threads: int = 1,
        output_dir: str | None = None,
        empty: Empty = _plain_empty,
        feedback: Callable[[Message], None] = _unheard,
        has_feedback: bool = False,
        tell_status: Callable[[SourceStatus], None] = _unheard,
        command: GiveCommand = nobody_takes_commands,
        job: Job | None = None,
    ) -> None:
        self.name = name
        self.streams = tuple(streams)
        """Names of the streams that can reach this node."""
        self.threads = threads
        """How many threads this node should use."""
        self.output_dir = output_dir
        """Where a sink writes when its own options do not say."""
        self.empty = empty
        """``empty(stamp, shape, dtype)``: an array in the buffer of that frame, so that it travels without a copy."""
        self.feedback = feedback
        """Sends a message along the node's back-edge, if it has one."""
        self.has_feedback = has_feedback
        """Whether a back-edge of the graph leaves or enters this node."""
        self.tell_status = tell_status
        """Sources: tells every sink that the source is away or back. May be called from any thread."""
        self.command = command
        """Nodes that give commands: gives one to another node. May be called from any thread."""
        self.figures: Mapping[str, Mapping[str, Any]] = {}
        """The same nodes: what every process has done so far (`streamseg.transport.control.Stats`), now and then."""
        self.job = job
        """The work that this run is a part of; None if it cannot be gone on with later."""
        self.stopped: set[str] = set()
        """Streams that were ended before their own end, by somebody or by an error; known by the time of `finish`."""
        self.log = logging.getLogger(f"streamseg.nodes.{name}")


class Awaited(NamedTuple):
    """A frame that a node's options name."""

    what: str
    """What for, as an error message calls it: ``prompt for object 3 at frame 900``."""
    stream: str | None
    """Of which source; None if any will do."""
    frame: int | None
    """Its number, from 0; None if it is known by its time."""
    time_s: float | None


class _Configured:
    Config: ClassVar[type[NodeConfig]] = NodeConfig
    resumable: ClassVar[bool] = False
    """Whether a new instance goes on where ``context.job.positions`` says, or keeps nothing from frame to frame.
    A graph of such nodes is started again when one of its processes dies."""

    keeps_frames: ClassVar[bool] = False
    """Whether the frames that it passes on are those that it got, of the same size."""

    def __init__(self, config: NodeConfig | None = None, context: NodeContext | None = None) -> None:
        self.config: Any = self.Config() if config is None else config
        self.context = NodeContext() if context is None else context

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuse options that are well formed but cannot be meant. Asked before any process starts."""

    @classmethod
    def threads_wanted(cls, config: Any) -> Literal["one", "two", "all"]:
        """How many threads make a node with these options quicker. Asked before anything is set up."""
        return "one"

    @classmethod
    def depends_on(cls, config: Any) -> Any:
        """What the results depend on besides the options, as plain JSON values: files by size and time, checksums.

        Asked for in the process that starts the graph, so that a job is not gone on with after they have changed.
        """
        return None

    @classmethod
    def check_stream(cls, config: Any, stream: str, facts: Mapping[str, Any]) -> None:
        """Refuse options that cannot be meant of a stream, while other processes still load their models.

        Not asked if a node in between does not say that it `keeps_frames`.

        Args:
            config: the options.
            stream: its name.
            facts: what its source has said of itself (`describe`), say width and height in pixels; None while unknown.
        """

    @classmethod
    def awaits(cls, config: Any) -> list[Awaited]:
        """Frames that the options name, so that one which will not come is refused before any process starts."""
        return []

    def setup(self) -> None:
        """Load models, open files. Called once, before the first message; errors here end the run."""

    def describe(self) -> dict[str, Any]:
        """Facts for the run's record (plain JSON values), asked for after `setup` and again before `close`."""
        return {}

    def counters(self) -> dict[str, int]:
        """What it counts besides frames, for whoever watches the run: numbers that only grow, say ``{"retries": 3}``.

        Asked for twice a second. `streamseg.monitoring` says what becomes of them.
        """
        return {}

    def close(self) -> None:
        """Let go of everything. Called once, and only if `setup` succeeded."""


class Node(_Configured, Generic[In, Out]):
    """One stage of the graph: messages in, messages out."""

    takes_feedback: ClassVar[type[Message] | None] = None
    """Type of the messages that may come along a back-edge into this node."""
    gives_feedback: ClassVar[type[Message] | None] = None
    """Type of the messages this node sends along a back-edge (``self.context.feedback``)."""
    takes_commands: ClassVar[type[msgspec.Struct] | None] = None
    """Type of the commands that people may give this node while it runs; None if it takes none. What had come into
    force but is not in what a new process begins with is in ``context.job.commands``."""
    gives_commands: ClassVar[bool] = False
    """Whether this node gives commands to others (``self.context.command``), as one does that people sit before."""
    replicable: ClassVar[bool] = False
    """Whether copies of this node may share the work; only for nodes that keep nothing from frame to frame."""

    @classmethod
    def left(cls, config: Any, streams: Sequence[str], output_dir: str | None) -> Left | None:
        """For sinks whose results are durable: what earlier runs with these options left; None for nothing.

        Asked for in the process that starts the graph. A sink that overrides this can be gone on with.
        """
        return None

    @property
    def batch(self) -> int:
        """How many waiting messages `process_batch` takes at most."""
        return 1

    def process(self, message: In) -> Out | None:
        """One message in, one out; None drops the frame on purpose. An exception costs this frame only."""
        raise TypeError(f"{type(self).__name__} must override process()")

    def process_batch(self, messages: Sequence[In]) -> Sequence[Out | None]:
        """Several messages at once, one result each and in their order, for nodes that gain by it."""
        return [self.process(message) for message in messages]

    def ready(self, message: In) -> bool:
        """Whether `process` can take this message now, or must wait for the back-edge first."""
        return True

    def work_ahead(self, message: In) -> bool:
        """The next message, which `ready` has refused, while there is nothing else to do: do what can be done already.

        Asked again and again until the message is ready, or not at all: nothing may depend on it but time.

        Returns:
            Whether there was anything to do.
        """
        return False

    def on_feedback(self, message: Any) -> None:
        """A message that came along the back-edge."""

    def on_command(self, command: Any, reply: Reply) -> None:
        """A command, between two frames. Every one gets one answer: raise an error to refuse it, or call `reply`.

        Args:
            command: of the type `takes_commands`.
            reply: may be kept and called later, when the command has come into force.
        """

    def on_withdrawn(self, reply: Reply) -> None:
        """Whoever gave the command with this reply wants it no more; one that has no answer yet may be refused now."""

    def gap(self, gap: Gap) -> None:
        """A frame that an earlier node dropped or failed at; it is passed on by itself."""

    def repeated(self, gap: Gap) -> None:
        """In a live graph another process was replaced, and a frame that this node has had comes again as a gap.

        Whoever sends along a back-edge says there once more what it said last: it may not have arrived.
        """

    def status(self, status: SourceStatus) -> None:
        """A live source is away or back; it is passed on by itself."""

    def tick(self) -> None:
        """Called between two messages, and at least once a second while none come."""

    def finish(self, stream: str) -> None:
        """A stream is over: flush what belongs to it."""


class Source(_Configured, Generic[Out]):
    """Where frames come from. The stream has the name of the node."""

    @classmethod
    def ends_before(cls, config: Any, frame: int | None, time_s: float | None) -> str | None:
        """How far the source goes, in words, if it surely ends before a frame or a time; else None.

        Asked in the process that starts the graph.
        """
        return None

    @property
    def policy(self) -> Literal["every-frame", "freshest"]:
        """Wait for room (nothing is lost) or drop the older frame for the newer (nothing gets old)."""
        return "every-frame"

    @property
    def dropped(self) -> int:
        """How many frames it has dropped by itself, before they could enter the graph."""
        return 0

    @property
    def dropped_by(self) -> Mapping[str, int]:
        """The same by the reason, a word each; what is `dropped` and not in here has no reason."""
        return {}

    def produce(self) -> Iterator[Captured[Out]]:
        """Every frame of the stream, in order."""
        raise TypeError(f"{type(self).__name__} must override produce()")

    def stop(self) -> None:
        """Make a `produce` that is waiting come to an end soon. Called from another thread."""


AnyNode = Node[Any, Any] | Source[Any]


class Ports(msgspec.Struct, frozen=True):
    """Which message types a node takes and gives; None where it has no such port."""

    takes: type[Message] | None
    gives: type[Message] | None


def ports(kind: type[AnyNode]) -> Ports:
    """The port types of a node class, read from its type arguments.

    Raises:
        GraphError: the class does not say them (``class MyNode(Node[Frame, Frame])``).
    """
    for cls in kind.__mro__:
        for base in types.get_original_bases(cls) if hasattr(types, "get_original_bases") else _bases(cls):
            origin, arguments = typing.get_origin(base), typing.get_args(base)
            if origin is Node and _concrete(arguments):
                return Ports(takes=_port(arguments[0]), gives=_port(arguments[1]))
            if origin is Source and _concrete(arguments):
                return Ports(takes=None, gives=_port(arguments[0]))
    raise GraphError(
        f"{kind.__module__}.{kind.__name__} does not state its port types; "
        f"write e.g. class {kind.__name__}(Node[Frame, Frame])"
    )


def _bases(cls: type) -> tuple[Any, ...]:
    return tuple(cls.__dict__.get("__orig_bases__", ()))


def _concrete(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments) and not any(isinstance(argument, TypeVar) for argument in arguments)


def _port(argument: Any) -> type[Message] | None:
    if argument is type(None) or argument is None:
        return None
    if isinstance(argument, type) and issubclass(argument, Message):
        return argument
    raise GraphError(f"a port type must be a Message class or None, not {argument!r}")


def run_node(node: Node[In, Out], messages: Iterable[In]) -> list[Out]:
    """Run one node over messages without a graph: set up, process, finish every stream, close.

    Returns:
        What it gave, dropped frames left out. Exceptions pass through.
    """
    node.setup()
    try:
        streams: dict[str, None] = {}
        results = []
        for message in messages:
            streams[message.stamp.stream] = None  # type: ignore[attr-defined]
            result = node.process(message)
            if result is not None:
                results.append(result)
        for stream in streams:
            node.finish(stream)
        return results
    finally:
        node.close()
