"""Frames from a ROS 2 topic of images."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import cv2
import msgspec
import numpy as np

from streamseg.errors import WireError
from streamseg.mailbox import Mailbox
from streamseg.masks.image_files import PIXELS_MAX
from streamseg.messages import Frame, SourceStatus, Stamp
from streamseg.node import Captured, Option, Source
from streamseg.robotics import ros_image, ros_results
from streamseg.ros2.middleware import (
    Durability,
    Middleware,
    Once,
    Publisher,
    Qos,
    Reliability,
    Subscription,
    hash_note,
    why_silent,
)
from streamseg_nodes.ros2.ros_config import Depth, RosConfig, absolute, open_for

_TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}
_TIME_BASE = (1, 1_000_000_000)
_LOOK_EVERY_S = 0.25
_DIAGNOSTICS_EVERY_S = 1.0
_MOST_SAID = 20


class _Came(NamedTuple):
    """A message, and when it came."""

    message: Any
    number: int
    arrived_ns: int
    arrived_monotonic_ns: int


class Ros2Image(Source[Frame]):
    """Takes the newest image of a ROS 2 topic, raw or compressed, and hands it on as RGB.

    The stamp of the header is kept to the nanosecond: it is the capture time, by the sender's clock, and the
    presentation time. Images that cannot be taken are counted and said once. Every frame has the size of the first:
    should the topic change its size, images are scaled to it. A topic that is silent is said to be lost, with the
    reason, and is heard again when it is back.
    """

    class Config(RosConfig, frozen=True):
        """Options of ros2_image."""

        topic: Annotated[str, Option("topic of the images", flag="--image", metavar="TOPIC")] = "image"
        transport: Annotated[
            Literal["auto", "raw", "compressed"],
            Option("raw images, or compressed ones; auto goes by the end of the topic's name", flag="--transport"),
        ] = "auto"
        reliability: Annotated[
            Reliability, Option("best_effort never waits; reliable asks for what was lost", flag="--reliability")
        ] = "best_effort"
        durability: Annotated[
            Durability, Option("whether images from before the start are asked for", flag="--durability", rare=True)
        ] = "volatile"
        depth: Annotated[Depth, Option("how many images wait at most", flag="--depth", metavar="N", rare=True)] = 1
        max_age_s: Annotated[
            float,
            msgspec.Meta(ge=0.05, le=3600),
            Option("drop an image that waits for longer than this since it came", flag="--max-age-s", metavar="S"),
        ] = 1.0
        silent_s: Annotated[
            float,
            msgspec.Meta(ge=0.1, le=3600),
            Option("so long without an image counts as a lost source", flag="--silent-s", metavar="S", rare=True),
        ] = 2.0
        max_pixels: Annotated[
            int,
            msgspec.Meta(ge=1),
            Option("a compressed image that has more is not decoded", flag="--max-pixels", rare=True),
        ] = PIXELS_MAX
        node_name: Annotated[str, Option("of the ROS node")] = "streamseg_image"

    resumable = True

    config: Config
    _middleware: Middleware | None = None
    _subscription: Subscription | None = None
    _diagnostics: Publisher | None = None
    _watch: threading.Thread | None = None
    _size: tuple[int, int] | None = None
    _scaled_from: tuple[int, int] | None = None
    _lost_since_ns: int | None = None

    @property
    def policy(self) -> Literal["every-frame", "freshest"]:
        """Freshest: nobody waits."""
        return "freshest"

    @property
    def dropped(self) -> int:
        """Images that a newer one took the place of, and those that could not be taken."""
        return sum(self.dropped_by.values())

    @property
    def dropped_by(self) -> Mapping[str, int]:
        """The same by the reason."""
        return {"replaced": self._box.dropped, "refused": self._bad.total()}

    def counters(self) -> dict[str, int]:
        """Images that came, and those that were lost on the way or malformed."""
        drops = self._drops()
        return {"received": self._received, "lost": drops["lost"], "malformed": drops["malformed"]}

    def setup(self) -> None:
        """Subscribe.

        Raises:
            UsageError: what is needed is not installed; says the command that installs it.
            RunError: the middleware cannot be opened.
        """
        config = self.config
        self._topic = absolute(config.topic, config.namespace)
        self._compressed = config.transport == "compressed" or (
            config.transport == "auto" and self._topic.endswith("/compressed")
        )
        self._type = _TYPES["compressed" if self._compressed else "raw"]
        self._qos = Qos(reliability=config.reliability, durability=config.durability, depth=config.depth)
        position = None if self.context.job is None else self.context.job.positions.get(self.context.name)
        self._next_index = 0 if position is None else position.next_index
        self._box: Mailbox[_Came] = Mailbox("freshest")
        self._bad: Counter[str] = Counter()
        self._notes: list[str] = []
        self._once = Once(self._note)
        self._stopping = threading.Event()
        self._changing = threading.Lock()
        self._last_monotonic_ns = time.monotonic_ns()
        self._received = 0
        middleware = open_for(config, config.node_name)
        self._middleware = middleware
        self._subscription = middleware.subscribe(self._topic, self._type, self._qos, self._come)
        if config.diagnostics:
            self._diagnostics = middleware.advertise(config.diagnostics, "diagnostic_msgs/msg/DiagnosticArray", Qos())
        self._watch = threading.Thread(target=self._look_after, name="ros2-watch", daemon=True)
        self._watch.start()

    def describe(self) -> dict[str, Any]:
        """The topic, through what it comes, and what came of it so far."""
        width, height = self._size or (None, None)
        return {
            "source": self._topic,
            "kind": "ros2",
            "type": self._type,
            "middleware": None if self._middleware is None else self._middleware.name,
            "width": width,
            "height": height,
            "live": True,
            "received": self._received,
            "notes": list(self._notes),
            "dropped": self._drops(),
        }

    def produce(self) -> Iterator[Captured[Frame]]:
        """The newest image, again and again; its pixels are converted when it enters."""
        while (came := self._box.wait()) is not None:
            try:
                size = self._checked(came.message)
            except WireError as error:
                self._refuse(error)
                continue
            yield self._captured(came, size)

    def stop(self) -> None:
        """End `produce`."""
        self._stopping.set()
        self._box.close()

    def close(self) -> None:
        """Leave the topic."""
        self.stop()
        if self._watch is not None:
            self._watch.join()
        if self._middleware is not None:
            self._middleware.close()

    def _come(self, message: Any) -> None:
        came = _Came(message, self._next_index, time.time_ns(), time.monotonic_ns())
        self._next_index += 1
        self._received += 1
        with self._changing:
            self._last_monotonic_ns = came.arrived_monotonic_ns
            lost, self._lost_since_ns = self._lost_since_ns, None
        if lost is not None:
            self.context.tell_status(SourceStatus(self.context.name, "back", "", lost))
            self.context.log.warning("%s: images come again", self._topic)
        self._box.put(came)

    def _checked(self, message: Any) -> tuple[int, int]:
        """(width, height) of an image that can be taken.

        Raises:
            WireError: it cannot.
        """
        if self._compressed:
            data = np.asarray(message.data, np.uint8)
            height, width = ros_image.check_compressed(message.format, data, self.config.max_pixels)
            return width, height
        ros_image.check_image(message.encoding, message.height, message.width, message.step, len(message.data))
        return int(message.width), int(message.height)

    def _refuse(self, error: WireError) -> None:
        sentence = str(error)
        self._bad["image"] += 1
        if len(self._notes) < _MOST_SAID:
            self._once(f"{self._topic}: {sentence}; such images are counted and left out")

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)
        self.context.log.warning("%s", sentence)

    def _captured(self, came: _Came, size: tuple[int, int]) -> Captured[Frame]:
        self._size = self._size or size
        scaled = None if size == self._size else size
        if scaled != self._scaled_from:
            to = "" if scaled is None else f"; they are scaled to {self._size[0]}x{self._size[1]}, masks back again"
            self._note(f"{self._topic}: from image {came.number} on images are {size[0]}x{size[1]}{to}")
        self._scaled_from = scaled
        head = came.message.header
        stamp_ns = ros_results.stamp_ns(head)
        return Captured(
            came.number,
            stamp_ns or None,
            _TIME_BASE,
            stamp_ns or came.arrived_ns,
            partial(self._make, came.message),
            captured_clock="sender" if stamp_ns else "arrival",
            arrived_ns=came.arrived_ns if stamp_ns else None,
            arrived_monotonic_ns=came.arrived_monotonic_ns,
            good_until_monotonic_ns=came.arrived_monotonic_ns + round(self.config.max_age_s * 1e9),
            scaled_from=scaled,
            frame_id=str(head.frame_id),
        )

    def _make(self, message: Any, stamp: Stamp) -> Frame:
        if self._size is None:
            raise RuntimeError("an image enters that was not looked at")
        width, height = self._size
        image_rgb = self.context.empty(stamp, (height, width, 3), np.uint8)
        fits = stamp.scaled_from is None
        if self._compressed:
            pixels = ros_image.compressed_to_rgb(message.format, np.asarray(message.data), self.config.max_pixels)
        else:
            pixels = ros_image.image_to_rgb(
                message.encoding,
                message.height,
                message.width,
                message.step,
                message.is_bigendian,
                message.data,
                image_rgb if fits else None,
            )
        if pixels.shape[:2] != (height, width):
            cv2.resize(pixels, (width, height), dst=image_rgb, interpolation=cv2.INTER_AREA)
        elif pixels is not image_rgb:
            np.copyto(image_rgb, pixels)
        return Frame(stamp, image_rgb)

    def _look_after(self) -> None:
        """Say that the topic is silent, and how it is going."""
        said_s = time.monotonic()
        while not self._stopping.wait(_LOOK_EVERY_S):
            silent_ns = time.monotonic_ns() - self._last_monotonic_ns
            if silent_ns > self.config.silent_s * 1e9 and self._lost_since_ns is None:
                self._say_lost(time.time_ns() - silent_ns)
            if time.monotonic() - said_s >= _DIAGNOSTICS_EVERY_S:
                said_s = time.monotonic()
                self._say_hash()
                self._say_how_it_goes()

    def _say_lost(self, since_ns: int) -> None:
        if self._middleware is None or self._subscription is None:
            return
        others = self._middleware.publishers()
        reason = why_silent(self._topic, self._type, self._subscription.type_hash, self._qos, others)
        with self._changing:
            if time.monotonic_ns() - self._last_monotonic_ns <= self.config.silent_s * 1e9:
                return
            self._lost_since_ns = since_ns
        self.context.tell_status(SourceStatus(self.context.name, "lost", reason, since_ns))
        self.context.log.warning("no image for %g s: %s; waiting for it", self.config.silent_s, reason)

    def _say_hash(self) -> None:
        if self._middleware is None or self._subscription is None or not self._received:
            return
        note = hash_note(self._topic, self._subscription.type_hash, self._middleware.publishers())
        if note is not None:
            self._once(note)

    def _say_how_it_goes(self) -> None:
        if self._diagnostics is None:
            return
        lost, bad = self._lost_since_ns is not None, self._bad.total()
        level: ros_results.Level = "stale" if lost else "warn" if bad else "ok"
        text = f"{self._topic} is silent" if lost else f"{bad} images could not be taken" if bad else "images come"
        values = {"topic": self._topic, "received": self._received, **self._drops()}
        fields = ros_results.diagnostics(time.time_ns(), f"{self.config.node_name}: image", level, text, values)
        self._diagnostics.publish(fields)

    def _drops(self) -> dict[str, int]:
        """Images that did not become frames: replaced by a newer one, refused, no such message, lost on the way."""
        subscription = self._subscription
        return {
            "replaced": self._box.dropped,
            "refused": self._bad.total(),
            "malformed": 0 if subscription is None else subscription.malformed,
            "lost": 0 if subscription is None else subscription.lost,
        }
