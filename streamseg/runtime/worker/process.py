"""A worker process: one node, or one of its replicas, with its sockets.

`streamseg.runtime.supervision.processes` starts it; `streamseg.runtime.worker.assignment` has what it is told, and how.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq

from streamseg.errors import RunError, StreamsegError
from streamseg.graph import config, registry
from streamseg.node import AnyNode, NodeContext, Source
from streamseg.runtime.limits import keeping_files, naming_what_is_scarce
from streamseg.runtime.node_code import node_code
from streamseg.runtime.node_faults import reason_of, trouble
from streamseg.runtime.worker.assignment import Assignment, Assignments
from streamseg.runtime.worker.io import BEAT_S, WorkerIO
from streamseg.runtime.worker.node_loop import NodeWorker
from streamseg.runtime.worker.source_loop import SourceWorker
from streamseg.transport.control import Bye, Exit, Ready, Trouble, decode_from_supervisor
from streamseg.transport.sockets import Sockets

_THREADS_END_WITHIN_S = 1.0


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


class _Worker:
    """What the process does, assignment after assignment.

    The node of one is kept until that of the next is set up: a model that both load is the same then, and shared
    (`streamseg.sam.loading`). Nothing else of it is seen by the next.
    """

    def __init__(self) -> None:
        self._last: AnyNode | None = None

    def run(self, assignment: Assignment) -> int | None:
        """Do what is told. Returns the exit code; None if there may be more to do."""
        with Sockets(Path(assignment.run_dir)) as sockets:
            control = sockets.worker(assignment.spec.identity)
            try:
                with naming_what_is_scarce("have the shared memory and the sockets of a worker process"):
                    io = WorkerIO(assignment, sockets, control)
                assignment.let_go()
                threads = set(threading.enumerate())
                node = self._last = _make_node(io)
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
            # What it keeps of this world is memory of the run.
            node.context = NodeContext(assignment.spec.name)
            stays = assignment.stays and not _left_behind(threads)
            io.report(Bye(worker.stats(), facts, io.take_spans(), stays))
            io.close()
        return None if stays else 0


def _left_behind(before: set[threading.Thread]) -> bool:
    """Whether threads of the node are still at work: the next node shall not meet them."""
    deadline_s = time.monotonic() + _THREADS_END_WITHIN_S
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return any(thread.is_alive() for thread in left)


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


def main() -> int:
    """Entry point of the process."""
    return run_assigned(_Worker().run, "start a worker process")


def run_assigned(run: Callable[[Assignment], int | None], purpose: str) -> int:
    """What a process of a run does: it takes its assignments from standard input, and ends with its parent.

    Args:
        run: does one; gives the exit code, or None to wait for another.
        purpose: of the process, for who reads that something was too scarce for it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    assignments = Assignments()
    assignment = assignments.first()
    logging.basicConfig(level=assignment.log_level, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        with naming_what_is_scarce(purpose):
            assignments.listen()
            while (code := run(assignment)) is None:
                # What is left of a run hangs together in circles, and its shared memory is held by it.
                gc.collect()
                assignment = assignments.next()
            return code
    except RunError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
