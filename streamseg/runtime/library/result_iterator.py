"""The calling process as a sink of the graph: it sees every message of one node, in order."""

from __future__ import annotations

from collections.abc import Iterator

import zmq

from streamseg.graph.plan import CALLER
from streamseg.messages import End, Gap, Message, SourceStatus
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.runtime.worker.io import WorkerIO, decoded, waiting
from streamseg.transport.reorder import ReorderBuffer
from streamseg.transport.wire import MessageDecoder


class ResultIterator:
    """Takes messages in the process that runs the supervisor. The plan must have been made with `results_from`."""

    def __init__(self, supervisor: Supervisor) -> None:
        plan = supervisor.plan
        self._supervisor = supervisor
        pool = supervisor.pool
        self._io = WorkerIO(pool.assignment(plan.worker(CALLER, 0)), pool.sockets)
        gives = plan.ports[plan.results_from or ""].gives or Message
        self._decoder = MessageDecoder([gives, Gap, End, SourceStatus], self._io.buffers)
        self._streams = set(self._io.spec.streams)
        self._reorder = {stream: ReorderBuffer[Message]() for stream in self._streams}
        self._poller = zmq.Poller()
        self._poller.register(pool.control, zmq.POLLIN)
        if self._io.inbox is not None:
            self._poller.register(self._io.inbox, zmq.POLLIN)

    def __iter__(self) -> Iterator[Message]:
        """Messages and gaps as they come. The arrays of one hold until the next is asked for.

        Raises:
            StreamsegError: what ended the run.
        """
        while self._supervisor.state != "finished":
            self._poller.poll(500)
            self._supervisor.pump(0)
            for parts in waiting(self._io.inbox) if self._io.inbox is not None else ():
                message = decoded(self._decoder, parts, CALLER)
                if message is not None:
                    yield from self._take(message)
        self._supervisor.raise_error()

    def _take(self, message: Message) -> Iterator[Message]:
        if isinstance(message, SourceStatus):
            return
        if isinstance(message, End):
            stream, seq = message.stream, message.seq
        else:
            stream, seq = message.stamp.stream, message.stamp.seq
        for ready in self._reorder[stream].push(seq, message):
            if isinstance(ready, End):
                self._streams.discard(ready.stream)
                if not self._streams:
                    self._supervisor.caller_done()
                continue
            yield ready
            self._io.finish(ready.stamp, ready.kind if isinstance(ready, Gap) else "done")
