"""Several cameras on one machine that is too small for them: how equal their shares are, and whether anything grows.

    python benchmarks/fairness.py [--cameras 4] [--seconds 120] [--size 640x480] [--fps 25]

Each camera is a test pattern with one object, live, pointed at by a box in its first frame; one encoder and one decoder
of the bundled model are shared by all, nothing is recorded but tracks. A share is what a camera got of all frames
after the first tenth of the time, in parts of an equal share; the goal is within 10 %. With a list, such as
``--fps 50,25,25,12``, some cameras are quicker than others.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import bench_report as report
import numpy as np
from bench_nodes import let_workers_import
from memory import Sample, look_at, resident

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.video.pattern import Pattern, parse_pattern

GOAL = 0.1
WARM_UP = 0.1


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    with tempfile.TemporaryDirectory() as folder:
        graph, cameras = _graph(args, Path(folder))
        counts, samples, latency_ms, seconds = _run(graph, cameras, args.seconds)
    fair = sum(counts.values()) / len(counts)
    rows = [
        [
            name,
            f"{rate:g}",
            f"{counts[name] / seconds:.1f}",
            f"{counts[name] / fair:.3f}",
            f"{latency_ms[name]['p50']:.0f}",
            f"{latency_ms[name]['p95']:.0f}",
        ]
        for name, rate in cameras.items()
    ]
    head = [f"{args.size}, {seconds:.0f} s", "offered a second", "got a second", "share", "p50 ms", "p95 ms"]
    print("\n" + report.table(head, rows))
    worst = max(abs(count / fair - 1) for count in counts.values())
    print(f"\nfarthest from an equal share: {100 * worst:.1f} % (goal: {100 * GOAL:.0f} %)\n")
    print(_growth(samples))
    facts = {"machine": machine, "arguments": vars(args), "counts": counts, "samples": samples}
    report.save("fairness", {**facts, "latency_ms": latency_ms})


def _graph(args: argparse.Namespace, folder: Path) -> tuple[config.Graph, dict[str, float]]:
    rates = [float(each) for each in args.fps.split(",")]
    cameras, prompts, nodes = {}, [], {}
    for number in range(args.cameras):
        name, rate = f"camera{number}", rates[number % len(rates)]
        source = f"test://?size={args.size}&fps={rate:g}&objects=1&seed={number}"
        ys, xs = np.nonzero(Pattern(parse_pattern(source)).labels(0))
        box = [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]
        prompts.append({"id": 1, "stream": name, "box": box})
        nodes[name] = {"use": "decode", "options": {"source": source}}
        cameras[name] = rate
    record = {"output": str(folder / "out"), "masks": False, "overlay": False}
    nodes |= {"embed": {}, "propagate": {"options": {"prompts": prompts}}, "cleanup": {}, "record": {"options": record}}
    links = [*(f"{name} -> embed" for name in cameras), "embed -> propagate -> cleanup -> record"]
    return config.parse({"nodes": nodes, "links": links, "feedback": ["propagate -> embed"]}), cameras


def _run(
    graph: config.Graph, cameras: dict[str, float], seconds: float
) -> tuple[dict[str, int], dict[str, list[Sample]], dict[str, dict[str, float]], float]:
    """Frames of each camera after the warm-up, samples of every process, latencies, and how long it took."""
    with Supervisor(Plan(graph)) as supervisor:
        samples: dict[str, list[Sample]] = {name: [] for name in [*supervisor.pool.pids, "supervisor"]}
        began_s: float | None = None
        due_s = from_s = 0.0
        before: dict[str, int] | None = None
        counts: dict[str, int] = {}
        latency_ms: dict[str, dict[str, float]] = {}
        took_s = 0.0
        while supervisor.state != "finished":
            supervisor.pump(200)
            now_s, stats = time.monotonic(), supervisor.stats
            if supervisor.state != "running" or not all(name in stats and stats[name].entered for name in cameras):
                continue
            began_s = began_s or now_s
            if before is None and now_s - began_s >= WARM_UP * seconds:
                before, from_s = {name: stats[name].entered for name in cameras}, now_s
            if before is not None and now_s >= due_s:
                due_s = now_s + max(1.0, seconds / 100)
                for name, pid in {**supervisor.pool.pids, "supervisor": os.getpid()}.items():
                    samples[name].append({"second": now_s - began_s, **look_at(pid)})
            if before is not None and now_s - began_s >= seconds and not supervisor.stopped_early:
                counts = {name: stats[name].entered - before[name] for name in cameras}
                latency_ms = {name: stats[name].latency_ms for name in cameras}
                took_s = now_s - from_s
                supervisor.stop()
        supervisor.raise_error()
    return counts, samples, latency_ms, took_s


def _growth(samples: dict[str, list[Sample]]) -> str:
    rows: list[list[Any]] = []
    for name, found in samples.items():
        first, last = found[0], found[-1]
        spans = [f"{first[key]:.0f} - {last[key]:.0f}" for key in ("files", "threads")]
        rows.append([name, f"{resident(first):.1f}", f"{resident(last):.1f}", *spans])
    return report.table(["process", "MiB first", "last", "descriptors", "threads"], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--fps", default="25", help="one for all, or with commas between them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
