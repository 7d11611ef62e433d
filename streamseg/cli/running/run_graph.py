"""The graph that ``streamseg run`` is asked for, from a graph file or from the options of the command."""

from __future__ import annotations

import argparse
import itertools
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from streamseg.cli.flags.options import given_options
from streamseg.cli.flags.prompts import detector, everything, given_prompts, refuse_prompts
from streamseg.cli.running import resuming
from streamseg.errors import UsageError
from streamseg.graph import config
from streamseg.graph.config import Graph
from streamseg.graph.options import named_options, nodes_of, with_option_at, with_options
from streamseg.graph.plan import Plan
from streamseg.graph.standard import standard_graph
from streamseg.regular_files import inherited_fd
from streamseg.runtime.library import given
from streamseg.sam import checkpoints
from streamseg.sam.models import check_installed, find
from streamseg.video.source import SourceKind, classify, local_path, redact

_GRAPH_SUFFIXES = (".yaml", ".yml")
_LOCAL = (SourceKind.FILE, SourceKind.FOLDER, SourceKind.BAG)


def is_graph_file(source: str) -> bool:
    """Whether a source names a graph file."""
    return source.lower().endswith(_GRAPH_SUFFIXES) and "://" not in source


def asked_for(args: argparse.Namespace) -> Graph:
    """The graph that the command line asks for.

    Raises:
        UsageError: neither a source nor a folder to go on with, or options that contradict each other.
    """
    output = given_options(args).get("output")
    if args.resume and output and Path(args.resume) != Path(output):
        raise UsageError(f"--resume {args.resume} and -o {output} name two folders; give one of them")
    if not args.sources and not args.resume:
        raise UsageError("expected a SOURCE, or --resume DIR to go on with an earlier run; 'run --help' says more")
    if not args.sources:
        return from_run(args)
    files = [source for source in args.sources if is_graph_file(source)]
    if files and len(args.sources) > 1:
        raise UsageError(f"{files[0]} beside other sources: a graph file names its sources itself; run it alone")
    return with_titles(from_file(args) if files else from_sources(args))


def from_sources(args: argparse.Namespace) -> Graph:
    """The standard graph on one source, or on several with one encoder and one tracker for all.

    Raises:
        UsageError: a run that is to be gone on with, and nobody says where its results are; prompts of the command
            line for several sources.
    """
    options = _options(args)
    several = len(args.sources) > 1
    if "output" not in options:
        if args.resume is not None:
            raise UsageError("--resume needs to know where the results are; give -o DIR, or --resume DIR")
        stem = "sources" if several else _stem(args.sources[0])
        options["output"] = free_folder(Path("out") / stem, options)
    prompts = given_prompts(args)
    if several and args.prompts is None and prompts:
        names = ", ".join(source_names(args.sources))
        raise UsageError(
            f"a box, point or mask beside {len(args.sources)} sources: nobody knows which of them it is for; write it "
            f"into a file (--prompts FILE), with the name of its source: - {{stream: NAME, box: [X0, Y0, X1, Y1]}}; "
            f"here they are {names}"
        )
    sources = [given.source(source) for source in args.sources]
    detect, of_detector = detector(args)
    graph = standard_graph(
        sources[0], prompts, everything=everything(args), detect=detect, **{**options, **of_detector}
    )
    return _with_settings(with_sources(graph, args.sources), args)


def with_sources(graph: Graph, sources: Sequence[str]) -> Graph:
    """The graph with a decode node for each source, named after it, where there are several.

    Args:
        graph: with a decode node for the first.
        sources: as people write them.
    """
    if len(sources) < 2:
        return graph
    decode, below = graph.nodes["decode"], graph.downstream("decode")
    nodes = {name: spec for name, spec in graph.nodes.items() if name != "decode"}
    links = [link for link in graph.links if "decode" not in link]
    for source, name in zip(sources, source_names(sources, nodes), strict=True):
        nodes[name] = msgspec.structs.replace(decode, options={**decode.options, "source": given.source(source)})
        links += [(name, to) for to in below]
    return msgspec.structs.replace(graph, nodes=nodes, links=links)


