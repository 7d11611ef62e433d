"""The graph that the command and the library build for one source: decode, embed, propagate, cleanup, sinks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from streamseg.errors import GraphError, PromptError, nearest
from streamseg.graph import config, registry
from streamseg.graph.config import Graph
from streamseg.messages import Detected
from streamseg.node import ports

Focus = Literal["auto", "on", "off"]
Tracker = Literal["default", "naive"]
Prompt = dict[str, Any]
"""One object, as the options of propagate have it: id, label, frame, box, points, negative, mask."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What to run the standard graph on, and how. None leaves a choice to the node."""

    source: str
    prompts: list[Prompt] | str
    """Or a file with them."""
    everything: dict[str, Any] | None = None
    """Options for finding all objects of one frame; None does not."""
    detect: str | None = None
    """A detector that finds objects: its name, or ``package.module:Class``; None has none."""
    model: str | None = None
    checkpoint: str | None = None
    device: str | None = None
    engine: str | None = None
    focus: Focus = "auto"
    tracker: Tracker = "default"
    live: bool | None = None
    max_frames: int | None = None
    output: str | None = None
    """Folder for the record node; None records nothing."""
    overlay: bool = True
    overwrite: bool = False
    publish: str | None = None
    """Where to publish results, such as ``tcp://127.0.0.1:5600``; None publishes nothing."""
    publish_key: str | None = None
    """This machine's secret key file, for an address that other machines reach."""
    publish_allow: str | None = None
    """Public key file of the one who may listen, or a folder of such files."""


def standard_graph(settings: Settings) -> Graph:
    """decode -> embed -> propagate -> cleanup -> record and publish, with the back-edge of focus unless it is off."""
    weights = _given(
        model=settings.model, checkpoint=settings.checkpoint, device=settings.device, engine=settings.engine
    )
    tracker = None if settings.tracker == "default" else settings.tracker
    # None at all is fine where others find objects; an empty list waits for some to be given on the way.
    found_by_others = settings.everything is not None or settings.detect is not None
    prompts = settings.prompts or (None if found_by_others else [])
    nodes: dict[str, dict[str, Any]] = {
        "decode": _given(source=settings.source, live=settings.live, max_frames=settings.max_frames),
        "embed": weights | _given(focus=None if settings.focus == "auto" else settings.focus),
        "propagate": {
            **weights,
            **_given(prompts=prompts, everything=settings.everything, tracker=tracker),
            **({} if settings.detect is None else {"detections": {}}),
        },
        "cleanup": {},
    }
    links = ["decode -> embed -> propagate -> cleanup"]
    uses = {}
    if settings.detect is not None:
        _check_detector(settings.detect)
        nodes["detect"], uses["detect"] = {}, settings.detect
        links = ["decode -> detect -> embed -> propagate -> cleanup"]
    if settings.output is not None:
        nodes["record"] = {
            "output": settings.output,
            **_given(overlay=None if settings.overlay else False, overwrite=settings.overwrite or None),
        }
        links.append("cleanup -> record")
    if settings.publish is not None:
        keys = _given(key=settings.publish_key, allow=settings.publish_allow)
        nodes["publish"] = {"bind": settings.publish, **keys}
        links.append("cleanup -> publish")
    return config.parse(
        {
            "version": 1,
            "nodes": {name: {"use": uses.get(name, ""), "options": options} for name, options in nodes.items()},
            "links": links,
            "feedback": [] if settings.focus == "off" else ["propagate -> embed"],
        }
    )


def _check_detector(use: str) -> None:
    if ports(registry.load(use)).gives is not Detected:
        found = []
        for name in registry.entry_points():
            with contextlib.suppress(GraphError):
                found += [name] if ports(registry.load(name)).gives is Detected else []
        raise GraphError(
            f"{use!r} is not a detector; {nearest(use, found)} (one of your own is 'package.module:Class')"
        )


def make_prompts(
    boxes: Sequence[Sequence[float]],
    points: Sequence[Sequence[float]] = (),
    negatives: Sequence[Sequence[float]] = (),
    masks: Sequence[str] = (),
    *,
    frame: int = 0,
    choice: int | None = None,
) -> list[Prompt]:
    """Prompts from plain values: each box or mask is an object of its own; points make up one object or refine a box.

    Args:
        boxes: (x0, y0, x1, y1) each, in pixels of the frame, right and bottom edges exclusive.
        points: (x, y) each, on the object.
        negatives: (x, y) each, on what is not the object.
        masks: paths of pictures of the frame's size, not 0 on the object.
        frame: index of the frame that they are about.
        choice: which of the things that points alone may mean, 0 to 2, the largest first.

    Raises:
        PromptError: nothing to follow, numbers that are not finite or too few, a box without area, or points
            beside several boxes or masks, so that nobody knows which object they belong to.
    """
    if not boxes and not points and not masks:
        extra = " (points on what is not the object are not enough)" if negatives else ""
        raise PromptError(
            f"expected to be told what to follow, got neither a box nor a point{extra}; "
            f"give --box X0,Y0,X1,Y1 (boxes=[(x0, y0, x1, y1)]), --point X,Y (points=[(x, y)]), --prompts FILE, or "
            f"--everything (everything=True) or --detect NAME to have objects found"
        )
    if (len(boxes) > 1 or masks) and (points or negatives):
        raise PromptError(
            f"points beside {len(boxes)} boxes and {len(masks)} masks could belong to any of them; write a prompts "
            f"file (--prompts) with an entry for each object: - {{id: 1, box: [X0, Y0, X1, Y1], points: [[X, Y]]}}"
        )
    shared: Prompt = _given(frame=frame or None, choice=choice)
    clicks = {"points": [_point(p) for p in points], "negative": [_point(p) for p in negatives]}
    shared |= {name: found for name, found in clicks.items() if found}
    given: list[Prompt] = [{"box": _box(box)} for box in boxes]
    given += [{"mask": mask} for mask in masks]
    return [{"id": number, **each, **shared} for number, each in enumerate(given or [{}], 1)]


def _box(values: Sequence[float]) -> list[float]:
    x0, y0, x1, y1 = _numbers(values, 4, "a box is four numbers x0, y0, x1, y1")
    if x1 <= x0 or y1 <= y0:
        raise PromptError(
            f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) has no area: expected x0 < x1 and y0 < y1; give the top left "
            f"corner first, then the bottom right one (not x, y, width, height)"
        )
    return [x0, y0, x1, y1]


def _point(values: Sequence[float]) -> list[float]:
    return _numbers(values, 2, "a point is two numbers x, y")


def _numbers(values: Sequence[float], count: int, expected: str) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise PromptError(f"{expected}, all finite, got {len(numbers)}: {', '.join(f'{n:g}' for n in numbers)}")
    return numbers


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
