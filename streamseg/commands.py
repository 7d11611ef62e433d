"""What people tell a running graph, and what it says to that. Commands are never dropped: each gets one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec

from streamseg.errors import StreamsegError
from streamseg.types import Box

LARGEST_BYTES = 16 << 20
"""Of a command, the picture of a mask included."""


class Meaning(msgspec.Struct, frozen=True):
    """One of the things that a click may mean."""

    box_xyxy: Box
    """Round its mask, in pixels of the frame that the click came into force at."""
    score: float
    """The model's own estimate of the mask's IoU, 0 to 1."""
    picture: str
    """Of its mask and what is round it: a small JPEG, as a data URL."""


class Applied(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The command has come into force."""

    what: str
    """What happened to the object: added, corrected, pointed anew, renamed, removed, undone; found, if all were looked
    for."""
    id: int | None
    """None if all objects were looked for."""
    stream: str
    frame: int
    """Position of the first frame that it holds for; the same as ``index`` of the results."""
    pts_s: float | None = None
    """Presentation time of that frame in seconds; None if it has none."""
    ids: list[int] = []
    """Of the objects that were found, where all of them were looked for."""
    state: str = ""
    """Of the object in that frame."""
    reason: str = ""
    meanings: list[Meaning] = []
    """If the prompt asked for them: what a click on a new object may mean, the largest first, as `choice` counts them.
    The one with the best score holds."""

    def __str__(self) -> str:
        time = "" if self.pts_s is None else f" ({self.pts_s:.3f} s)"
        state = f": {self.state}, {self.reason}" if self.state else ""
        if self.id is None:
            which = f": {', '.join(map(str, self.ids))}" if self.ids else ""
            return f"{len(self.ids)} objects {self.what} at frame {self.frame}{time} of {self.stream}{which}"
        return f"object {self.id} {self.what} at frame {self.frame}{time} of {self.stream}{state}"


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The command came to nothing, and nothing else was touched."""

    kind: str
    """Class name from `streamseg.errors`."""
    message: str

    @staticmethod
    def of(error: Exception) -> Refused:
        """The answer that says an error."""
        known = isinstance(error, StreamsegError)
        return Refused(type(error).__name__, str(error) if known else f"{type(error).__name__}: {error}")


Answer = Applied | Refused
Reply = Callable[[Answer], None]
"""Called once for each command, then or later."""


class GiveCommand(Protocol):
    """How a node gives a command to another one (`streamseg.node.NodeContext.command`)."""

    def __call__(self, body: bytes, reply: Reply, node: str | None = None) -> None:
        """Give it.

        Args:
            body: msgpack, as the other node understands it.
            reply: gets the one answer, in the thread that calls the node.
            node: which is meant; the only one that takes commands if None.
        """


def nobody_takes_commands(body: bytes, reply: Reply, node: str | None = None) -> None:
    """What a node has where it is alone."""
    reply(Refused("UsageError", "nobody here takes commands; run the graph with processes"))


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A command on its way to a run."""

    number: Annotated[int, msgspec.Meta(ge=0)]
    """Chosen by who sends it; the response has the same."""
    node: str | None
    """Which node it is for; the only one that takes commands if None."""
    body: msgspec.Raw
    """msgpack, as that node understands it."""
    withdraw: bool = False
    """Instead of a command: take the one of this number back, if it has not come into force."""


class Response(msgspec.Struct, frozen=True, array_like=True):
    """The answer on its way back."""

    number: int
    answer: Answer
