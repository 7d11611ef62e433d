"""What the files of a bag have in common: topics, and where each message of one lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

MESSAGE_MAX_BYTES = 1 << 30
"""Of a message, or of a chunk of them; one that says it has more is not read."""


class DamagedMessageError(Exception):
    """A message cannot be read; says why, in words that go into a sentence."""


@dataclass(frozen=True)
class Topic:
    """Messages of one kind under one name."""

    name: str
    type: str
    """Say ``sensor_msgs/msg/Image`` or ``foxglove.CompressedVideo``."""
    encoding: str
    """Of its messages: ``cdr``, ``protobuf``, ``json``, …"""
    definition: bytes = b""
    """Of its type, as the bag has it; empty if it has none."""


class Entry(NamedTuple):
    """Where a message is."""

    log_ns: int
    """When it was recorded, nanoseconds since the epoch."""
    place: tuple[int, int]
    """As the file understands it; messages of the same time are in this order."""


class BagFile(Protocol):
    """One file of a bag."""

    topics: list[Topic]
    notes: list[str]
    """What is wrong with it, one sentence each."""

    def entries(self, topic: Topic) -> list[Entry]:
        """All messages of a topic, by their times."""

    def read(self, place: tuple[int, int]) -> bytes | memoryview:
        """The bytes of a message.

        Raises:
            DamagedMessageError: they are not there in full, or damaged.
        """

    def close(self) -> None:
        """Let go of it."""
