"""The graph that ``streamseg run`` is asked for, from a graph file or from the options of the command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamseg.cli import resuming
from streamseg.errors import PromptError, UsageError
from streamseg.graph import config, registry
from streamseg.graph.config import Graph
from streamseg.graph.plan import Plan
from streamseg.graph.standard import Prompt, Settings, make_prompts, standard_graph
from streamseg.prompts.files import plain_prompts, read_prompts
from streamseg.prompts.rules import NO_WORDS
from streamseg.sam import checkpoints
from streamseg.sam.models import find
from streamseg.video.source import SourceKind, classify, local_path, redact

_GRAPH_SUFFIXES = (".yaml", ".yml")
_PROMPT_FLAGS = ("box", "point", "negative", "choice", "mask", "frame", "text")
_ONLY_WITHOUT_GRAPH = (
    *("prompts", *_PROMPT_FLAGS, "everything", "everything_frame", "detect"),
    *("model", "checkpoint", "device", "engine", "live", "no_overlay"),
    *("publish", "publish_key", "publish_allow"),
)


def is_graph_file(source: str) -> bool:
    """Whether a source names a graph file."""
    return source.lower().endswith(_GRAPH_SUFFIXES) and "://" not in source


def asked_for(args: argparse.Namespace) -> Graph:
    """The graph that the command line asks for.

    Raises:
        UsageError: neither a source nor a folder to go on with, or options that contradict each other.
    """
    if args.resume and args.output and Path(args.resume) != Path(args.output):
        raise UsageError(f"--resume {args.resume} and -o {args.output} name two folders; give one of them")
    if args.resume and args.source is None:
        return resuming.graph_in(Path(args.resume))
    if args.source is None:
        raise UsageError("expected a SOURCE, or --resume DIR to go on with an earlier run; 'run --help' says more")
    if args.resume is not None:
        args.output = args.resume or args.output
        if args.output is None and not is_graph_file(args.source):
            raise UsageError("--resume needs to know where the results are; give -o DIR, or --resume DIR")
    return from_file(args) if is_graph_file(args.source) else from_source(args)


def from_source(args: argparse.Namespace) -> Graph:
    """The standard graph on a source.

    Raises:
        UsageError: keys without an address to publish at.
    """
    if args.publish is None and (args.publish_key or args.publish_allow):
        raise UsageError("expected --publish with --publish-key and --publish-allow; say where, --publish tcp://*:5560")
    output = args.output or _free_folder(Path("out") / _stem(args.source), args.overwrite)
    return standard_graph(
        Settings(
            source=args.source,
            prompts=_prompts(args),
            everything=_everything(args),
            detect=args.detect,
            model=args.model,
            checkpoint=args.checkpoint,
            device=args.device,
            engine=args.engine,
            focus=args.focus,
            tracker=args.tracker,
            live=args.live,
            max_frames=args.max_frames,
            output=output,
            overlay=not args.no_overlay,
            overwrite=args.overwrite,
            publish=args.publish,
            publish_key=args.publish_key,
            publish_allow=args.publish_allow,
        )
    )


def from_file(args: argparse.Namespace) -> Graph:
    """The graph of a file, with what the command says about its results and its length."""
    for name in _ONLY_WITHOUT_GRAPH:
        given = getattr(args, name)
        if given is not None and given is not False:  # 0 is a value
            raise UsageError(
                f"--{name.replace('_', '-')} cannot be combined with a graph file; write it there, under the options "
                f"of the node it is about ('streamseg nodes' lists them)"
            )
    path = Path(args.source)
    graph = config.load(path)
    if args.max_frames is not None:
        graph = _with_option(graph, "decode", "--max-frames", max_frames=args.max_frames)
    if args.overwrite:
        graph = _with_option(graph, "record", "--overwrite", overwrite=True)
    if args.output is not None:
        return _with_option(graph, "record", "-o", output=args.output)
    for name in _nodes_of(graph, "record"):
        if not graph.nodes[name].options.get("output"):
            output = _free_folder(Path("out") / _folder_name(path.stem), args.overwrite)
            graph = _with_option(graph, "record", "the default folder", output=output)
    return graph


def outputs(plan: Plan) -> dict[str, Path]:
    """Name -> folder of every node that records."""
    names = _nodes_of(plan.graph, "record")
    return {name: Path(plan.graph.nodes[name].options["output"]).expanduser() for name in names}


def keep_sources(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Refuse to record into a folder from which the same run reads: replacing results could replace the source.

    Raises:
        UsageError: a source lies in a folder that is recorded into.
    """
    for name in plan.sources:
        source = getattr(plan.options[name], "source", None)
        if not isinstance(source, str) or classify(source) not in (SourceKind.FILE, SourceKind.FOLDER):
            continue
        path = local_path(source).resolve()
        for folder in folders.values():
            if path.is_relative_to(folder.resolve()) and path.exists():
                raise UsageError(
                    f"the source {source} lies in the folder {folder} that the results go to, and could be "
                    f"overwritten; choose another output"
                )


