"""What streamseg wants of ROS 2, whoever provides it: topics in, topics out, services, and who else is there.

Two adapters give it: `streamseg.ros2.rclpy_adapter` where a ROS environment is sourced, `streamseg.ros2.dds` elsewhere;
`streamseg.ros2.opening` chooses.
Messages that come are objects with the fields of the ROS message as attributes; messages that go are plain data, in
which what is left out is 0 or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

Choice = Literal["auto", "rclpy", "dds"]
Reliability = Literal["best_effort", "reliable"]
Durability = Literal["volatile", "transient_local"]
Fields = Mapping[str, Any]
Answer = Callable[[Fields], None]
"""Sends the response of a service; from any thread, now or later."""


class Qos(msgspec.Struct, frozen=True, kw_only=True):
    """How a topic is delivered, in ROS's words."""

    reliability: Reliability = "reliable"
    durability: Durability = "volatile"
    depth: int = 10

    def takes(self, offered: Qos) -> bool:
        """Whether a subscription that asks for this hears a publisher that offers that."""
        return not (
            (self.reliability == "reliable" and offered.reliability == "best_effort")
            or (self.durability == "transient_local" and offered.durability == "volatile")
        )


SENSOR = Qos(reliability="best_effort", depth=1)
"""Nobody waits for anybody, and only the newest counts."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who publishes a topic."""

    topic: str
    """As ROS names it, say ``/camera/image_raw``."""
    type: str
    """Say ``sensor_msgs/msg/Image``."""
    type_hash: str | None
    """``RIHS01_…``; None if it does not say."""
    qos: Qos


class Publisher(Protocol):
    """A topic that goes out."""

    @property
    def listeners(self) -> int:
        """How many subscriptions hear it."""

    def publish(self, fields: Fields) -> bool:
        """Send a message; False if it had to be dropped, since nobody is waited for."""


class Subscription(Protocol):
    """A topic that comes in."""

    @property
    def type_hash(self) -> str | None:
        """Of the message as it is known here; None if that is not known."""

    @property
    def malformed(self) -> int:
        """How many messages came that are none of this type."""

    @property
    def lost(self) -> int:
        """How many the middleware says it has lost."""


class Middleware(Protocol):
    """ROS 2, from one process."""

    name: str
    """Which adapter it is, for people."""

    def advertise(self, topic: str, type_name: str, qos: Qos) -> Publisher:
        """Open a topic to publish on."""

    def subscribe(self, topic: str, type_name: str, qos: Qos, on_message: Callable[[Any], None]) -> Subscription:
        """Hear a topic; `on_message` is called from the middleware's own thread, with one message after the other."""

    def serve(self, service: str, type_name: str, on_request: Callable[[Any, Answer], None]) -> None:
        """Answer a service; `on_request` is called from the middleware's own thread.

        Raises:
            UsageError: this ROS environment lacks the package with its type.
        """

    def publishers(self) -> list[Endpoint]:
        """All topics that somebody publishes, also other processes, as far as they have been discovered."""

    def close(self) -> None:
        """Let go of all of it."""


def why_silent(topic: str, type_name: str, type_hash: str | None, qos: Qos, others: list[Endpoint]) -> str:
    """Why nothing comes on a topic, in words.

    Args:
        topic: that is subscribed to.
        type_name: of the subscription.
        type_hash: likewise; None if it is not known.
        qos: likewise.
        others: all who publish anything.
    """
    here = [each for each in others if each.topic == topic]
    if not here:
        alike = sorted({each.topic for each in others if each.type == type_name})
        there = f"topics with {type_name} are: {', '.join(alike[:5])}" if alike else f"no topic has {type_name}"
        return f"nobody publishes {topic}; {there}"
    fitting = [each for each in here if each.type == type_name]
    if not fitting:
        return f"{topic} has {here[0].type}, not {type_name}; choose the topic or the transport that fits"
    if not any(qos.takes(each.qos) for each in fitting):
        offered = fitting[0].qos
        return (
            f"{topic} is published {offered.reliability} and {offered.durability}, which a subscription that is "
            f"{qos.reliability} and {qos.durability} does not hear; ask for what is offered"
        )
    if (note := hash_note(topic, type_hash, fitting)) is not None:
        return note
    return f"{topic} is published, but no message comes"


def hash_note(topic: str, type_hash: str | None, others: list[Endpoint]) -> str | None:
    """What to say where somebody's message of that name is defined otherwise than ours; None if nobody's is."""
    for each in others:
        if each.topic == topic and None not in (type_hash, each.type_hash) and each.type_hash != type_hash:
            return (
                f"the publisher of {topic} has another definition of {each.type} ({each.type_hash}) than this one "
                f"({type_hash}); what can be read of it is taken, the rest is counted as malformed"
            )
    return None


class Once:
    """Says each sentence once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[str] = set()

    def __call__(self, sentence: str) -> None:
        """Say it, unless it has been said."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)
