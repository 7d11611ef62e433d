"""Which way to ROS 2 is taken: rclpy where it is, else DDS."""

from __future__ import annotations

import importlib.util

from streamseg.ros2.dds import DdsMiddleware
from streamseg.ros2.middleware import Choice, Middleware
from streamseg.ros2.rclpy_adapter import RclpyMiddleware


def open_middleware(choice: Choice, node_name: str, namespace: str = "/") -> Middleware:
    """ROS 2 through rclpy where a ROS environment is sourced, else over DDS.

    Args:
        choice: ``auto``, or the one to take.
        node_name: of the ROS node.
        namespace: it is in.

    Raises:
        UsageError: what is needed is not installed; says the command that installs it.
        RunError: it cannot be opened.
    """
    if choice == "rclpy" or (choice == "auto" and has_rclpy()):
        return RclpyMiddleware(node_name, namespace)
    return DdsMiddleware()


def has_rclpy() -> bool:
    """Whether a ROS environment is sourced."""
    return importlib.util.find_spec("rclpy") is not None
