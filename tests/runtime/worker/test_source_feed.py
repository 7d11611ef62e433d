from __future__ import annotations

import time

import numpy as np

from streamseg.messages import End, Frame, Stamp
from streamseg.node import Captured, Source
from streamseg.runtime.worker.source_loop import SourceFeed
from streamseg.transport.tickets import TicketBook


def _frame(stamp: Stamp) -> Frame:
    return Frame(stamp, np.zeros((2, 2, 3), np.uint8))


class Aging(Source[Frame]):
    """One frame that is too old for the graph by the time it has a ticket, one that is not, one that does not age."""

    limits_s = (-1.0, 3600.0, None)
    dropped = 5

    def produce(self):
        for index, limit_s in enumerate(self.limits_s):
            until_ns = None if limit_s is None else time.monotonic_ns() + round(limit_s * 1e9)
            yield Captured(index, index, (1, 25), 1, _frame, good_until_monotonic_ns=until_ns, damaged=index == 1)


def test_a_frame_that_got_too_old_while_it_waited_for_a_ticket_is_dropped_and_counted():
    feed = SourceFeed(Aging(), "s", TicketBook(range(4), ["sink"]))
    feed.start()
    messages = []
    while not (messages and isinstance(messages[-1], End)):
        messages += feed.next_messages()
    assert [(m.stamp.seq, m.stamp.index, m.stamp.damaged) for m in messages[:-1]] == [(0, 1, True), (1, 2, False)]
    # Those that the source itself has dropped are counted too.
    assert (feed.stats().entered, feed.stats().dropped) == (2, 1 + 5)
