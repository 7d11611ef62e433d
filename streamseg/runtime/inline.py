"""A whole graph in one process and one thread, for debugging, and to prove that nodes know nothing of transport.

Same nodes, same order of messages, same handling of gaps and failures as with processes; no sockets, no shared
memory, no overlap. Sources are read one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from streamseg.errors import rebuild
from streamseg.messages import End, Message, Stamp
from streamseg.node import Captured, Node, NodeContext, Source
from streamseg.runtime.plan import Plan
from streamseg.runtime.stage import Stage
from streamseg.transport.control import Stats


class InlineRun:
    """Runs a plan in this process.

    Args:
        plan: the checked graph.
        on_result: called with every message of ``plan.results_from``, gaps included.
    """

    def __init__(self, plan: Plan, on_result: Callable[[Message], None] | None = None) -> None:
        self._plan = plan
        self._on_result = on_result
        self._nodes: dict[str, Node[Any, Any]] = {}
        self._stages: dict[str, Stage] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.stats: dict[str, Stats] = {}

    def run(self) -> None:
        """Work until every source is at its end.

        Raises:
            StreamsegError: a fatal error of a node.
        """
        with contextlib.ExitStack() as stack:
            sources = {name: self._make(stack, name) for name in self._plan.sources}
            for name in self._plan.order:
                if name not in sources:
                    node = self._make(stack, name)
                    self._nodes[name] = node
                    self._stages[name] = Stage(node, name, ordered=True)
            for name, source in sources.items():
                self._read(name, source)
            self.stats |= {name: stage.stats() for name, stage in self._stages.items()}
            self.facts = {name: node.describe() for name, node in {**sources, **self._nodes}.items()}

    def _make(self, stack: contextlib.ExitStack, name: str) -> Any:
        worker = self._plan.worker(name, 0)
        context = NodeContext(
            name,
            streams=worker.streams,
            threads=worker.threads,
            output_dir=worker.output_dir,
            feedback=lambda message: self._feed_back(name, message),
            has_feedback=bool(worker.feedback_inputs or worker.feedback_outbox),
        )
        node = self._plan.kinds[name](self._plan.options[name], context)
        node.setup()
        stack.callback(node.close)
        return node

    def _read(self, name: str, source: Source[Any]) -> None:
        seq = 0
        for captured in source.produce():
            self._send(name, captured.make(_stamp(name, seq, captured)))
            seq += 1
        self.stats[name] = Stats(frames=seq, entered=seq, finished={"done": seq})
        self._send(name, End(name, seq, "finished"))

    def _send(self, name: str, message: Message) -> None:
        if name == self._plan.results_from and self._on_result is not None and not isinstance(message, End):
            self._on_result(message)
        for to in self._plan.graph.downstream(name):
            stage = self._stages[to]
            stage.accept(message)
            for passed in stage.step():
                self._raise_fatal(stage)
                if passed.message is not None:
                    self._send(to, passed.message)

    def _feed_back(self, name: str, message: Message) -> None:
        for origin, to in self._plan.graph.feedback:
            if origin == name:
                self._nodes[to].on_feedback(message)

    @staticmethod
    def _raise_fatal(stage: Stage) -> None:
        for trouble in stage.troubles:
            if trouble.fatal:
                raise rebuild(trouble.kind, trouble.message)
        stage.troubles.clear()


def _stamp(stream: str, seq: int, captured: Captured[Any]) -> Stamp:
    return Stamp(stream, seq, captured.index, captured.pts, captured.time_base, captured.captured_ns, 0, seq + 1)
