"""The loop of a worker process that runs a node."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import zmq

from streamseg.commands import Answer, Reply
from streamseg.errors import WireError
from streamseg.graph import registry
from streamseg.messages import End, Gap, Message, SourceStatus, Stamp
from streamseg.node import Node, ports
from streamseg.runtime.node_code import node_code
from streamseg.runtime.stage import Passed, Stage
from streamseg.runtime.worker.io import BEAT_S, WorkerIO, decoded, waiting
from streamseg.runtime.worker.own_counts import OwnCounts
from streamseg.runtime.worker.pacing import NodeClock
from streamseg.transport.control import (
    Answered,
    Asked,
    Beat,
    Command,
    Done,
    Exit,
    Figures,
    Finalize,
    GiveUp,
    Responded,
    Stats,
    Withdraw,
)
from streamseg.transport.wire import MessageDecoder, sent_ns

log = logging.getLogger(__name__)


class NodeWorker:
    """Runs a node that is not a source until the supervisor says `Exit`."""

    def __init__(self, io: WorkerIO, node: Node[Any, Any]) -> None:
        spec = io.spec
        self._io = io
        self._node = node
        self._clock = NodeClock()
        self._stage = Stage(
            node, spec.name, ordered=spec.ordered, first_seqs=io.first_seqs(), on_begin=self._tell_begun
        )
        self._stage.spans = io.spans
        self._own_counts = OwnCounts(node)
        self._decoder = MessageDecoder([*_given(spec.inputs), Gap, End, SourceStatus], io.buffers)
        self._back_decoder = MessageDecoder(_given_back(spec.feedback_inputs), {}) if spec.feedback_inputs else None
        self._poller = zmq.Poller()
        for socket in (io.inbox, io.feedback_inbox, io.control):
            if socket is not None:
                self._poller.register(socket, zmq.POLLIN)
        self._ear = None if io.given_commands is None else io.given_commands.ear.fileno()
        if io.given_commands is not None:
            self._poller.register(io.given_commands.ear, zmq.POLLIN)
        self._said_done = False
        self._passed_any = False
        self._replies: dict[int, Reply] = {}
        """To commands without an answer yet."""

    def run(self) -> None:
        """Work until told to exit."""
        while True:
            # Sockets without news are not even asked: the way of a frame through here is short for that.
            news = self._io.poll(0 if self._stage.runnable else BEAT_S, self._poller)
            if self._io.feedback_inbox in news:
                self._take_feedback()
            if self._io.inbox in news:
                self._take_messages()
            if self._ear in news:
                self._send_commands()
            for instruction in self._io.instructions() if self._io.control in news else ():
                if isinstance(instruction, Exit):
                    return
                if isinstance(instruction, Figures):
                    self._node.context.figures = msgspec.to_builtins(instruction.stats)
                if isinstance(instruction, Responded) and self._io.given_commands is not None:
                    self._io.given_commands.respond(instruction.response)
                if isinstance(instruction, Command):
                    reply = self._replies[instruction.number] = partial(self._answer, instruction.number)
                    self._stage.command(instruction.body, reply)
                if isinstance(instruction, Withdraw) and instruction.number in self._replies:
                    self._stage.withdraw(self._replies[instruction.number])
                if isinstance(instruction, GiveUp):
                    self._stage.failed_for_good = True
                if isinstance(instruction, Finalize):
                    self._stage.finalize(stopped=instruction.stopped)
                    self._say_done()
            before_first = not self._passed_any
            for passed in self._stage.step():
                self._pass(passed)
                self._passed_any = True
                self._clock.free()
            self._work_ahead()
            self._stage.tick()
            self._tell_troubles()
            # The first frame is told at once: a run that is ended right then knows that there are results.
            self._io.beat(self._beat, at_once=before_first and self._passed_any)

    def _work_ahead(self) -> None:
        # What has come may make the next message ready, and is short work.
        if self._stage.waits and not self._io.poll(0, self._poller):
            place = self._stage.work_ahead()
            if place is not None and self._io.spec.begun:
                self._clock.begun_early(*place)

    def _beat(self) -> Beat:
        return Beat(self.stats(), self._stage.trackers() if self._io.spec.is_sink else {}, self._io.take_spans())

    def stats(self) -> Stats:
        """The figures so far."""
        return self._own_counts.added_to(self._stage.stats())

    def _answer(self, number: int, answer: Answer) -> None:
        self._replies.pop(number, None)
        self._io.report(Answered(number, answer))

    def _send_commands(self) -> None:
        for request in () if self._io.given_commands is None else self._io.given_commands.take():
            self._io.report(Asked(request))

    def _take_messages(self) -> None:
        for parts in waiting(self._io.inbox) if self._io.inbox is not None else ():
            message = decoded(self._decoder, parts, self._io.spec.name)
            if message is not None:
                if self._io.spec.begun and not isinstance(message, (End, SourceStatus)):
                    self._clock.sent(message.stamp.stream, message.stamp.seq, sent_ns(parts))
                self._stage.accept(message)

    def _take_feedback(self) -> None:
        if self._io.feedback_inbox is not None and self._back_decoder is not None:
            for parts in waiting(self._io.feedback_inbox):
                try:
                    message = self._back_decoder.decode(parts)
                    with node_code:
                        self._node.on_feedback(message)
                    self._clock.free()
                except WireError as error:
                    log.warning("a message of a back-edge was thrown away: %s", error)
                except Exception as error:  # noqa: BLE001 (a node's code may raise anything)
                    self._stage.report(error)

    def _tell_begun(self, stamp: Stamp) -> None:
        if self._io.spec.begun:
            slack_ns = self._clock.slack_ns(stamp.stream, stamp.seq)
            self._io.begin(stamp, slack_ns, takes_batches=self._node.batch > 1)

    def _pass(self, passed: Passed) -> None:
        if not self._io.spec.is_sink:
            if passed.message is not None:
                self._send(passed.message)
        elif passed.stamp is not None:
            self._io.finish(passed.stamp, passed.outcome)
        elif self._io.spec.ordered and self._stage.ended_streams.issuperset(self._io.spec.streams):
            self._say_done()

    def _send(self, message: Message) -> None:
        try:
            parts = self._io.encode(message)
        except Exception as error:
            if isinstance(message, (Gap, End, SourceStatus)):
                raise
            parts = self._io.encode(self._stage.not_sent(message, error))
        self._io.send(parts)

    def _say_done(self) -> None:
        if not self._said_done:
            self._said_done = True
            self._tell_troubles()
            self._io.report(Done())

    def _tell_troubles(self) -> None:
        for trouble in self._stage.troubles:
            self._io.report(trouble)
        self._stage.troubles.clear()


def _given(uses: Sequence[str]) -> list[type[Message]]:
    types = (ports(registry.load(use)).gives for use in uses)
    return list(dict.fromkeys(kind for kind in types if kind is not None))


def _given_back(uses: Sequence[str]) -> list[type[Message]]:
    types = (getattr(registry.load(use), "gives_feedback", None) for use in uses)
    return list(dict.fromkeys(kind for kind in types if kind is not None))
