"""What recovery costs: throughput with and without commits and heartbeats.

    python benchmarks/recovery.py

A 1280x720 video is recorded with a color threshold in the model's place, so that recording is the larger part of the
work, and then with the bundled model. Every round runs each way in turn. Without commits the same files are written,
but no log, and nothing is made durable; heartbeats are left out together with them. Beside frames/s there is the
processor time of all processes, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any

import bench_report as report
from bench_clip import make_clip
from bench_nodes import let_workers_import

from streamseg.graph import config
from streamseg.graph.plan import Plan, WorkerSpec
from streamseg.graph.standard import make_prompts, standard_graph
from streamseg.jobs import Job
from streamseg.runtime.report import make_report
from streamseg.runtime.supervision.processes import Child
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.runtime.supervision.worker_pool import WorkerPool

GOAL = 0.97


class Unwatched(WorkerPool):
    """Without heartbeats, and nobody to miss them."""

    def _start(self, spec: WorkerSpec, number: int, job: Job | None) -> None:
        self._watchdog.kill_hung = lambda children, past_first_frame: None
        child = Child(self.assignment(spec))
        self.children[spec.identity] = child
        self._janitor.watch(child.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600)
    args = parser.parse_args()
    let_workers_import()
    facts: dict[str, Any] = {"machine": report.machine(), "rounds": args.rounds, "frames": args.frames}
    report.say_machine(facts["machine"])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        box = make_clip(clip, 1280, 720, args.frames)
        for title, graph in (("threshold", threshold(clip, folder)), ("bundled model", model(clip, box, folder))):
            fps: dict[str, list[float]] = {"without": [], "with": []}
            work_s: dict[str, list[float]] = {"without": [], "with": []}
            for number in range(args.rounds):
                for way in ("without", "with") if number % 2 else ("with", "without"):
                    found, seconds = measure(graph, recover=way == "with")
                    fps[way].append(found)
                    work_s[way].append(seconds)
                    print(f"round {number + 1}  {title}, {way}: {found:.1f} frames/s, {seconds:.1f} s", flush=True)
            for what, ours, theirs in (("frames/s", fps, "with"), ("processor s", work_s, "without")):
                other = "without" if theirs == "with" else "with"
                middle, low, high = report.ratios(ours[theirs], ours[other])
                medians = [f"{statistics.median(ours[way]):.1f}" for way in ("without", "with")]
                rows.append([f"{title}, {what}", *medians, f"{middle:.3f}", f"{low:.3f} - {high:.3f}", f">= {GOAL}"])
            facts[title] = {"fps": fps, "processor_s": work_s}
    head = ["1280x720, recorded", "without", "with", "ratio", "over the rounds", "goal"]
    print("\n" + report.table(head, rows))
    report.save("recovery", facts)


def measure(graph: config.Graph, *, recover: bool) -> tuple[float, float]:
    """Frames/s of one run, and the processor time of its worker processes in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    supervisor = Supervisor(Plan(graph), job=Job(facts={"benchmark": "recovery"}) if recover else None)
    if not recover:
        supervisor.pool = Unwatched(supervisor.plan, logging.WARNING, None)
    with supervisor:
        supervisor.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return make_report(supervisor.plan, supervisor.stats, supervisor.facts).fps, work_s


def threshold(clip: Path, folder: Path) -> config.Graph:
    """decode -> a color threshold -> record."""
    return config.parse(
        {
            "nodes": {
                "decode": {"options": {"source": str(clip)}},
                "threshold": {"use": "bench_nodes:Threshold"},
                "record": {"options": {"output": str(folder / "light"), "overwrite": True}},
            },
            "links": ["decode -> threshold -> record"],
        }
    )


def model(clip: Path, box: tuple[int, ...], folder: Path) -> config.Graph:
    """The main job with one object."""
    return standard_graph(str(clip), make_prompts([box]), output=str(folder / "model"), overwrite=True)


if __name__ == "__main__":
    main()
