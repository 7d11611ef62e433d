"""What a node counts of its own, as its process tells the supervisor."""

from __future__ import annotations

import logging
import os

import msgspec

from streamseg.node import AnyNode, Source
from streamseg.runtime.node_code import node_code
from streamseg.runtime.node_faults import reason_of
from streamseg.transport.control import Stats

log = logging.getLogger(__name__)

_WITHOUT_REASON = "other"


class OwnCounts:
    """Asks a node for its counts; one that cannot say is not asked again."""

    def __init__(self, node: AnyNode) -> None:
        self._node = node
        self._works = True

    def added_to(self, stats: Stats) -> Stats:
        """The figures of the process, and these."""
        return msgspec.structs.replace(
            stats, pid=os.getpid(), counters=self._counters(), dropped_by=self._reasons(stats)
        )

    def _counters(self) -> dict[str, int]:
        if not self._works:
            return {}
        try:
            with node_code:
                return msgspec.convert(self._node.counters(), dict[str, int])
        except Exception as error:  # noqa: BLE001 (a node's code may raise anything)
            self._works = False
            log.warning("the node's counters are left out from now on: %s", reason_of(error))
            return {}

    def _reasons(self, stats: Stats) -> dict[str, int]:
        """Drops by the reason; what the source gives no reason for is there, too."""
        if not isinstance(self._node, Source):
            return {}
        reasons = dict(stats.dropped_by)
        for reason, count in self._node.dropped_by.items():
            reasons[reason] = reasons.get(reason, 0) + count
        rest = stats.dropped - sum(reasons.values())
        if rest > 0:
            reasons[_WITHOUT_REASON] = rest
        return reasons
