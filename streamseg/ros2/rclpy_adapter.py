"""ROS 2 through rclpy, where a ROS environment is sourced: a ROS node like any other, with the RMW chosen there.

Written from rclpy's documentation (Humble to Kilted): where streamseg is made and tested there is no ROS.
"""

from __future__ import annotations

import array
import importlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from streamseg.errors import RunError, UsageError
from streamseg.ros2.middleware import Answer, Endpoint, Fields, Qos

log = logging.getLogger(__name__)

_LEAVE_WITHIN_S = 5.0
_THREADS = 8


class RclpyMiddleware:
    """A ROS node in a context of its own, and a thread that spins it.

    Raises:
        UsageError: no ROS environment is sourced.
        RunError: the node cannot be made.
    """

    def __init__(self, node_name: str, namespace: str = "/") -> None:
        try:
            self._rclpy = importlib.import_module("rclpy")
            executors = importlib.import_module("rclpy.executors")
            self._callback_groups = importlib.import_module("rclpy.callback_groups")
            self._qos = importlib.import_module("rclpy.qos")
        except ImportError as error:
            raise UsageError(
                f"expected rclpy, got: {error}; source a ROS environment (source /opt/ros/jazzy/setup.bash) with the "
                f"Python that streamseg is installed for, or choose the middleware dds"
            ) from error
        self.name = "rclpy"
        self._context = self._rclpy.context.Context()
        try:
            # Names have been remapped already, and Ctrl-C is streamseg's own business.
            self._rclpy.init(context=self._context, args=[])
            self._node = self._rclpy.create_node(
                node_name, namespace=namespace, context=self._context, use_global_arguments=False
            )
        except Exception as error:
            raise RunError(f"expected to make the ROS node {node_name!r}, got: {error}; check the ROS setup") from error
        self._executor = executors.MultiThreadedExecutor(_THREADS, context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, name="rclpy-spin", daemon=True)
        self._thread.start()

    def advertise(self, topic: str, type_name: str, qos: Qos) -> RclpyPublisher:
        """As `Middleware.advertise`."""
        kind = _load_type(type_name)
        return RclpyPublisher(kind, self._node.create_publisher(kind, topic, self._profile(qos)))

    def subscribe(self, topic: str, type_name: str, qos: Qos, on_message: Callable[[Any], None]) -> RclpySubscription:
        """As `Middleware.subscribe`."""

        def callback(message: Any) -> None:
            try:
                on_message(message)
            except Exception:
                # Raised on, it would end the thread that spins.
                log.exception("a message came to nothing")

        self._node.create_subscription(_load_type(type_name), topic, callback, self._profile(qos))
        return RclpySubscription()

    def serve(self, service: str, type_name: str, on_request: Callable[[Any, Answer], None]) -> None:
        """As `Middleware.serve`."""
        kind = _load_type(type_name)

        def callback(request: Any, response: Any) -> Any:
            # An answer may take as long as a frame does to come. It keeps one of the threads waiting, not the others.
            answered: Future[Fields] = Future()
            try:
                on_request(request, answered.set_result)
                fill(response, answered.result())
            except Exception:
                log.exception("a request for %s came to nothing", service)
            return response

        group = self._callback_groups.ReentrantCallbackGroup()
        self._node.create_service(kind, service, callback, callback_group=group)

    def publishers(self) -> list[Endpoint]:
        """As `Middleware.publishers`."""
        found = []
        for topic, _ in self._node.get_topic_names_and_types():
            for info in self._node.get_publishers_info_by_topic(topic):
                profile = info.qos_profile
                reliable = profile.reliability != self._qos.ReliabilityPolicy.BEST_EFFORT
                kept = profile.durability == self._qos.DurabilityPolicy.TRANSIENT_LOCAL
                said = getattr(info, "topic_type_hash", None)  # from ROS 2 Iron on
                found.append(
                    Endpoint(
                        topic=topic,
                        type=info.topic_type,
                        type_hash=None if said is None else str(said),
                        qos=Qos(
                            reliability="reliable" if reliable else "best_effort",
                            durability="transient_local" if kept else "volatile",
                        ),
                    )
                )
        return found

    def close(self) -> None:
        """As `Middleware.close`."""
        self._executor.shutdown(timeout_sec=_LEAVE_WITHIN_S)
        self._thread.join(_LEAVE_WITHIN_S)
        self._node.destroy_node()
        self._rclpy.shutdown(context=self._context)

    def _profile(self, qos: Qos) -> Any:
        policy = self._qos
        return policy.QoSProfile(
            history=policy.HistoryPolicy.KEEP_LAST,
            depth=qos.depth,
            reliability=policy.ReliabilityPolicy[qos.reliability.upper()],
            durability=policy.DurabilityPolicy[qos.durability.upper()],
        )


class RclpyPublisher:
    """As `Publisher`."""

    def __init__(self, kind: Any, publisher: Any) -> None:
        self._kind = kind
        self._publisher = publisher

    @property
    def listeners(self) -> int:
        """As `Publisher.listeners`."""
        return int(self._publisher.get_subscription_count())

    def publish(self, fields: Fields) -> bool:
        """As `Publisher.publish`."""
        message = self._kind()
        fill(message, fields)
        self._publisher.publish(message)
        return True


class RclpySubscription:
    """As `Subscription`; rclpy tells nothing of hashes and losses here, and takes no message that is malformed."""

    type_hash: str | None = None
    malformed = 0
    lost = 0


def fill(message: Any, fields: Mapping[str, Any]) -> None:
    """Set the fields of a ROS message from plain data; what is left out stays as ROS makes it."""
    for name, value in fields.items():
        current = getattr(message, name)
        if isinstance(value, Mapping):
            fill(current, value)
        elif isinstance(current, array.array):
            # rclpy looks at every value of anything else, which takes seconds for a picture.
            setattr(message, name, array.array(current.typecode, memoryview(value).cast("B").tobytes()))
        elif value and isinstance(value, list) and isinstance(value[0], Mapping):
            setattr(message, name, [_filled(_element_type(message, name), each) for each in value])
        else:
            # What ROS calls a byte is bytes of length one there.
            setattr(message, name, bytes([value]) if isinstance(current, bytes) else value)


def _filled(kind: Any, fields: Mapping[str, Any]) -> Any:
    message = kind()
    fill(message, fields)
    return message


def _element_type(message: Any, name: str) -> Any:
    """The class of the messages in a sequence: ``sequence<vision_msgs/Detection2D>`` says which."""
    said = message.get_fields_and_field_types()[name]
    package, _, short = said.partition("<")[2].rstrip(">").partition(",")[0].partition("/")
    return _load_type(f"{package}/msg/{short}")


def _load_type(type_name: str) -> Any:
    package, kind, short = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), short)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"expected the ROS package {package!r} for {type_name}, got: {error}; install it "
            f"(apt install ros-$ROS_DISTRO-{package.replace('_', '-')}) and source the environment anew"
        ) from error
