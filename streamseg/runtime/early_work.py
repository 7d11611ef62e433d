"""What a node does for its next message before that is ready."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from streamseg.messages import Message
from streamseg.node import Node
from streamseg.runtime.node_code import node_code


class Worked(NamedTuple):
    """When, by the monotonic clock."""

    started_ns: int
    ended_ns: int


class EarlyWork:
    """The early work of one node, and how long it took.

    Args:
        node: set up by the caller.
    """

    def __init__(self, node: Node[Any, Any]) -> None:
        self._node = node
        self._failed: tuple[str, int] | None = None
        self._spent: tuple[tuple[str, int], int] | None = None

    def work(self, place: tuple[str, int], message: Message) -> Worked | None:
        """Let the node work on a message that is not ready; after an error it is not asked again about the same one.

        Args:
            place: stream and number of the message.
            message: the next one.

        Returns:
            None if there was nothing to do.
        """
        if self._failed == place:
            return None
        started_ns = time.monotonic_ns()
        self._failed = place
        with node_code:
            anything = self._node.work_ahead(message)
        self._failed = None
        if not anything:
            return None
        worked = Worked(started_ns, time.monotonic_ns())
        self._spent = place, self.spent_ns(place) + worked.ended_ns - started_ns
        return worked

    def spent_ns(self, place: tuple[str, int]) -> int:
        """How long it has worked so far on the message that it worked on last, if it is this one; else 0."""
        return self._spent[1] if self._spent is not None and self._spent[0] == place else 0
