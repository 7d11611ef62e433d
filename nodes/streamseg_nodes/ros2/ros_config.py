"""Options that the nodes for ROS 2 share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from streamseg.node import NodeConfig, Option
from streamseg.ros2.middleware import Choice, Middleware
from streamseg.ros2.opening import open_middleware

Depth = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class RosConfig(NodeConfig, frozen=True):
    """Options that the nodes for ROS 2 share; `open_for` uses them."""

    middleware: Annotated[
        Choice,
        Option(
            "rclpy where a ROS environment is sourced, else DDS without ROS; or the one to take",
            flag="--middleware",
            rare=True,
        ),
    ] = "auto"
    namespace: Annotated[str, Option("of the ROS node")] = "/"
    diagnostics: Annotated[
        str, Option("topic that says once a second how it is going; none if empty", flag="--diagnostics", rare=True)
    ] = "/diagnostics"


def open_for(config: RosConfig, node_name: str) -> Middleware:
    """ROS 2 for a node.

    Raises:
        UsageError: what is needed is not installed; says the command that installs it.
        RunError: it cannot be opened.
    """
    return open_middleware(config.middleware, node_name, config.namespace)


def absolute(topic: str, namespace: str) -> str:
    """The full name of a topic."""
    return topic if topic.startswith("/") else f"{namespace.rstrip('/')}/{topic}"
