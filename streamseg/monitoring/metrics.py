"""A run for Prometheus: every metric is made anew of the last snapshot whenever somebody asks."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, reduce
from typing import get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from streamseg.monitoring.figures import drops, objects
from streamseg.monitoring.health import unhealthy, unready
from streamseg.monitoring.monitor import Monitor
from streamseg.monitoring.snapshot import VERSION, Snapshot
from streamseg.transport.control import Stats
from streamseg.transport.histogram import BOUNDS_MS, Histogram
from streamseg.types import ObjectState

_RECONNECTS = "reconnects"


def exposition(monitor: Monitor) -> Callable[[str], tuple[bytes, str]]:
    """What answers a scrape: takes its ``Accept`` header, gives the text and its content type."""
    registry = CollectorRegistry()
    registry.register(RunCollector(monitor))
    return partial(_text, registry)


def _text(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class RunCollector(Collector):
    """The metrics of a run."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        run = self._monitor.snapshot
        yield from _of_run(run)
        yield from _of_streams(run)
        yield from _of_nodes(run)


def _of_run(run: Snapshot) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "streamseg_build",
        "Which streamseg this is.",
        value={"version": VERSION, "python": platform.python_version()},
    )
    yield GaugeMetricFamily(
        "streamseg_up", "Whether the run makes progress (as /healthz).", value=unhealthy(run) is None
    )
    yield GaugeMetricFamily(
        "streamseg_ready", "Whether all of it works and every live source has pictures.", value=unready(run) is None
    )
    yield CounterMetricFamily(
        "streamseg_restarts", "How often processes, or all of the run, were started again.", value=run.restarts
    )


def _of_streams(run: Snapshot) -> Iterator[Metric]:
    counts: Mapping[str, tuple[str, Callable[[Stats], int]]] = {
        "streamseg_frames_in": ("Frames that the source had, the dropped ones included.", _frames_in),
        "streamseg_frames_out": ("Frames that every sink has finished.", lambda stats: stats.finished.get("done", 0)),
        "streamseg_reconnects": (
            "How often a lost source came back.",
            lambda stats: stats.counters.get(_RECONNECTS, 0),
        ),
    }
    streams = [(name, run.totals.get(name, Stats())) for name in run.sources]
    for name, (what, count) in counts.items():
        yield _counter(name, what, ["stream"], (((stream,), count(stats)) for stream, stats in streams))
    dropped = (((stream, why), n) for stream, stats in streams for why, n in drops(stats).items())
    yield _counter("streamseg_frames_dropped", "Frames that were let go, by the reason.", ["stream", "reason"], dropped)
    yield _histogram(
        "streamseg_latency_seconds",
        "From the capture of a frame until every sink was done with it.",
        "stream",
        ((stream, stats.latencies) for stream, stats in streams),
    )
    in_flight = (((name,), run.in_flight(name)) for name in run.sources)
    yield _gauge("streamseg_frames_in_flight", "Frames between source and sinks.", ["stream"], in_flight)
    present = (((name,), not stats.away) for name, stats in streams)
    yield _gauge("streamseg_source_up", "Whether the source is there.", ["stream"], present)
    silent = (((name,), max(0.0, run.seen_s - run.out_s[name])) for name in run.sources)
    yield _gauge("streamseg_silent_seconds", "Since a frame last came out.", ["stream"], silent)
    states = [(name, objects(run, name)) for name in run.sources]
    each = (((name, state), found.get(state, 0)) for name, found in states for state in get_args(ObjectState))
    yield _gauge("streamseg_objects", "Objects of the last frame, by state.", ["stream", "state"], each)


def _of_nodes(run: Snapshot) -> Iterator[Metric]:
    found = {name: run.of_node(name) for name in dict.fromkeys(run.nodes.values())}
    nodes = {name: [total for total, _ in pairs] for name, pairs in found.items()}
    yield _counter(
        "streamseg_frames_failed",
        "Frames that a node failed at.",
        ["node"],
        (((name,), sum(each.failed for each in stats)) for name, stats in nodes.items()),
    )
    yield _counter(
        "streamseg_busy_seconds",
        "For how long a node was at work, all its processes together.",
        ["node"],
        (((name,), sum(each.busy_s for each in stats)) for name, stats in nodes.items()),
    )
    yield _histogram(
        "streamseg_process_seconds",
        "Time that a node works on a frame.",
        "node",
        ((name, _sum(each.process_times for each in stats)) for name, stats in nodes.items()),
    )
    yield _histogram(
        "streamseg_frame_age_seconds",
        "How long ago a frame had come to this machine when a node was done with it.",
        "node",
        ((name, _sum(each.ages for each in stats)) for name, stats in nodes.items()),
    )
    waiting = (((name,), sum(now.waiting + now.held for _, now in pairs)) for name, pairs in found.items())
    yield _gauge("streamseg_queue_frames", "Frames that wait at a node.", ["node"], waiting)
    own = (
        ((name, event), sum(each.counters.get(event, 0) for each in stats))
        for name, stats in nodes.items()
        for event in sorted({event for each in stats for event in each.counters} - {_RECONNECTS})
    )
    yield _counter("streamseg_events", "What a node counts of its own (Node.counters).", ["node", "event"], own)


def _frames_in(stats: Stats) -> int:
    return stats.entered + stats.dropped


def _sum(times: Iterable[Histogram]) -> Histogram:
    return reduce(Histogram.plus, times, Histogram())


def _counter(name: str, what: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    metric = CounterMetricFamily(name, what, labels=labels)
    for found, value in values:
        metric.add_metric(list(found), value)
    return metric


def _gauge(name: str, what: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    metric = GaugeMetricFamily(name, what, labels=labels)
    for found, value in values:
        metric.add_metric(list(found), value)
    return metric


def _histogram(name: str, what: str, label: str, values: Iterable[tuple[str, Histogram]]) -> Metric:
    metric = HistogramMetricFamily(name, what, labels=[label])
    for found, times in values:
        buckets, seen = [], 0
        for bound_ms, count in zip((*BOUNDS_MS, math.inf), times.counts, strict=True):
            seen += count
            buckets.append(("+Inf" if bound_ms == math.inf else str(bound_ms / 1000), float(seen)))
        metric.add_metric([found], buckets, times.sum_ms / 1000)
    return metric
