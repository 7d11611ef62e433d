"""``streamseg ros2``: follow objects in the images of a ROS 2 topic, and give masks and detections to others."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamseg.cli.commands import run as running
from streamseg.cli.flags.options import add_options, assignment, given_options, hide
from streamseg.cli.flags.prompts import add_prompts, detector, everything, given_prompts
from streamseg.cli.output.text import say
from streamseg.cli.parser import Parser
from streamseg.cli.running.watching import add_watching
from streamseg.errors import UsageError
from streamseg.graph import config
from streamseg.graph.config import Graph
from streamseg.graph.options import (
    DETECTORS,
    SINKS,
    NamedOption,
    check_names,
    named_options,
    with_option_at,
    with_options,
)
from streamseg.graph.plan import Plan
from streamseg.graph.standard import check_detector_options, detector_node
from streamseg.ros2.arguments import RosArguments, parse
from streamseg.ros2.opening import open_middleware
from streamseg.ros2.prompt_server import Names, PromptServer
from streamseg.runtime.library.prompting import submit
from streamseg.runtime.supervision.command_queue import CommandQueue

_DESCRIPTION = """Follow objects in the images of a ROS 2 topic. Publishes a label image, detections with states, and
diagnostics; takes prompts by services and on a topic, each answered with the frame it holds from. Through rclpy where a
ROS environment is sourced, else straight over DDS (pip install 'streamseg[ros2]'). docs/ros2.md has it all."""

_EPILOG = """names, to be remapped (--ros-args -r image:=/camera/image_raw):
  in   image, prompt              out  masks, detections, prompt_answers, /diagnostics
  services   add_objects, correct_objects, remove_object, reset
parameters (--ros-args -p model:=tiny): the flags above by their names, with _ for -"""

_NODES = ("ros2_image", "embed", "propagate", *DETECTORS, "cleanup", "ros2_masks", "record", "publish")
_SINKS = {sink: option for sink, option in SINKS.items() if sink in _NODES}
_GROUPS = {
    "topics": ("ros2_image", "ros2_masks"),
    "detector": DETECTORS,
    "model": ("embed", "propagate"),
    "masks": ("cleanup",),
    "results": ("record",),
    "publishing over ZeroMQ": ("publish",),
}
_TOPICS = {"image": "image", "masks_topic": "masks", "detections_topic": "detections", "overlay_topic": ""}
"""Options that are names of topics -> what they are if nothing is said."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_prompts(parser)
    rare = []
    options = named_options(_NODES).values()
    for title, nodes in _GROUPS.items():
        group = parser.add_argument_group(title)
        rare += add_options(group, [option for option in options if option.nodes[0] in nodes])
    parser.add_argument_group("any other option").add_argument(
        "--set", action="append", type=assignment, metavar="NODE.OPTION=VALUE", help="as for 'streamseg run'"
    )
    add_watching(parser)
    here = parser.add_argument_group("this run")
    here.add_argument("--control", metavar="PATH", help="listen there, too, for 'streamseg prompt'")
    here.add_argument("--json", action="store_true", help="print the final report as JSON")
    here.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: everything")
    here.add_argument(
        "--ros-args", nargs=argparse.REMAINDER, default=[], metavar="…", help="as for any ROS node; comes last"
    )
    hide(parser, rare)
    parser.set_defaults(run=run, resume=None, inline=False)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code.

    Raises:
        StreamsegError: something was wrong before anything started.
    """
    ros = parse(args.ros_args, "streamseg")
    known = named_options(_NODES)
    values = _values(args, ros, known)
    names = Names(
        **{name: ros.resolve(name) for name in ("prompt", "add_objects", "correct_objects", "remove_object", "reset")},
        answers=ros.resolve("prompt_answers"),
        detections=values["detections_topic"],
    )
    plan = Plan(_graph(args, ros, values, known))
    server: PromptServer | None = None

    def serve(plan: Plan, args: argparse.Namespace) -> CommandQueue:
        nonlocal server
        queue = CommandQueue(plan, None if args.control is None else Path(args.control))
        middleware = open_middleware(values.get("middleware", "auto"), ros.node, ros.namespace)
        server = PromptServer(middleware, names, lambda prompt: submit(queue, prompt))
        for sentence in server.missing:
            say(f"warning: {sentence}")
        say(f"through {middleware.name}: prompts at {names.prompt} and {names.add_objects}")
        return queue

    try:
        return running.run_plan(plan, args, f"topic {values['image']} -> {values['masks_topic']}", serve)
    finally:
        if server is not None:
            server.close()


def _values(args: argparse.Namespace, ros: RosArguments, known: Mapping[str, NamedOption]) -> dict[str, Any]:
    """Name -> value of the options of nodes: parameters, and flags, which count for more; full names of topics."""
    parameters = {name.replace("-", "_"): value for name, value in ros.parameters.items() if "." not in name}
    check_names(parameters, known)
    values = {**parameters, **given_options(args)}
    for option, default in _TOPICS.items():
        name = values.get(option, default)
        if not isinstance(name, str):
            raise UsageError(f"expected the name of a topic as {option}, got {name!r}")
        values[option] = ros.resolve(name) if name else ""
    if not values["detections_topic"]:
        raise UsageError("expected a topic for the detections: the services know by it which objects there are")
    return values


def _graph(
    args: argparse.Namespace, ros: RosArguments, values: Mapping[str, Any], known: Mapping[str, NamedOption]
) -> Graph:
    follow: dict[str, Any] = {"prompts": _prompts(args)}
    if (found := everything(args)) is not None:
        follow["everything"] = found
    middle = ["image"]
    nodes: dict[str, Any] = {
        "image": {"use": "ros2_image", "options": {"node_name": f"{ros.node}_image", "namespace": ros.namespace}},
        "embed": {},
        "propagate": {"options": follow},
        "cleanup": {},
        "masks": {"use": "ros2_masks", "options": {"node_name": f"{ros.node}_masks", "namespace": ros.namespace}},
    }
    detect, of_detector = detector(args)
    values = {**values, **of_detector}
    if detect is not None:
        nodes["detect"] = detector_node(detect)
        follow["detections"] = {}
        middle.append("detect")
    check_detector_options(values, known, detect)
    sinks = ["masks", *(sink for sink, option in _SINKS.items() if values.get(option) is not None)]
    nodes |= {sink: {} for sink in sinks[1:]}
    unused = {sink for sink in _SINKS if sink not in sinks}
    for name in values:
        if unused & set(known[name].nodes):
            raise UsageError(f"expected {known[_SINKS[known[name].nodes[0]]].flag} with {known[name].flag}")
    links = [f"{' -> '.join(middle)} -> embed -> propagate -> cleanup -> masks"]
    links += [f"cleanup -> {sink}" for sink in sinks[1:]]
    feedback = [] if values.get("focus") == "off" else ["propagate -> embed"]
    graph = with_options(config.parse({"nodes": nodes, "links": links, "feedback": feedback}), values, known)
    settings = [(name, value) for name, value in ros.parameters.items() if "." in name]
    for path, value in (*settings, *(args.set or ())):
        graph = with_option_at(graph, path, value)
    return graph


def _prompts(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Those of the command line; without any they come later."""
    given = argparse.Namespace(**{**vars(args), "control": args.control or ""})
    return given_prompts(given)
