"""When a live source lets its next frame in: as late as still keeps the graph busy.

A frame that waits in the graph gets older there, while the source has a newer one. So a live source lets in only what
the slowest node will take at once: it waits until all nodes but the sinks have begun with the frame `window` before,
and then for `delay_ns` more. Nodes say of each frame how long it waited for them, or they for it; from that window and
delay are found as the graph runs. Sinks do not count: what waits for a recording holds nobody up until all tickets
are out.
"""

from __future__ import annotations

import time
from collections.abc import Collection

import msgspec

from streamseg.transport.tickets import Begun

_GAIN = 0.05
_IDLE_WEIGHS = 30
"""Time that a node waits for a frame counts for more than time that a frame waits for it: frames/s come first."""
_FIRST_PERIOD_NS = 50_000_000
_LONGEST_PERIOD_NS = 1_000_000_000
_SOON_NS = 1_000_000


class NodeClock:
    """How long frames have waited for a node when it begins with them, or it for them. For one process of a node."""

    def __init__(self) -> None:
        self._free_ns = time.monotonic_ns()
        self._sent_ns: dict[tuple[str, int], int] = {}
        self._early_ns: dict[tuple[str, int], int] = {}

    def free(self) -> None:
        """The node could begin with the next frame now."""
        self._free_ns = time.monotonic_ns()

    def sent(self, stream: str, seq: int, sent_ns: int | None) -> None:
        """A frame has come, which was sent at that time of the monotonic clock; None if that is not known."""
        if sent_ns is not None:
            self._sent_ns[stream, seq] = sent_ns

    def begun_early(self, stream: str, seq: int) -> None:
        """The node begins to work on a frame that it cannot finish yet: it is no longer waiting for that frame."""
        sent_ns = self._sent_ns.get((stream, seq))
        if sent_ns is not None:
            self._early_ns[stream, seq] = self._free_ns - sent_ns

    def slack_ns(self, stream: str, seq: int) -> int | None:
        """How long a frame that is begun with had waited; below 0, how long the node had nothing to do before."""
        sent_ns = self._sent_ns.pop((stream, seq), None)
        early_ns = self._early_ns.pop((stream, seq), None)
        if early_ns is not None or sent_ns is None:
            return early_ns
        return self._free_ns - sent_ns


class _Entered(msgspec.Struct):
    number: int
    held: bool
    open_nodes: set[str]
    slack_ns: int | None = None


class Pacing:
    """Of one live source.

    Args:
        nodes: below it, without the sinks.
        tickets: how many frames can be in flight.
        alone: whether no other source sends frames to these nodes. With others the delay stays 0 and the window 2,
            so that all get the same share.
    """

    def __init__(self, nodes: Collection[str], tickets: int, *, alone: bool) -> None:
        self._nodes = frozenset(nodes)
        self._tickets = tickets
        self._adapts = alone
        self._free_running = not nodes
        self.window = min(2, tickets)
        """A frame may enter when all nodes have begun with the one so many before it, ..."""
        self.delay_ns = 0
        """... and so much later."""
        self._period_ns = _FIRST_PERIOD_NS
        self._next_number = 0
        self._entered: dict[int, _Entered] = {}  # by ticket
        self._begun_ns: dict[int, int] = {}  # by number, the last few
        self._held = False

    def wait_ns(self, now_ns: int) -> int | None:
        """How long the next frame has to wait; 0 if it may enter, None until some node says something."""
        before = self._next_number - self.window
        if self._free_running or before < 0:
            return 0
        begun_ns = self._begun_ns.get(before)
        wait_ns = None if begun_ns is None else begun_ns + self.delay_ns - now_ns
        # No poll is finer than a millisecond.
        wait_ns = 0 if wait_ns is not None and wait_ns < _SOON_NS else wait_ns
        self._held |= wait_ns != 0
        return wait_ns

    def enter(self, ticket: int) -> None:
        """A frame enters with this ticket."""
        self._entered[ticket] = _Entered(self._next_number, self._held, set(self._nodes))
        self._next_number += 1
        self._held = False

    def begin(self, report: Begun, now_ns: int) -> None:
        """A node has begun with the frame that has this ticket."""
        entered = self._entered.get(report.ticket)
        if entered is None or report.node not in entered.open_nodes:
            return
        if report.takes_batches:
            self._free_running = True  # What waits is what they make batches of.
        entered.open_nodes.discard(report.node)
        if report.slack_ns is not None:
            known_ns = report.slack_ns if entered.slack_ns is None else entered.slack_ns
            # The busiest node counts; the others have nothing to do now and then.
            entered.slack_ns = max(report.slack_ns, known_ns)
        if not entered.open_nodes:
            self._pass(report.ticket, now_ns)

    def leave(self, ticket: int, now_ns: int) -> None:
        """The frame's journey has ended, maybe without that every node had it."""
        if ticket in self._entered:
            self._entered[ticket].slack_ns = None
            self._pass(ticket, now_ns)

    def _pass(self, ticket: int, now_ns: int) -> None:
        entered = self._entered.pop(ticket)
        last_ns = self._begun_ns.get(entered.number - 1)
        self._begun_ns[entered.number] = now_ns
        self._begun_ns.pop(entered.number - self._tickets - 1, None)
        if last_ns is not None:
            since_ns = min(max(now_ns - last_ns, 0), _LONGEST_PERIOD_NS)
            self._period_ns += round((since_ns - self._period_ns) * _GAIN)
        if self._adapts and entered.slack_ns is not None:
            self._adapt(entered.slack_ns, held=entered.held)

    def _adapt(self, slack_ns: int, *, held: bool) -> None:
        if slack_ns < 0 and not held:
            return  # The node waited for the camera, not for us.
        if slack_ns > 0:
            self.delay_ns += round(_GAIN * min(slack_ns, self._period_ns))
        else:
            self.delay_ns += max(round(_GAIN * _IDLE_WEIGHS * slack_ns), -self._period_ns // 2)
        if self.delay_ns > self._period_ns and self.window > 1:
            self.window -= 1
            self.delay_ns -= self._period_ns
        elif self.delay_ns < 0 and self.window < self._tickets:
            self.window += 1
            self.delay_ns += self._period_ns
        self.delay_ns = min(max(self.delay_ns, 0), self._period_ns)
