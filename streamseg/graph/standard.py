"""The graph that the command and the library build for one source: decode, embed, propagate, cleanup, sinks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from streamseg.errors import GraphError, PromptError, UsageError, nearest
from streamseg.graph import config, registry
from streamseg.graph.config import Graph
from streamseg.graph.options import DETECTORS, SINKS, NamedOption, check_names, named_options, with_options
from streamseg.messages import Detected
from streamseg.node import ports

_OF_ONE: dict[tuple[str, ...], str] = {
    ("onnx_detector",): "--detect FILE.onnx",
    ("text_detector",): "--text WORDS",
}
"""What brings the detector that alone has an option."""

PlainPrompt = dict[str, Any]
"""An `ObjectPrompt` as plain data, the way graph files and callers write it."""


def standard_graph(
    source: str,
    prompts: list[PlainPrompt] | str,
    *,
    everything: dict[str, Any] | None = None,
    detect: str | None = None,
    **options: Any,
) -> Graph:
    """decode -> embed -> propagate -> cleanup -> its sinks, with the back-edge of focus unless off.

    Args:
        source: path, camera number or URL.
        prompts: or a file with them.
        everything: options for finding all objects of one frame; None does not.
        detect: a detector that finds objects: its name, an ONNX file, or ``package.module:Class``; None has none.
        options: of the nodes, by the names that `streamseg.graph.options` gives them. With that of a sink (`SINKS`),
            say ``output`` or ``publish``, that node is there.

    Raises:
        UsageError: an unknown option, or one of a node that is not there.
    """
    known = named_options()
    check_names(options, known)
    # None at all is fine where others find objects; an empty list waits for some to be given on the way.
    found_by_others = everything is not None or detect is not None
    nodes: dict[str, dict[str, Any]] = {
        "decode": {"options": {"source": source}},
        "embed": {},
        "propagate": {
            "options": {
                **_given(prompts=prompts or (None if found_by_others else []), everything=everything),
                **({} if detect is None else {"detections": {}}),
            }
        },
        "cleanup": {},
    }
    links = ["decode -> embed -> propagate -> cleanup"]
    if detect is not None:
        nodes["detect"] = detector_node(detect)
        links = ["decode -> detect -> embed -> propagate -> cleanup"]
    for sink, key in SINKS.items():
        if options.get(key) is not None:
            nodes[sink] = {}
            links.append(f"cleanup -> {sink}")
        else:
            _check_unused(options, sink, known, known[key])
    check_detector_options(options, known, detect)
    feedback = [] if options.get("focus") == "off" else ["propagate -> embed"]
    return with_options(config.parse({"nodes": nodes, "links": links, "feedback": feedback}), options, known)


def _check_unused(options: Mapping[str, Any], sink: str, known: Mapping[str, NamedOption], key: NamedOption) -> None:
    """Refuse options of a node that is not there."""
    unused = [known[name] for name, value in options.items() if value is not None and sink in known[name].nodes]
    if unused:
        raise UsageError(
            f"expected {key.flag} {key.about.metavar} with {unused[0].flag}, since without it there is no {sink} node; "
            f"{key.flag}: {key.about.help}"
        )


def detector_node(detect: str) -> dict[str, Any]:
    """The node of a detector, as graph files have it.

    Args:
        detect: its name, an ONNX file, or ``package.module:Class``.

    Raises:
        GraphError: it is no detector.
    """
    if detect.lower().endswith(".onnx"):
        return {"use": "onnx_detector", "options": {"file": detect}}
    _check_detector(detect)
    return {"use": detect}


def check_detector_options(options: Mapping[str, Any], known: Mapping[str, NamedOption], detect: str | None) -> None:
    """Refuse options of a detector that is not there.

    Raises:
        UsageError: one was given.
    """
    use = None if detect is None else detector_node(detect)["use"]
    for option in (known[name] for name, value in options.items() if value is not None):
        if set(option.nodes) <= set(DETECTORS) and use not in option.nodes:
            fitting = _OF_ONE.get(option.nodes, "--detect FILE.onnx, --detect motion or --discover N")
            raise UsageError(
                f"expected {fitting} with {option.flag}, which sets an option of that detector; for one of "
                f"your own it is --set detect.OPTION=VALUE"
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
) -> list[PlainPrompt]:
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
    shared: PlainPrompt = _given(frame=frame or None, choice=choice)
    clicks = {"points": [_point(p) for p in points], "negative": [_point(p) for p in negatives]}
    shared |= {name: found for name, found in clicks.items() if found}
    given: list[PlainPrompt] = [{"box": _box(box)} for box in boxes]
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
