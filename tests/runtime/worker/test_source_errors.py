"""What a source raises is told to the supervisor, whenever it comes, and before the end that it leads to."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from support.graphs import start, toy_graph

from streamseg.errors import MediaError, RunError
from streamseg.graph.plan import Plan, SourceSpec
from streamseg.messages import End, Frame
from streamseg.node import Captured, Source
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.runtime.worker.source_loop import SourceFeed, SourceWorker
from streamseg.transport.control import Exit, Start, Trouble
from streamseg.transport.tickets import TicketBook

ERRORS = 20_000


class Broken(Source[Frame]):
    def produce(self) -> Iterator[Captured[Frame]]:
        raise MediaError("the disk is gone")


def test_errors_that_come_while_they_are_told_are_not_lost() -> None:
    feed = SourceFeed(Broken(), "source", TicketBook([0], ["sink"]))

    def fail() -> None:
        for number in range(ERRORS):
            feed._errors.append(ValueError(number))

    failing = threading.Thread(target=fail)
    told: list[Exception] = []
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        failing.start()
        while failing.is_alive():
            told += feed.take_errors()
    finally:
        sys.setswitchinterval(interval_s)
        failing.join()
    told += feed.take_errors()
    assert [error.args[0] for error in told] == list(range(ERRORS))


class Notebook:
    """In the place of a worker's sockets: notes what is said, in order."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self.spec = SimpleNamespace(name="source", source=SourceSpec([0], ["sink"]))
        self.finished_inbox, self.control = context.socket(zmq.PULL), context.socket(zmq.PULL)
        for number, socket in enumerate((self.finished_inbox, self.control)):
            socket.bind(f"inproc://{number}")
        self.said: list[Any] = []
        self.statuses: deque[Any] = deque()
        self.spans = None
        self._started = False

    def first_seqs(self) -> dict[str, int]:
        return {}

    def poll(self, seconds: float, poller: zmq.Poller) -> None:
        time.sleep(0.01)

    def instructions(self) -> list[Any]:
        if not self._started:
            self._started = True
            return [Start()]
        return [Exit()] if any(isinstance(each, End) for each in self.said) else []

    def report(self, message: Any) -> None:
        self.said.append(message)

    send = report

    def encode(self, message: Any) -> Any:
        return message

    def beat(self, make: Any) -> None:
        """Nobody listens to that."""


def test_the_error_is_told_before_the_end_that_it_leads_to() -> None:
    with zmq.Context() as context:
        notebook = Notebook(context)
        # Left open they would warn, and hide what went wrong.
        with notebook.finished_inbox, notebook.control:
            SourceWorker(notebook, Broken()).run()  # type: ignore[arg-type]
    assert [type(each) for each in notebook.said] == [Trouble, End]
    assert notebook.said[1].reason == "failed"


def test_an_error_that_is_heard_after_every_sink_is_done_still_ends_the_run(tmp_path: Path) -> None:
    with Supervisor(Plan(toy_graph(tmp_path / "out.jsonl"))) as supervisor:
        start(supervisor)
        while supervisor.state != "finished":
            supervisor.pump(50)
        supervisor.raise_error()
        supervisor._handle("count", Trouble("RunError", "reading ended early", "", True))
        with pytest.raises(RunError, match="reading ended early"):
            supervisor.raise_error()
