"""A worker process: one node, or one of its replicas, with its sockets.

`streamseg.runtime.processes` starts it with its spec as one line on standard input. Standard input stays open as long
as the supervisor lives; when it ends, so does the worker.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import msgspec

from streamseg.errors import RunError, StreamsegError
from streamseg.graph import config, registry
from streamseg.node import AnyNode, Source
from streamseg.runtime.node_worker import NodeWorker
from streamseg.runtime.source_worker import SourceWorker
from streamseg.runtime.stage import trouble
from streamseg.runtime.worker_io import BEAT_S, Assignment, WorkerIO
from streamseg.transport.control import Exit, Ready, Trouble
from streamseg.transport.sockets import Sockets


def _make_node(io: WorkerIO) -> AnyNode:
    spec = io.spec
    kind = registry.load(spec.use)
    options = config.options_of(kind.Config, spec.options, f"node {spec.name!r}")
    node = kind(options, io.context())
    node.setup()
    _limit_threads(spec.threads)
    return node


def _limit_threads(threads: int) -> None:
    """Hold libraries that the node has loaded, and that do not read the environment, to their share of the cores."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)


def _run(assignment: Assignment) -> int:
    with Sockets(Path(assignment.run_dir)) as sockets:
        io = WorkerIO(assignment, sockets)
        try:
            node = _make_node(io)
        except Exception as error:  # noqa: BLE001 (whatever a node's setup raises is told to the supervisor)
            io.report(_setup_trouble(error))
            _wait_for_exit(io)
            return 1
        io.report(Ready(node.describe(), live=isinstance(node, Source) and node.policy == "freshest"))
        worker = SourceWorker(io, node) if isinstance(node, Source) else NodeWorker(io, node)
        try:
            worker.run()
        finally:
            bye = worker.bye()
            node.close()
        io.report(bye)
        io.close()
    return 0


def _setup_trouble(error: Exception) -> Trouble:
    found = msgspec.structs.replace(trouble(error), fatal=True)
    if isinstance(error, StreamsegError):
        return found
    return msgspec.structs.replace(
        found, kind=RunError.__name__, message=f"the node could not be set up: {found.message}"
    )


def _wait_for_exit(io: WorkerIO) -> None:
    while not any(isinstance(instruction, Exit) for instruction in io.instructions()):
        io.control.poll(int(BEAT_S * 1000))


def _end_with_parent(run_dir: str) -> None:
    """Go when standard input ends, because then the supervisor is gone, and leave no sockets behind."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                continue
        shutil.rmtree(run_dir, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _read_line() -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)  # nothing else is ever written there
        if not chunk:
            raise SystemExit(1)
        line += chunk
    return bytes(line)


def main() -> int:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    assignment = msgspec.json.decode(_read_line(), type=Assignment)
    logging.basicConfig(level=assignment.log_level, format="%(levelname)s %(message)s", stream=sys.stderr)
    _end_with_parent(assignment.run_dir)
    return _run(assignment)