def fetch_checkpoints(plan: Plan) -> None:
    """Download what is missing here, where a progress bar can be shown, and only once.

    Raises:
        ModelError: an unknown model, or a checkpoint that is not there and cannot be had.
    """
    for name in plan.order:
        options = plan.options[name]
        model, checkpoint = getattr(options, "model", None), getattr(options, "checkpoint", None)
        if not isinstance(model, str):
            continue
        info = find(model)
        given = Path(checkpoint).expanduser() if isinstance(checkpoint, str) else None
        # What is there is verified by the node that opens it: reading it twice would take seconds.
        if not (checkpoints.is_here(info) if given is None else given.is_file()):
            checkpoints.locate(info, given)


def _prompts(args: argparse.Namespace) -> list[Prompt]:
    flags = [f"--{name}" for name in _PROMPT_FLAGS if getattr(args, name) is not None]
    if args.text is not None:
        raise PromptError(f"--text {args.text!r}: {NO_WORDS}")
    finds_itself = args.detect is not None or _everything(args) is not None
    if args.prompts is None and finds_itself and not (args.box or args.point or args.mask):
        return []
    if args.prompts is None and not flags and args.control is not None:
        return []  # they come later
    if args.prompts is None:
        given = (args.box or [], args.point or [], args.negative or [], args.mask or [])
        return make_prompts(*given, frame=args.frame or 0, choice=args.choice)
    if flags:
        raise PromptError(f"--prompts {args.prompts} beside {', '.join(flags)}: write all prompts into the file")
    return plain_prompts(read_prompts(Path(args.prompts)))


def _everything(args: argparse.Namespace) -> dict[str, Any] | None:
    """The options for finding all objects of a frame; None if that is not asked for."""
    if args.everything_frame is not None:
        return dict(args.everything_frame)
    return {} if args.everything else None


def _nodes_of(graph: Graph, use: str) -> list[str]:
    point = registry.entry_points().get(use)
    same = {use, point.value} if point is not None else {use}
    return [name for name, spec in graph.nodes.items() if spec.use in same]


def _with_option(graph: Graph, use: str, what: str, **options: Any) -> Graph:
    names = _nodes_of(graph, use)
    if len(names) != 1:
        raise UsageError(
            f"{what} needs a graph with one {use} node, this one has {len(names)}; write it into the graph file"
        )
    spec = graph.nodes[names[0]]
    changed = msgspec.structs.replace(spec, options={**spec.options, **options})
    return msgspec.structs.replace(graph, nodes={**graph.nodes, names[0]: changed})


def _stem(source: str) -> str:
    kind = classify(source)
    if kind in (SourceKind.FILE, SourceKind.FOLDER):
        path = local_path(source).resolve()
        return _folder_name(path.name if path.is_dir() else path.stem)
    if kind is SourceKind.CAMERA:
        return f"camera-{re.sub(r'[^A-Za-z0-9]+', '-', source).strip('-')}"
    host = re.sub(r"^.*@", "", redact(source).split("://", 1)[1].split("?")[0].split("/")[0])
    return f"stream-{re.sub(r'[^A-Za-z0-9.]+', '-', host).strip('-')}"


def _folder_name(name: str) -> str:
    """A name for a folder inside ``out/``: not ``..``, which is what ``...mp4`` is without its ending."""
    return name.lstrip(".") or "frames"


def _free_folder(folder: Path, overwrite: bool) -> str:
    """The folder, or with a number behind it, so that earlier results stay."""
    number, free = 1, folder
    while not overwrite and free.is_dir() and any(free.iterdir()):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return str(free)
