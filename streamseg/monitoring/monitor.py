"""Looks at a run again and again, in the thread that drives it; others ask what it has seen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping

from streamseg.graph.plan import Plan
from streamseg.monitoring.snapshot import Snapshot, State, added, identities
from streamseg.transport.control import Stats

WINDOW_S = 10.0
"""Rates are over the last so many seconds."""
_STEP_S = 0.5


class Monitor:
    """Keeps what it has seen last, and what it saw some seconds before. It outlives restarts: counts never fall.

    Args:
        plan: of the graph that runs.
    """

    def __init__(self, plan: Plan) -> None:
        self._nodes = identities(plan)
        self._sources = list(plan.sources)
        self._gone: dict[str, Stats] = {}  # sums of what processes had done that are no more
        self._last: dict[str, Stats] = {}
        self._totals: dict[str, Stats] = {}
        self._began_s = self._moved_s = time.monotonic()
        self._out_s = dict.fromkeys(self._sources, self._began_s)
        self._places: object = None
        self._history: deque[Snapshot] = deque()
        self.snapshot = self._take("starting", {}, (), 0)
        """The run as it was seen last; replaced as a whole, so any thread may take it."""

    def look(
        self,
        state: State,
        stats: Mapping[str, Stats],
        ready: Collection[str],
        *,
        working: bool = False,
        restarts: int = 0,
    ) -> None:
        """See how far the run is.

        Args:
            state: of the supervisor.
            stats: last figures of every process, by its identity.
            ready: identities of those that are set up.
            working: whether some process is busy at one thing, so that nothing else need move.
            restarts: how often processes, or all of the run, were started again.
        """
        now_s = time.monotonic()
        for who, each in stats.items():
            if who in self._nodes and each is not self._last.get(who):
                self._count(who, each, now_s)
        places = {who: (each.passed, each.entered, sum(each.finished.values())) for who, each in stats.items()}
        idle = not any(each.entered - sum(each.finished.values()) for each in stats.values())
        if places != self._places or working or idle:
            self._places, self._moved_s = places, now_s
        self.snapshot = self._take(state, stats, ready, restarts)
        if not self._history or now_s - self._history[-1].seen_s >= _STEP_S:
            self._history.append(self.snapshot)
        while len(self._history) > 1 and now_s - self._history[1].seen_s >= WINDOW_S:
            self._history.popleft()

    def before(self) -> Snapshot:
        """The run as it was at the beginning of the window that rates are over."""
        # Another thread may be adding to it; the first entry is there from the first look on.
        return self._history[0] if self._history else self.snapshot

    def _count(self, who: str, stats: Stats, now_s: float) -> None:
        last = self._last.get(who)
        if last is not None and last.pid != stats.pid:
            self._gone[who] = added(self._gone.get(who, Stats()), last)
        if who in self._out_s and (last is None or stats.finished != last.finished):
            self._out_s[who] = now_s
        self._last[who] = stats
        self._totals[who] = added(self._gone.get(who, Stats()), stats)

    def _take(self, state: State, stats: Mapping[str, Stats], ready: Collection[str], restarts: int) -> Snapshot:
        return Snapshot(
            seen_s=time.monotonic(),
            began_s=self._began_s,
            state=state,
            nodes=self._nodes,
            sources=self._sources,
            ready=frozenset(ready),
            totals=dict(self._totals),
            now=dict(stats),
            moved_s=self._moved_s,
            out_s=dict(self._out_s),
            restarts=restarts,
        )
