"""Whether a run is alive, and whether it does what it is there for; if not, why, in words."""

from __future__ import annotations

import time

from streamseg.monitoring.snapshot import Snapshot
from streamseg.redaction import printable, redact_text

SILENT_S = 30.0
"""Whoever drives the run looks at it several times a second, but for the pauses between restarts; after so long without
that it hangs."""
STALLED_S = 20.0
"""So long nothing may move while frames are in flight and no process is busy."""


def unhealthy(run: Snapshot) -> str | None:
    """Why somebody should end the run and start it anew; None while it makes progress.

    A run that starts, that waits for its camera, or in which a process is busy or being replaced makes progress.
    """
    now_s = time.monotonic()
    if now_s - run.seen_s > SILENT_S:
        return f"the supervisor has said nothing for {now_s - run.seen_s:.0f} s"
    in_flight = sum(run.in_flight(source) for source in run.sources)
    if in_flight and run.ready.issuperset(run.nodes) and now_s - run.moved_s > STALLED_S:
        return f"nothing has moved for {now_s - run.moved_s:.0f} s although {in_flight} frames are in flight"
    return None


def unready(run: Snapshot) -> str | None:
    """Why nobody should rely on results yet, or now; None if every process works and every live source has pictures."""
    reason = unhealthy(run)
    if reason is not None:
        return reason
    missing = [who for who in run.nodes if who not in run.ready]
    if missing:
        return f"not set up yet: {', '.join(missing)}"
    if run.state != "running":
        return f"the run is {run.state}"
    without = [f"{name} {why}" for name in run.sources if (why := _without_picture(run, name)) is not None]
    return "; ".join(without) or None


def _without_picture(run: Snapshot, source: str) -> str | None:
    stats = run.now.get(source)
    if stats is None:
        return "has said nothing yet"
    if not stats.live or stats.ended:
        return None
    if stats.away:
        return f"is away: {printable(redact_text(stats.away))}"
    return None if stats.entered + stats.dropped else "has had no picture yet"
