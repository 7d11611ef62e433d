"""Noticing a run in which every process lives and waits, and yet nothing moves."""

from __future__ import annotations

import time
from collections.abc import Mapping

from streamseg.graph.plan import Plan
from streamseg.transport.control import Stats

_AWAY_S = 5.0


class ProgressWatch:
    """Compares the figures of all processes with those of a while ago.

    Args:
        plan: of the graph.
        stall_s: how long nothing may move although frames are in flight.
    """

    def __init__(self, plan: Plan, stall_s: float) -> None:
        self._plan = plan
        self._stall_s = stall_s
        self._figures: object = None
        self._moved_s = self._checked_s = time.monotonic()

    def stalled(self, stats: Mapping[str, Stats], *, working: bool) -> str | None:
        """What to say of a run in which nothing has moved for too long; None if it goes on.

        Args:
            stats: last figures of every process.
            working: whether some process is busy at one thing, or is being replaced: then something may come of it.
        """
        now_s = time.monotonic()
        # Were we ourselves away (stopped, the machine asleep, the caller at its frame), nobody could be heard.
        away = now_s - self._checked_s > _AWAY_S
        self._checked_s = now_s
        in_flight = {name: _in_flight(stats[name]) for name in self._plan.sources if name in stats}
        figures = {who: (each.passed, each.entered, sum(each.finished.values())) for who, each in stats.items()}
        if figures != self._figures or working or away or not any(in_flight.values()):
            self._figures = figures
            self._moved_s = now_s
            return None
        if now_s - self._moved_s < self._stall_s:
            return None
        return (
            f"expected frames to go on, but nothing has moved for {self._stall_s:g} s although "
            f"{_counted(in_flight)} in flight: {self._where(stats)}; -v says more, and "
            f"recovery: {{stall_s: …}} in the graph allows more time"
        )

    def _where(self, stats: Mapping[str, Stats]) -> str:
        found = []
        for name in self._plan.order:
            own = [each for who, each in stats.items() if who.partition(".")[0] == name]
            if name in self._plan.sources or not own:
                continue
            waiting, held = sum(each.waiting for each in own), sum(each.held for each in own)
            words = f"{name} passed on {sum(each.passed for each in own)}"
            words += f" and has {waiting} that it cannot begin" if waiting else ""
            words += f" and holds {held} back, since one before them never came" if held else ""
            found.append(words)
        return ", ".join(found)


def _in_flight(source: Stats) -> int:
    return source.entered - sum(source.finished.values())


def _counted(in_flight: Mapping[str, int]) -> str:
    total = sum(in_flight.values())
    names = ", ".join(repr(name) for name, count in in_flight.items() if count)
    return f"{total} frame{'s' if total > 1 else ''} of {names} {'are' if total > 1 else 'is'}"
