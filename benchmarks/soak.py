"""`make soak`: an hour live and an hour lossless, and whether anything grows, lags or goes missing.

    python benchmarks/soak.py [--minutes 60] [--only live,lossless] [--fps 30] [--toy]

The source is a clip that is looped; live, it comes at its own pace, ``--fps``, and the freshest frame is taken. The
graph is the standard one with the bundled model, recorded with commits and heartbeats, without masks (an hour of them
would be a hundred thousand files); ``--toy`` puts a color threshold in the model's place. At the end frames in have to
be frames out and counted drops, exactly, or the exit code is 1. A slope is within noise if what it adds up to after the
first tenth of the time is less than 2 % of the value, or than three times what the samples scatter about the line.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bench_report as report
import cv2
import numpy as np
from bench_clip import FPS, loop_clip, make_clip
from bench_nodes import let_workers_import
from memory import Sample, look_at, plot, resident

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.graph.standard import make_prompts, standard_graph
from streamseg.jobs import Job
from streamseg.runtime.report import Report, make_report
from streamseg.runtime.supervision.supervisor import Supervisor

CLIP_FRAMES = 500
FASTEST_FPS = 300
WARM_UP = 0.1
GOAL_PERCENT = 2.0


def main() -> int:
    args = _arguments()
    let_workers_import()
    facts: dict[str, Any] = {"machine": report.machine(), "arguments": vars(args)}
    report.say_machine(facts["machine"])
    exact = True
    for way in args.only:
        with tempfile.TemporaryDirectory() as folder:
            samples, found = _run(_graph(args, way, Path(folder)), args.minutes * 60)
        exact &= found.frames_in == found.frames_out + found.dropped + found.failed
        print(f"\n{way}: {found.frames_in} frames in, {found.frames_out} out, {found.dropped} dropped, ", end="")
        print(f"{found.failed} failed, {found.restarts} restarts; {found.fps:.1f} frames/s")
        print(_table(samples))
        report.RESULTS.mkdir(exist_ok=True)
        picture = report.RESULTS / f"soak-{way}.png"
        last = max((sample["frame"] for each in samples.values() for sample in each), default=1.0)
        memory = {name: each for name, each in samples.items() if name != "latency"}
        cv2.imwrite(str(picture), plot(memory, int(last)))
        print(f"plot: {picture}")
        facts[way] = {"frames_in": found.frames_in, "frames_out": found.frames_out, "dropped": found.dropped}
        facts[way] |= {"latency_ms": found.latency_ms, "samples": samples}
    report.save("-".join(["soak", *args.only]), facts)
    return 0 if exact else 1


def _graph(args: argparse.Namespace, way: str, folder: Path) -> config.Graph:
    clip, looped = folder / "clip.mp4", folder / "looped.mp4"
    box = make_clip(clip, 320, 180, CLIP_FRAMES, args.fps)
    frames = args.minutes * 60 * (args.fps if way == "live" else FASTEST_FPS)
    loop_clip(clip, looped, int(frames // CLIP_FRAMES) + 2)
    graph = standard_graph(
        str(looped), make_prompts([box]), live=way == "live", output=str(folder / "out"), masks=False
    )
    plain = config.to_plain(graph)
    if args.toy:
        plain["nodes"] = {name: plain["nodes"][name] for name in ("decode", "cleanup", "record")}
        plain["nodes"]["threshold"] = {"use": "bench_nodes:Threshold"}
        plain |= {"links": ["decode -> threshold -> cleanup -> record"], "feedback": []}
    return config.parse(plain)


def _run(graph: config.Graph, seconds: float) -> tuple[dict[str, list[Sample]], Report]:
    """Samples of every process and of the latency, each with the number of frames so far, and the report."""
    job = Job(facts={"benchmark": "soak"})
    with Supervisor(Plan(graph), job=job) as supervisor:
        source = supervisor.plan.sources[0]
        samples: dict[str, list[Sample]] = {name: [] for name in [*supervisor.pool.pids, "supervisor", "latency"]}
        every_s = max(1.0, seconds / 200)
        started_s = due_s = None
        while supervisor.state != "finished":
            supervisor.pump(200)
            now_s = time.monotonic()
            if supervisor.state != "running" or source not in supervisor.stats:
                continue
            started_s = started_s or now_s
            if now_s - started_s > seconds and not supervisor.stopped_early:
                supervisor.stop()
            if due_s is None or now_s >= due_s:
                due_s = now_s + every_s
                stats = supervisor.stats[source]
                for name, pid in {**supervisor.pool.pids, "supervisor": os.getpid()}.items():
                    samples[name].append({"frame": stats.entered, **look_at(pid)})
                if stats.latency_ms:
                    samples["latency"].append({"frame": stats.entered, **stats.latency_ms})
        supervisor.raise_error()
    return samples, make_report(supervisor.plan, supervisor.stats, supervisor.facts, job=job)


def _table(samples: dict[str, list[Sample]]) -> str:
    rows = []
    for name, found in samples.items():
        settled = found[int(WARM_UP * len(found)) :]
        if len(settled) < 3:
            continue
        values = [sample["p50"] if name == "latency" else resident(sample) for sample in settled]
        counts = ["", ""] if name == "latency" else [_span(settled, key) for key in ("files", "threads")]
        unit = "ms, p50 so far" if name == "latency" else "MiB"
        rows.append([name, unit, f"{values[0]:.1f}", f"{values[-1]:.1f}", *_growth(settled, values), *counts])
    head = ["process", "of", "first", "last", "growth by the fit", "in %", "within noise", "fds", "threads"]
    return report.table(head, rows)


def _growth(settled: list[Sample], values: list[float]) -> list[str]:
    at = np.array([sample["frame"] for sample in settled], float)
    slope, start = np.polyfit(at, values, 1)
    growth = float(slope * (at[-1] - at[0]))
    scatter = float(np.std(np.array(values) - (slope * at + start)))
    percent = 100 * growth / values[0]
    quiet = percent < GOAL_PERCENT or growth < 3 * scatter
    return [f"{growth:+.2f}", f"{percent:+.1f}", "yes" if quiet else "NO"]


def _span(settled: list[Sample], key: str) -> str:
    counts = [int(sample[key]) for sample in settled]
    return f"{counts[0]}" if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["live", "lossless"])
    parser.add_argument("--fps", type=int, default=FPS, help="of the live source")
    parser.add_argument("--toy", action="store_true", help="a color threshold instead of a model")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
