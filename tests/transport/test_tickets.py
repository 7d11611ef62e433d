from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamseg.errors import WireError
from streamseg.transport.tickets import Finished, TicketBook

SINKS = ["record", "publish"]


def test_a_ticket_is_free_only_when_every_sink_is_done():
    book = TicketBook([5], SINKS)
    ticket, generation = book.take(123)
    assert not book.free
    assert book.finish(Finished("record", ticket, generation, "done")) is None
    assert not book.free
    journey = book.finish(Finished("publish", ticket, generation, "done"))
    assert (journey.ticket, journey.outcome, journey.arrived_monotonic_ns) == (5, "done", 123)
    assert book.free


def test_a_frame_that_failed_at_one_sink_has_failed():
    book = TicketBook([0], SINKS)
    _, generation = book.take(0)
    book.finish(Finished("record", 0, generation, "failed"))
    assert book.finish(Finished("publish", 0, generation, "done")).outcome == "failed"
    assert book.outcomes == {"failed": 1}


def test_reports_that_come_twice_or_late_change_nothing():
    book = TicketBook([0], ["record"])
    _, first = book.take(0)
    book.finish(Finished("record", 0, first, "done"))
    _, second = book.take(0)
    assert second == first + 1
    assert book.finish(Finished("record", 0, first, "done")) is None
    assert book.in_flight == 1


@pytest.mark.parametrize("report", [Finished("record", 9, 1, "done"), Finished("stranger", 0, 1, "done")])
def test_a_report_from_nowhere_is_an_error(report):
    with pytest.raises(WireError, match="does not know"):
        TicketBook([0], SINKS).finish(report)


class Books(RuleBasedStateMachine):
    """Frames enter and sinks report in any order, also twice; every frame is counted exactly once."""

    def __init__(self):
        super().__init__()
        self.book = TicketBook(range(3), SINKS)
        self.open = {}
        self.old = []
        self.entered = self.ended = 0

    @precondition(lambda self: len(self.open) < 3)
    @rule()
    def enter(self):
        ticket, generation = self.book.take(0)
        assert ticket not in self.open
        self.open[ticket] = (generation, set(SINKS))
        self.entered += 1

    @precondition(lambda self: self.open)
    @rule(data=st.data(), outcome=st.sampled_from(["done", "dropped", "failed"]))
    def report(self, data, outcome):
        ticket = data.draw(st.sampled_from(sorted(self.open)))
        generation, missing = self.open[ticket]
        sink = data.draw(st.sampled_from(SINKS))
        report = Finished(sink, ticket, generation, outcome)
        self.old.append(report)
        ended = self.book.finish(report)
        missing.discard(sink)
        assert (ended is not None) == (not missing)
        if not missing:
            del self.open[ticket]
            self.ended += 1

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def repeat(self, data):
        report = data.draw(st.sampled_from(self.old))
        current = self.open.get(report.ticket)
        if current is None or current[0] != report.generation or report.sink not in current[1]:
            assert self.book.finish(report) is None

    @invariant()
    def adds_up(self):
        assert self.book.in_flight == len(self.open) == self.entered - self.ended
        assert sum(self.book.outcomes.values()) == self.ended
        assert self.book.free == (len(self.open) < 3)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, deadline=None, stateful_step_count=40)
