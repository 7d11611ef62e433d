"""What people on ROS ask for, as prompts: requests with the fields of Isaac ROS Segment Anything 2, and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamseg.errors import PromptError
from streamseg.masks.label_map import MAX_ID
from streamseg.types import MASK_URL
from streamseg.yaml_files import parse_yaml

YAML_MAX_CHARACTERS = 1 << 16
"""Of a prompt in YAML; longer ones, such as with a mask, have to be JSON."""

Prompt = dict[str, Any]


def prompt_of_text(text: str) -> Prompt:
    """A prompt as in a prompts file, in JSON or YAML, say ``{id: 3, box: [10, 20, 30, 40]}``.

    Raises:
        PromptError: it is neither, no mapping, or names a file of this machine as its mask.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = _yaml(text)
    if not isinstance(found, Mapping):
        raise PromptError(f"expected a prompt such as {{id: 3, box: [10, 20, 30, 40]}}, got {type(found).__name__}")
    mask = found.get("mask")
    # Whoever reaches the topic may not have files of this machine read.
    if mask is not None and not (isinstance(mask, str) and mask.startswith(MASK_URL)):
        raise PromptError(f"expected the mask of a prompt as a PNG in a data URL ({MASK_URL}…), got something else")
    return {str(name): value for name, value in found.items() if name != "origin"}


def _yaml(text: str) -> Any:
    if len(text) > YAML_MAX_CHARACTERS:
        raise PromptError(f"expected a prompt in JSON, or of at most {YAML_MAX_CHARACTERS} characters in YAML")
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise PromptError(f"expected a prompt in JSON or YAML, but {error}") from error


def prompts_of_request(request: Any) -> dict[str, Prompt]:
    """The objects of an ``AddObjects`` request: name -> box, clicks, or both, as a prompt without an id.

    Args:
        request: ``bbox_object_ids`` and ``bbox_coords`` (center and size in pixels); ``point_object_ids``,
            ``point_coords`` and ``point_labels`` (1 on the object, 0 on what it is not; none at all: all are on it).

    Raises:
        PromptError: lists of different lengths, a name twice, or nothing.
    """
    boxes, box_names = list(request.bbox_coords), list(request.bbox_object_ids)
    points, names, labels = list(request.point_coords), list(request.point_object_ids), list(request.point_labels)
    if len(boxes) != len(box_names):
        raise PromptError(f"expected a name for each box, got {len(box_names)} bbox_object_ids, {len(boxes)} boxes")
    if len(points) != len(names) or len(labels) not in (0, len(points)):
        raise PromptError(
            f"expected a name and a label for each point, got {len(names)} point_object_ids and {len(labels)} "
            f"point_labels for {len(points)} points"
        )
    if len(set(box_names)) != len(box_names):
        raise PromptError("expected each name once among bbox_object_ids, got one twice")
    found: dict[str, Prompt] = {name: {"box": _corners(box)} for name, box in zip(box_names, boxes, strict=True)}
    for name, point, label in zip(names, points, labels or [1] * len(points), strict=True):
        if label not in (0, 1):
            raise PromptError(f"expected point_labels of 1 (on the object) or 0 (not on it), got {label}")
        clicks = found.setdefault(name, {}).setdefault("points" if label else "negative", [])
        clicks.append([float(point.x), float(point.y)])
    if not found:
        raise PromptError("expected an object with a box or a point, got a request without any")
    if "" in found:
        raise PromptError("expected a name for each object, got an empty one")
    return found


def _corners(box: Any) -> list[float]:
    x, y, width, height = box.center.position.x, box.center.position.y, box.size_x, box.size_y
    if box.center.theta:
        raise PromptError(f"expected a box that is upright, got one turned by {box.center.theta:g} rad")
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def id_in(name: str) -> int | None:
    """The number of an object that its name is, if it is one that an object may have."""
    plain = name.isascii() and name.isdecimal() and len(name) <= len(str(MAX_ID))
    return int(name) if plain and 1 <= int(name) <= MAX_ID else None
