"""Whole graphs with their processes: how many frames a second, and how old a frame is when all is done with it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamseg.benchmarking.clip import Box
from streamseg.benchmarking.figures import Figure, Measured, figures
from streamseg.benchmarking.halves import Model, engines_of
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.graph.standard import make_prompts, standard_graph
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.transport.control import Stats

_QUANTILES = ("p50", "p95", "p99")
_PACE_S = 0.02
# Connections are made, pages are touched for the first time.
_WARM_UP_HANDED_OVER = 20


class Clip(NamedTuple):
    """What is followed where."""

    path: Path
    box: Box
    frames: int
    """At most so many are taken of it."""
    folder: Path
    """Runs write there."""


class Ran(NamedTuple):
    """One run of a graph."""

    fps: float
    """From the first report after the warm-up to the end."""
    stats: Mapping[str, Stats]


def measure_pipeline(model: Model, clip: Clip, *, rounds: int, warm_up: int) -> Measured:
    """Frames/s of recording masks, without and with the overlay; the engines take turns in every round.

    Args:
        model: which, and the engines that take turns.
        clip: what is followed.
        rounds: how often.
        warm_up: frames of each run that are not counted.

    Raises:
        StreamsegError: whatever ends a run.
    """
    told: list[Figure] = []
    nodes: dict[str, dict[str, float]] = {}
    for what, overlay in (("masks", False), ("masks and overlay", True)):
        runs = _in_turns(model, rounds, lambda engine: _recording(model, clip, engine, overlay=overlay), warm_up)  # noqa: B023
        rates = {f"{engine}, {what}": [[ran.fps] for ran in each] for engine, each in runs.items()}
        told += figures(rates, "frames/s", more_is_faster=True)
        for engine, each in runs.items():
            nodes[f"{engine}, {what}"] = {node: s.process_ms.get("p50", 0.0) for node, s in each[-1].stats.items()}
    return Measured(
        benchmark="pipeline",
        settings=_settings(model, clip, rounds),
        figures=told,
        facts={"p50_ms_of_each_node_in_the_last_round": nodes},
    )


def measure_latency(model: Model, clip: Clip, *, rounds: int) -> Measured:
    """Milliseconds of a frame that has the graph for itself, from its capture until it is recorded; and of each node.

    Arguments and errors are those of `measure_pipeline`.
    """

    def alone(engine: str) -> config.Graph:
        return msgspec.structs.replace(_recording(model, clip, engine, overlay=False), tickets=1)

    runs = _in_turns(model, rounds, alone)
    told = _ages("from capture to recorded", runs)
    for node in next(iter(runs.values()))[0].stats:
        medians = {
            f"{engine}, {node} p50": [[ran.stats[node].process_ms["p50"]] for ran in each]
            for engine, each in runs.items()
        }
        told += figures(medians, "ms")
    return Measured(benchmark="latency", settings=_settings(model, clip, rounds), figures=told)


def measure_live(model: Model, clip: Clip, *, rounds: int) -> Measured:
    """Milliseconds from decoded to published where frames come at the clip's own pace and are lost rather than late.

    The first frames, at which everything is slower, count as in any run. Arguments and errors are those of
    `measure_pipeline`.
    """
    # The path of a socket may not be long.
    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/masks"
        runs = _in_turns(model, rounds, lambda engine: _graph(model, clip, engine, live=True, publish=address))
    done: dict[str, list[int]] = {}
    lost: dict[str, list[int]] = {}
    for engine, each in runs.items():
        ends = [ran.stats["decode"] for ran in each]
        done[engine] = [stats.finished.get("done", 0) for stats in ends]
        lost[engine] = [stats.dropped + stats.finished.get("dropped", 0) for stats in ends]
    return Measured(
        benchmark="live",
        settings=_settings(model, clip, rounds),
        figures=_ages("from decoded to published", runs),
        facts={"frames_published_in_each_round": done, "frames_lost_in_each_round": lost},
    )


def measure_transport(frame_size: tuple[int, int], frames: int, *, rounds: int) -> Measured:
    """Milliseconds until a frame that one process owns can be read in another: copied, sent, received, both ends read.

    Args:
        frame_size: (height, width) in pixels.
        frames: how many in each round.
        rounds: how often.

    Raises:
        StreamsegError: whatever ends a run.
    """
    height, width = frame_size
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            ages = Path(folder) / "ages.json"
            hand_over(ages, frames=frames + _WARM_UP_HANDED_OVER, pause_s=_PACE_S, height=height, width=width)
            found.append([float(age) for age in json.loads(ages.read_text())[_WARM_UP_HANDED_OVER:]])
    return Measured(
        benchmark="transport",
        settings={"frame": f"{width}x{height}", "frames": frames, "rounds": rounds, "one_every_s": _PACE_S},
        figures=figures({f"{width}x{height} RGB to another process": found}, "ms"),
    )


def hand_over(path: Path, *, frames: int, pause_s: float, height: int, width: int) -> None:
    """Run a graph of a source and a sink; the ages of its frames in milliseconds are in `path` then, a JSON list."""
    timed = "streamseg.benchmarking.timed_nodes"
    options = {"frames": frames, "pause_s": pause_s, "height": height, "width": width}
    graph = {
        "nodes": {
            "frames": {"use": f"{timed}:PacedFrames", "options": options},
            "read": {"use": f"{timed}:ReadAges", "options": {"path": str(path)}},
        },
        "links": ["frames -> read"],
    }
    with Supervisor(Plan(config.parse(graph))) as supervisor:
        supervisor.run()


def run(graph: config.Graph, *, warm_up: int) -> Ran:
    """Run a graph of one source to its end.

    Args:
        graph: what to run.
        warm_up: frames after which frames/s are counted.

    Raises:
        StreamsegError: whatever ends it.
    """
    plan = Plan(graph)
    source = plan.sources[0]
    first: tuple[int, float] | None = None
    with Supervisor(plan) as supervisor:
        while supervisor.state != "finished":
            supervisor.pump(100)
            stats = supervisor.stats.get(source)
            if first is None and stats is not None and stats.finished.get("done", 0) >= max(1, warm_up):
                first = stats.finished["done"], stats.running_s
        supervisor.raise_error()
    last = supervisor.stats[source]
    done, running_s = first if first is not None and first[1] < last.running_s else (0, 0.0)
    return Ran((last.finished.get("done", 0) - done) / (last.running_s - running_s), dict(supervisor.stats))


def _in_turns(model: Model, rounds: int, make: Callable[[str], config.Graph], warm_up: int = 0) -> dict[str, list[Ran]]:
    """Engine -> what its graph did in each round."""
    runs: dict[str, list[Ran]] = {engine: [] for engine in engines_of(model)}
    for _ in range(rounds):
        for engine, each in runs.items():
            each.append(run(make(engine), warm_up=warm_up))
    return runs


def _recording(model: Model, clip: Clip, engine: str, *, overlay: bool) -> config.Graph:
    output = str(clip.folder / "recorded")
    return _graph(model, clip, engine, output=output, overwrite=True, overlay=overlay)


def _graph(model: Model, clip: Clip, engine: str, **options: Any) -> config.Graph:
    checkpoint = None if model.checkpoint is None else str(model.checkpoint)
    chosen = {"model": model.name, "checkpoint": checkpoint, "device": model.device, "engine": engine}
    graph = standard_graph(str(clip.path), make_prompts([clip.box]), max_frames=clip.frames, **{**chosen, **options})
    if model.threads is None:
        return graph
    plain = config.to_plain(graph)
    for name in ("embed", "propagate"):
        plain["nodes"][name]["threads"] = model.threads
    return config.parse(plain)


def _ages(what: str, runs: Mapping[str, list[Ran]]) -> list[Figure]:
    """The quantiles of the latency from end to end, each over the rounds."""
    told = []
    for quantile in _QUANTILES:
        ages = {
            f"{engine}, {what} {quantile}": [[ran.stats["decode"].latency_ms[quantile]] for ran in each]
            for engine, each in runs.items()
        }
        told += figures(ages, "ms")
    return told


def _settings(model: Model, clip: Clip, rounds: int) -> dict[str, Any]:
    return {
        "model": model.name,
        "device": model.device,
        "engines": engines_of(model),
        "threads": "each node's own" if model.threads is None else model.threads,
        "clip": clip.path.name,
        "box_xyxy": list(clip.box),
        "frames": clip.frames,
        "rounds": rounds,
    }
