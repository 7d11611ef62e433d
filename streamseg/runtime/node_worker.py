"""The loop of a worker process that runs a node."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import zmq

from streamseg.commands import Answer
from streamseg.errors import WireError
from streamseg.graph import registry
from streamseg.messages import End, Gap, Message, Stamp
from streamseg.node import Node, ports
from streamseg.runtime.stage import Passed, Stage, reason_of
from streamseg.runtime.worker_io import BEAT_S, WorkerIO, waiting
from streamseg.transport.control import Answered, Beat, Bye, Command, Done, Exit, Finalize, GiveUp
from streamseg.transport.wire import MessageDecoder

log = logging.getLogger(__name__)


class NodeWorker:
    """Runs a node that is not a source until the supervisor says `Exit`."""

    def __init__(self, io: WorkerIO, node: Node[Any, Any]) -> None:
        spec = io.spec
        self._io = io
        self._node = node
        self._stage = Stage(node, spec.name, ordered=spec.ordered, first_seqs=io.first_seqs())
        self._decoder = MessageDecoder([*_given(spec.inputs), Gap, End], io.buffers)
        self._back_decoder = MessageDecoder(_given_back(spec.feedback_inputs), {}) if spec.feedback_inputs else None
        self._poller = zmq.Poller()
        for socket in (io.inbox, io.feedback_inbox, io.control):
            if socket is not None:
                self._poller.register(socket, zmq.POLLIN)
        self._said_done = False

    def run(self) -> None:
        """Work until told to exit."""
        while True:
            # Sockets without news are not even asked: the way of a frame through here is short for that.
            news = self._io.rest(0 if self._stage.runnable else BEAT_S, self._poller)
            if self._io.feedback_inbox in news:
                self._take_feedback()
            if self._io.inbox in news:
                self._take_messages()
            for order in self._io.orders() if self._io.control in news else ():
                if isinstance(order, Exit):
                    return
                if isinstance(order, Command):
                    self._stage.command(order.body, partial(self._answer, order.number))
                if isinstance(order, GiveUp):
                    self._stage.failed_for_good = True
                if isinstance(order, Finalize):
                    self._stage.finalize()
                    self._say_done()
            for passed in self._stage.step():
                self._pass(passed)
            self._tell_troubles()
            self._io.beat(self._beat)

    def _beat(self) -> Beat:
        return Beat(self._stage.stats(), self._stage.trackers() if self._io.spec.is_sink else {})

    def bye(self) -> Bye:
        """The last figures."""
        return Bye(self._stage.stats(), self._node.describe())

    def _answer(self, number: int, answer: Answer) -> None:
        self._io.tell(Answered(number, answer))

    def _take_messages(self) -> None:
        for parts in waiting(self._io.inbox) if self._io.inbox is not None else ():
            try:
                self._stage.accept(self._decoder.decode(parts))
            except WireError as error:
                log.warning("a message was thrown away: %s", error)

    def _take_feedback(self) -> None:
        if self._io.feedback_inbox is not None and self._back_decoder is not None:
            for parts in waiting(self._io.feedback_inbox):
                try:
                    self._node.on_feedback(self._back_decoder.decode(parts))
                except WireError as error:
                    log.warning("a message of a back-edge was thrown away: %s", error)

    def _pass(self, passed: Passed) -> None:
        if not self._io.spec.is_sink:
            if passed.message is not None:
                self._send(passed.message, passed.stamp)
        elif passed.stamp is not None:
            self._io.finish(passed.stamp, passed.outcome)
        elif self._stage.ended_streams.issuperset(self._io.spec.streams):
            self._say_done()

    def _send(self, message: Message, stamp: Stamp | None) -> None:
        try:
            self._io.send(message)
        except (WireError, TypeError, ValueError, OverflowError) as error:
            # Something of the node's own is in it that cannot travel. Those below still have to hear of the frame.
            if stamp is None:
                raise
            name = self._io.spec.name
            self._stage.report(WireError(f"what node {name!r} gave for frame {stamp.index} cannot be sent: {error}"))
            self._io.send(Gap(stamp, name, "failed", reason_of(error)))

    def _say_done(self) -> None:
        if not self._said_done:
            self._said_done = True
            self._tell_troubles()
            self._io.tell(Done())

    def _tell_troubles(self) -> None:
        for trouble in self._stage.troubles:
            self._io.tell(trouble)
        self._stage.troubles.clear()


def _given(uses: Sequence[str]) -> list[type[Message]]:
    types = (ports(registry.load(use)).gives for use in uses)
    return list(dict.fromkeys(kind for kind in types if kind is not None))


def _given_back(uses: Sequence[str]) -> list[type[Message]]:
    types = (getattr(registry.load(use), "gives_feedback", None) for use in uses)
    return list(dict.fromkeys(kind for kind in types if kind is not None))
