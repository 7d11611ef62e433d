"""A worker process: one node, or one of its replicas, with its sockets.

`streamseg.runtime.supervision.processes` starts it with its spec as one line on standard input. Standard input stays
open as long as the supervisor lives; when it ends, so does the worker.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq

from streamseg.errors import RunError, StreamsegError
from streamseg.graph import config, registry
from streamseg.node import AnyNode, Source
from streamseg.runtime.limits import keeping_files, naming_what_is_scarce
from streamseg.runtime.node_code import node_code
from streamseg.runtime.stage import reason_of, trouble
from streamseg.runtime.worker.io import BEAT_S, Assignment, WorkerIO
from streamseg.runtime.worker.node_loop import NodeWorker
from streamseg.runtime.worker.source_loop import SourceWorker
from streamseg.transport.control import Bye, Exit, Ready, Trouble, decode_from_supervisor
from streamseg.transport.sockets import Sockets


def _make_node(io: WorkerIO) -> AnyNode:
    spec = io.spec
    kind = registry.load(spec.use)
    options = config.options_of(kind.Config, spec.options, f"node {spec.name!r}")
    with node_code, keeping_files("be set up"), naming_what_is_scarce("be set up"):
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
        control = sockets.worker(assignment.spec.identity)
        try:
            with naming_what_is_scarce("have the shared memory and the sockets of a worker process"):
                io = WorkerIO(assignment, sockets, control)
            node = _make_node(io)
            worker = SourceWorker(io, node) if isinstance(node, Source) else NodeWorker(io, node)
            facts = _facts(node)
        except Exception as error:  # noqa: BLE001 (whatever a node's setup raises is told to the supervisor)
            control.send(msgspec.msgpack.encode(setup_trouble(error, assignment.spec.name)))
            wait_for_exit(control)
            return 1
        io.report(Ready(facts, live=isinstance(node, Source) and node.policy == "freshest"))
        try:
            worker.run()
        finally:
            # What is said here is for the record; the work is done.
            with _only_warning("describe itself"):
                facts = _facts(node)
            with _only_warning("be closed"):
                node.close()
        io.report(Bye(worker.stats(), facts, io.take_spans()))
        io.close()
    return 0


def _facts(node: AnyNode) -> dict[str, Any]:
    """What the node says of itself, once it is seen that it can travel."""
    facts = node.describe()
    msgspec.msgpack.encode(facts)
    return facts


@contextlib.contextmanager
def _only_warning(doing: str) -> Iterator[None]:
    try:
        with node_code:
            yield
    except Exception as error:  # noqa: BLE001 (a node's code may raise anything)
        logging.getLogger(__name__).warning("the node could not %s: %s", doing, reason_of(error))


def setup_trouble(error: Exception, name: str) -> Trouble:
    """What the supervisor is told of a process that could not be set up."""
    found = msgspec.structs.replace(trouble(error), fatal=True)
    if isinstance(error, StreamsegError):
        named = found.message if repr(name) in found.message else f"node {name!r}: {found.message}"
        return msgspec.structs.replace(found, message=named)
    return msgspec.structs.replace(
        found, kind=RunError.__name__, message=f"node {name!r} could not be set up: {found.message}"
    )


def wait_for_exit(control: zmq.Socket[bytes]) -> None:
    """Stay until the supervisor says so: it still has to hear what was said last."""
    while not (control.poll(int(BEAT_S * 1000)) and isinstance(decode_from_supervisor(control.recv()), Exit)):
        continue


def end_with_parent(run_dir: str) -> None:
    """Go when standard input ends, because then the supervisor is gone, and leave no sockets behind."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                continue
        shutil.rmtree(run_dir, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def read_line() -> bytes:
    """The line on standard input."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)  # nothing else is ever written there
        if not chunk:
            raise SystemExit(1)
        line += chunk
    return bytes(line)


def main() -> int:
    """Entry point of the process."""
    return run_assigned(_run, "start a worker process")


def run_assigned(run: Callable[[Assignment], int], purpose: str) -> int:
    """What a process of a run does: it takes its assignment from standard input, and ends with its parent.

    Args:
        run: does it; gives the exit code.
        purpose: of the process, for who reads that something was too scarce for it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    assignment = msgspec.json.decode(read_line(), type=Assignment)
    logging.basicConfig(level=assignment.log_level, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        with naming_what_is_scarce(purpose):
            end_with_parent(assignment.run_dir)
            return run(assignment)
    except RunError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
