"""What of ROS 2 takes bytes from a stranger: images, compressed ones, prompts as text."""

from __future__ import annotations

import cv2
import numpy as np
from fuzz.base import PIXELS_MAX, Target

from streamseg.errors import PromptError, WireError
from streamseg.robotics import ros_image, ros_prompts
from streamseg.ros2 import types

_IMAGE = "sensor_msgs/msg/Image"


def image(data: bytes) -> None:
    """A message in CDR, made RGB."""
    try:
        m = types.decode(_IMAGE, data)
    except ValueError:
        return
    try:
        found = ros_image.image_to_rgb(m.encoding, m.height, m.width, m.step, m.is_bigendian, m.data)
    except WireError:
        return
    assert found.shape == (m.height, m.width, 3)


def _image_seeds() -> list[bytes]:
    picture = {"height": 4, "width": 4, "data": bytes(64)}
    return [
        types.encode(_IMAGE, {**picture, "encoding": name, "step": 16})
        for name in ("rgb8", "bgra8", "mono16", "bayer_gbrg8", "yuv422", "32FC1")
    ]


def compressed(data: bytes) -> None:
    """The file in a compressed image."""
    try:
        size = ros_image.check_compressed("jpeg", data, PIXELS_MAX)
        found = ros_image.compressed_to_rgb("jpeg", data, PIXELS_MAX)
    except WireError:
        return
    assert found.shape == (*size, 3)


def _compressed_seeds() -> list[bytes]:
    picture = np.zeros((6, 5, 3), np.uint8)
    return [cv2.imencode(ending, picture)[1].tobytes() for ending in (".jpg", ".png")]


def prompt(data: bytes) -> None:
    """A prompt as text."""
    try:
        found = ros_prompts.prompt_of_text(data.decode("utf-8", "replace"))
    except PromptError:
        return
    assert all(isinstance(name, str) for name in found)


def _prompt_seeds() -> list[bytes]:
    return [b"{id: 3, box: [1, 2, 3, 4]}", b'{"label": "cup", "points": [[1, 2]]}', b"{id: 1, remove: true}"]


ROS_TARGETS = {
    "ros-image": Target(image, _image_seeds, 512),
    "ros-file": Target(compressed, _compressed_seeds),
    "ros-prompt": Target(prompt, _prompt_seeds, 512),
}
