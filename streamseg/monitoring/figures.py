"""A run in figures for people: rates and times of the last seconds, counts since it began. In JSON at ``/figures``."""

from __future__ import annotations

import time

import msgspec

from streamseg.monitoring.health import unhealthy, unready
from streamseg.monitoring.monitor import Monitor
from streamseg.monitoring.snapshot import VERSION, Snapshot, State
from streamseg.redaction import printable, redact_text
from streamseg.transport.control import Stats
from streamseg.transport.histogram import Histogram


class ProcessFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the graph. Rates, load and times are of the last seconds, None where nothing came."""

    name: str
    node: str
    ready: bool
    fps: float
    """Frames a second that left it."""
    load: float
    """Share of the time that it was at work, 0 to 1."""
    p50_ms: float | None
    """Of the time that it works on a frame."""
    p95_ms: float | None
    age_ms: float | None
    """p50 of how long ago a frame had come to this machine when this node was done with it."""
    queue: int
    """Frames that wait here."""
    failed: int
    """Frames that failed here, since the run began."""
    counters: dict[str, int]
    """What the node counts of its own."""


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. Counts are since the run began."""

    name: str
    live: bool
    frames_in: int
    frames_out: int
    fps: float
    """Frames a second that came out, in the last seconds."""
    dropped: dict[str, int]
    """By the reason; ``graph`` are those that nodes dropped, or that were lost with a process."""
    failed: int
    in_flight: int
    latency_p50_ms: float | None
    """Of the time from the capture of a frame until every sink was done with it: its age then. Of the last seconds."""
    latency_p95_ms: float | None
    silent_s: float
    """How long ago the last frame came out."""
    away: str
    """Why the source is away; empty while it is there."""
    reconnects: int
    objects: dict[str, int]
    """State -> objects of the last frame that are in it."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The run."""

    version: str
    state: State
    up_s: float
    restarts: int
    unhealthy: str | None
    unready: str | None
    processes: list[ProcessFigures]
    streams: list[StreamFigures]


def figures(monitor: Monitor) -> Figures:
    """The figures as of now."""
    run, before = monitor.snapshot, monitor.before()
    return Figures(
        version=VERSION,
        state=run.state,
        up_s=round(time.monotonic() - run.began_s, 1),
        restarts=run.restarts,
        unhealthy=unhealthy(run),
        unready=unready(run),
        processes=[_process(run, before, who) for who in run.nodes],
        streams=[_stream(run, before, source) for source in run.sources],
    )


def drops(total: Stats) -> dict[str, int]:
    """Reason -> how many frames of a source were dropped, before and after they entered the graph."""
    in_graph = total.finished.get("dropped", 0)
    return {**total.dropped_by, "graph": in_graph}


def objects(run: Snapshot, stream: str) -> dict[str, int]:
    """State -> how many objects of the last frame are in it, as the first sink that has any of this stream says."""
    return next((each.objects[stream] for each in run.now.values() if stream in each.objects), {})


def _process(run: Snapshot, before: Snapshot, who: str) -> ProcessFigures:
    now, then = run.totals.get(who, Stats()), before.totals.get(who, Stats())
    seconds = now.running_s - then.running_s
    times = now.process_times.since(then.process_times)
    return ProcessFigures(
        name=who,
        node=run.nodes[who],
        ready=who in run.ready,
        fps=_rate(now.passed - then.passed, seconds),
        load=round(min(1.0, (now.busy_s - then.busy_s) / seconds), 3) if seconds > 0 else 0.0,
        p50_ms=_rounded(times, 0.5),
        p95_ms=_rounded(times, 0.95),
        age_ms=_rounded(now.ages.since(then.ages), 0.5),
        queue=run.now[who].waiting + run.now[who].held if who in run.now else 0,
        failed=now.failed,
        counters=now.counters,
    )


def _stream(run: Snapshot, before: Snapshot, source: str) -> StreamFigures:
    total, then = run.totals.get(source, Stats()), before.totals.get(source, Stats())
    done, done_then = total.finished.get("done", 0), then.finished.get("done", 0)
    latencies = total.latencies.since(then.latencies)
    return StreamFigures(
        name=source,
        live=total.live,
        frames_in=total.entered + total.dropped,
        frames_out=done,
        fps=_rate(done - done_then, total.running_s - then.running_s),
        dropped={reason: count for reason, count in drops(total).items() if count},
        failed=total.finished.get("failed", 0),
        in_flight=run.in_flight(source),
        latency_p50_ms=_rounded(latencies, 0.5),
        latency_p95_ms=_rounded(latencies, 0.95),
        silent_s=round(time.monotonic() - run.out_s[source], 1),
        away=printable(redact_text(total.away)),
        reconnects=total.counters.get("reconnects", 0),
        objects=objects(run, source),
    )


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 2) if seconds > 0 else 0.0


def _rounded(times: Histogram, fraction: float) -> float | None:
    found = times.quantile_ms(fraction)
    return None if found is None else round(found, 2)
