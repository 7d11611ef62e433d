"""What a run has to say for itself when it is over: the content of ``run.json``."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import msgspec

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.jobs import Job
from streamseg.transport.control import Stats


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one run. Times in milliseconds are per frame."""

    frames_in: int
    """Frames that the sources saw, those that a live source dropped included."""
    frames_out: int
    """Frames that every sink finished in good order."""
    dropped: int
    """Frames that a live source, or a node on purpose, let go."""
    failed: int
    """Frames that some node failed at."""
    damaged: int
    """Pieces of the source that could not be decoded and were left out."""
    restarts: int = 0
    """How often the job was started again; frames are counted over all its runs, each of them once."""
    fps: float
    """Frames that came out for each second between the start of the sources and the end, in the last run."""
    latency_ms: dict[str, dict[str, float]]
    """Stage -> p50, p95, p99 of the time it works on a frame; under ``"end_to_end"`` from capture to the last sink."""
    load: dict[str, float]
    """Stage -> share of the time that it was at work."""
    stopped_early: bool
    error: dict[str, Any] | None = None
    """What ended the run, if not the end of its sources: kind, message, exit_code."""
    model: dict[str, Any] | None
    """Name and SHA-256 of the model that looked at the frames; None if the graph has none."""
    nodes: dict[str, dict[str, Any]]
    """What each node says of itself: source, model, checksum, files."""
    graph: dict[str, Any]
    versions: dict[str, str]


def make_report(
    plan: Plan,
    stats: Mapping[str, Stats],
    facts: Mapping[str, dict[str, Any]],
    *,
    stopped_early: bool = False,
    job: Job | None = None,
) -> Report:
    """Sum up a run from the last figures of its processes.

    Args:
        job: what it was a part of; the frames of earlier runs are counted too.
    """
    before = [] if job is None else list(job.positions.values())
    sources = [stats[name] for name in plan.sources if name in stats]
    finished = {kind: sum(s.finished.get(kind, 0) for s in sources) for kind in ("done", "dropped", "failed")}
    done_now = finished["done"]
    finished["dropped"] += sum(place.dropped for place in before)
    finished["failed"] += sum(place.failed for place in before)
    finished["done"] += sum(place.seq - place.dropped - place.failed for place in before)
    dropped_early = sum(s.dropped for s in sources)
    running_s = max((s.running_s for s in sources), default=0.0)
    ordered = sorted(stats, key=lambda name: (plan.order.index(name.partition(".")[0]), name))
    latency_ms = {name: stats[name].process_ms for name in ordered if stats[name].process_ms}
    for name in plan.sources:
        if name in stats:
            key = "end_to_end" if len(plan.sources) == 1 else f"end_to_end.{name}"
            latency_ms[key] = stats[name].latency_ms
    return Report(
        frames_in=sum(s.entered for s in sources) + sum(place.seq for place in before) + dropped_early,
        frames_out=finished["done"],
        dropped=finished["dropped"] + dropped_early,
        failed=finished["failed"],
        damaged=sum(int(facts[name].get("damaged", 0)) for name in plan.sources if name in facts),
        restarts=0 if job is None else job.restarts,
        fps=round(done_now / running_s, 3) if running_s else 0.0,
        latency_ms=latency_ms,
        load={name: _share(stats[name]) for name in ordered},
        stopped_early=stopped_early,
        model=_model(facts.values()),
        nodes={name: facts[name] for name in sorted(facts)},
        graph=config.to_plain(plan.graph),
        versions=_versions(),
    )


def _share(stats: Stats) -> float:
    return round(stats.busy_s / stats.running_s, 3) if stats.running_s else 0.0


def _model(facts: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    for each in facts:
        if "model" in each and "sha256" in each:
            return {"name": each["model"], "sha256": each["sha256"]}
    return None


def _versions() -> dict[str, str]:
    packages = (
        "streamseg",
        "segment-anything",
        "torch",
        "onnxruntime",
        "openvino",
        "numpy",
        "av",
        "opencv-python-headless",
        "pyzmq",
    )
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
