"""What other machines may have done here: nodes that are installed, on files that were allowed, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamseg.errors import GraphError, UsageError, nearest
from streamseg.graph import config, registry
from streamseg.graph.plan import WorkerSpec, threads_for
from streamseg.jobs import Job
from streamseg.node import AnyNode, NodeConfig, Source, ports

_COMES_ALONG = "data:"
"""Begins a text that is the content of a file, not its name."""


class Guard:
    """What may be started here.

    Args:
        nodes: names of nodes that may be started although they read or write something of their own.
        files: folders, and beginnings of URLs, that options may name.

    Raises:
        UsageError: a node is not installed, a folder is not there, or a URL does not say where it ends.
    """

    def __init__(self, nodes: Collection[str] = (), files: Sequence[str] = ()) -> None:
        installed = registry.entry_points()
        for name in nodes:
            if name not in installed:
                raise UsageError(f"there is no node {name!r} here; {nearest(name, installed)}")
        self._nodes = frozenset(nodes)
        self._urls = tuple(each for each in files if "://" in each)
        for url in self._urls:
            if not url.endswith("/") or url.lower().startswith("file:"):
                raise UsageError(
                    f"expected the beginning of a URL with a slash at its end, such as rtsp://camera.lan/, got {url!r}"
                )
        folders = [Path(each).expanduser() for each in files if "://" not in each]
        for folder in folders:
            if not folder.is_dir():
                raise UsageError(f"expected a folder whose files may be named, but {folder} is none")
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]

    def check(self, spec: WorkerSpec) -> type[AnyNode]:
        """Refuse a worker that may not be started. Returns the class of its node.

        Raises:
            GraphError: its node is not installed or not allowed, its options are not valid, or name a file.
        """
        installed = registry.entry_points()
        for use in (spec.use, *spec.inputs, *spec.feedback_inputs):
            if use not in installed:
                raise GraphError(
                    f"node {spec.name!r}: {use!r} is not installed there; only what is (by an entry point in "
                    f"{registry.GROUP!r}) is started and understood, {nearest(use, installed)}"
                )
        kind = registry.load(spec.use)
        at_an_end = issubclass(kind, Source) or ports(kind).gives is None
        if at_an_end and spec.use not in self._nodes:
            raise GraphError(
                f"node {spec.name!r}: a source or a sink such as {spec.use!r} is started there only if it is allowed; "
                f"start the worker with --node {spec.use}"
            )
        for text in _texts([spec.options, spec.output_dir]):
            if not self._may_name(text):
                raise GraphError(
                    f"node {spec.name!r}: its options name {text!r}, a file of that machine that it does not give; "
                    f"start the worker with --files and its folder, and name it by its whole path"
                )
        return kind

    def options(self, spec: WorkerSpec, kind: type[AnyNode]) -> NodeConfig:
        """The node's options, checked as they are where a graph is started.

        Raises:
            StreamsegError: they cannot be meant.
        """
        options: NodeConfig = config.options_of(kind.Config, spec.options, f"node {spec.name!r}")
        kind.check(options)
        return options

    def adapted(self, spec: WorkerSpec, kind: type[AnyNode]) -> WorkerSpec:
        """The spec with threads by the cores of this machine."""
        if spec.placed is None:
            return spec
        options = self.options(spec, kind)
        threads = threads_for(kind, options, spec.placed.threads, spec.placed.replicas)
        return msgspec.structs.replace(spec, threads=threads)

    def job(self, job: Job | None) -> Job | None:
        """The job without commands that name files which are not given."""
        if job is None:
            return None
        kept = [each for each in job.commands if self.may_command(each.body)]
        return msgspec.structs.replace(job, commands=kept)

    def may_command(self, body: bytes) -> bool:
        """Whether a command names no file that is not given; one that cannot be read is refused by the node."""
        try:
            return all(map(self._may_name, _texts(msgspec.msgpack.decode(body))))
        except (msgspec.DecodeError, ValueError, RecursionError):
            return True

    def _may_name(self, text: str) -> bool:
        if text.startswith(_COMES_ALONG) or not ("/" in text or "\\" in text or text.startswith("~")):
            # In the worker's own, empty working directory a plain name is no file.
            return True
        if "://" in text:
            return text.startswith(self._urls) if self._urls else False
        if not Path(text).is_absolute():
            return False
        return any(Path(os.path.realpath(text)).is_relative_to(folder) for folder in self._folders)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