def source_names(sources: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """A name for each of several sources, after what it is, for its node, its stream and its folder."""
    names: list[str] = []
    for source in sources:
        names.append(_free_name(_stem(source), [*names, *taken]))
    return names


def from_file(args: argparse.Namespace) -> Graph:
    """The graph of a file, with the options that the command gives to its nodes."""
    refuse_prompts(args, "a graph file")
    path, options = Path(args.sources[0]), _options(args)
    graph = _with_settings(with_options(config.load(path), options, named_options()), args)
    for name in nodes_of(graph, "record"):
        if not graph.nodes[name].options.get("output"):
            output = free_folder(Path("out") / _folder_name(path.stem), options)
            graph = with_option_at(graph, f"{name}.output", output)
    return graph


def page_of(args: argparse.Namespace, bind: str) -> Graph:
    """The standard graph on one or several sources, with a page; results are recorded only where somebody says so.

    Args:
        args: of ``serve``.
        bind: where the page shall be.
    """
    detect, of_detector = detector(args)
    options = {**given_options(args), **of_detector, "page": bind}
    graph = standard_graph(given.source(args.sources[0]), [], detect=detect, **options)
    return with_titles(_with_settings(with_sources(graph, args.sources), args))


def with_titles(graph: Graph) -> Graph:
    """The graph whose pages call each stream by what it shows rather than by the name of a node."""
    sources = {name: str(spec.options["source"]) for name, spec in graph.nodes.items() if "source" in spec.options}
    stems = {name: _stem(source) for name, source in sources.items()}
    twice = {stem for stem, count in Counter(stems.values()).items() if count > 1}
    titles = {
        name: f"{Path(sources[name]).parent.name}/{stem}" if stem in twice else stem for name, stem in stems.items()
    }
    for page in nodes_of(graph, "page"):
        if "titles" not in graph.nodes[page].options:
            graph = with_option_at(graph, f"{page}.titles", titles)
    return graph


def from_run(args: argparse.Namespace) -> Graph:
    """The graph of a run that is to be gone on with. An option that changes it is refused later, as in a graph file."""
    refuse_prompts(args, "the graph of an earlier run")
    options = {name: value for name, value in _options(args).items() if name != "output"}
    return _with_settings(with_options(resuming.graph_in(Path(args.resume)), options, named_options()), args)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Name -> value of the options of nodes; results that are gone on with are the output."""
    options = given_options(args)
    return {**options, "output": args.resume} if args.resume else options


def _with_settings(graph: Graph, args: argparse.Namespace) -> Graph:
    for path, value in args.set or ():
        graph = with_option_at(graph, path, value)
    return graph


def outputs(plan: Plan) -> dict[str, Path]:
    """Name -> folder of every node that records.

    Raises:
        UsageError: two of them have the same one.
    """
    found: dict[str, Path] = {}
    for name in nodes_of(plan.graph, "record"):
        folder = Path(plan.graph.nodes[name].options["output"]).expanduser()
        for other, taken in found.items():
            if os.path.realpath(folder) == os.path.realpath(taken):
                raise UsageError(f"{other!r} and {name!r} both record into {folder}; give each a folder of its own")
        found[name] = folder
    return found


def keep_sources(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Refuse to record into a folder from which the same run reads: replacing results could replace the source.

    Raises:
        UsageError: a source lies in a folder that is recorded into.
    """
    for name in plan.sources:
        source = getattr(plan.options[name], "source", None)
        if not isinstance(source, str) or classify(source) not in _LOCAL:
            continue
        # Not Path.resolve: it raises where a link leads to itself.
        path = Path(os.path.realpath(local_path(source)))
        for folder in folders.values():
            if path.is_relative_to(os.path.realpath(folder)) and path.exists():
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
        # On another machine it is that one's.
        if not isinstance(model, str) or plan.graph.nodes[name].host:
            continue
        info = find(model)
        check_installed(info)
        own = Path(checkpoint).expanduser() if isinstance(checkpoint, str) else None
        # What is there is verified by the node that opens it: reading it twice would take seconds.
        if not (checkpoints.is_here(info) if own is None else own.is_file()):
            checkpoints.locate(info, own)


def _stem(source: str) -> str:
    if inherited_fd(source) is not None:
        return "stdin"
    kind = classify(source)
    if kind in _LOCAL:
        path = Path(os.path.realpath(local_path(source)))
        return _folder_name(path.name if path.is_dir() else path.stem)
    if kind is SourceKind.TEST:
        return "test-pattern"
    if kind is SourceKind.CAMERA:
        return f"camera-{re.sub(r'[^A-Za-z0-9]+', '-', source).strip('-')}"
    place = redact(source).split("://", 1)[1].split("?")[0]
    # A publisher may be a socket on this machine.
    host = re.sub(r"^.*@", "", Path(place).stem if place.startswith("/") else place.split("/")[0])
    return f"stream-{re.sub(r'[^A-Za-z0-9.]+', '-', host).strip('-')}"


def _free_name(stem: str, taken: Collection[str]) -> str:
    """A name for a node, like the stem."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:50]
    plain = plain if plain[:1].isalpha() else f"source-{plain}".strip("-")
    return next(
        name for number in itertools.count(1) if (name := plain + (f"-{number}" if number > 1 else "")) not in taken
    )


def _folder_name(name: str) -> str:
    """A name for a folder inside ``out/``: not ``..``, which is what ``...mp4`` is without its ending."""
    return name.lstrip(".") or "frames"


def free_folder(folder: Path, options: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The folder, or with a number behind it, so that earlier results stay, unless they are to be overwritten."""
    number, free = 1, folder
    while not options.get("overwrite") and free.is_dir() and any(free.iterdir()):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return str(free)
