"""Frames per second of whole graphs: do the stages overlap, and is it faster than the plain script?

    python benchmarks/pipeline.py [--rounds 3] [--frames 300] [--only overlap,script]

overlap: frames/s times the slowest stage's own time, which is 1 if nothing but that stage counts. Own times are taken
in the same round by running the same graph in one process and one thread. Two stages of equal work fill two cores;
the real graph has more stages than that, so beside it stands what the cores could do at most.

script: ``streamseg run`` on a 1280x720 clip with one object, beside ``plain_script.py`` with the same model in the same
ONNX Runtime and as many threads as there are cores; and the same script in torch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import bench_report as report
import cv2
from bench_clip import make_clip
from bench_nodes import compute, let_workers_import

from streamseg.benchmarking.runs import run
from streamseg.graph import config
from streamseg.graph.plan import Plan, cores
from streamseg.graph.standard import make_prompts, standard_graph
from streamseg.runtime.inline import InlineRun

WORK_MS = 10.0
WARM_UP = 20
PLAIN = "plain script, whole frames"
OVERLAP_GOAL = 0.9


class Overlap(NamedTuple):
    """One round of one graph."""

    own_ms: dict[str, float]
    fps: float

    @property
    def slowest_ms(self) -> float:
        return max(self.own_ms.values())

    @property
    def of_slowest(self) -> float:
        return self.fps * self.slowest_ms / 1e3

    @property
    def of_cores(self) -> float:
        """Of what the cores could do: no more than one frame per slowest stage, nor than all work spread evenly."""
        return self.fps * max(self.slowest_ms, sum(self.own_ms.values()) / cores()) / 1e3


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    facts: dict[str, Any] = {"machine": machine}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        box = make_clip(clip, 1280, 720, args.frames)
        if "overlap" in args.only:
            facts["overlap"] = _overlap(args, clip, box, Path(folder))
        if "script" in args.only:
            facts["script"] = _script(args, clip, box, Path(folder))
    report.save("pipeline", facts)


def _overlap(args: argparse.Namespace, clip: Path, box: tuple[int, ...], folder: Path) -> dict[str, Any]:
    work_rounds = _calibrate()
    graphs: dict[str, Callable[[], config.Graph]] = {
        "two equal stages": lambda: _two_stages(work_rounds, args.frames),
        "whole frames, record": lambda: _real(clip, box, folder / "real"),
    }
    found: dict[str, list[Overlap]] = {name: [] for name in graphs}
    for number in range(args.rounds):
        for name, make in graphs.items():
            own_ms = _own_times(make())
            found[name].append(Overlap(own_ms, run(make(), warm_up=WARM_UP).fps))
            stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in own_ms.items())
            last = found[name][-1]
            print(f"round {number + 1}  {name}: {last.fps:.1f} frames/s; own ms: {stages}", flush=True)
    rows = [
        [
            name,
            f"{_median(r.slowest_ms for r in rounds):.1f}",
            f"{_median(r.fps for r in rounds):.1f}",
            f"{_median(r.of_slowest for r in rounds):.2f}",
            f"{_median(r.of_cores for r in rounds):.2f}",
            f">= {OVERLAP_GOAL}" if name == "two equal stages" else "",
        ]
        for name, rounds in found.items()
    ]
    head = [
        "graph, one thread a stage",
        "slowest ms",
        "frames/s",
        "of 1 / slowest",
        f"of {cores()} cores' best",
        "goal",
    ]
    print("\n" + report.table(head, rows) + "\n")
    return {name: [{"own_ms": r.own_ms, "fps": r.fps} for r in rounds] for name, rounds in found.items()}


def _script(args: argparse.Namespace, clip: Path, box: tuple[int, ...], folder: Path) -> dict[str, list[float]]:
    words = [sys.executable, "-m", "streamseg", "run", str(clip), "--box", ",".join(map(str, box))]
    words += ["--overwrite", "--json", "-o", str(folder / "run")]
    plain = [sys.executable, str(Path(__file__).with_name("plain_script.py")), str(clip), ",".join(map(str, box))]
    plain += [str(folder / "plain"), "--threads", str(cores())]
    ways: dict[str, Callable[[], float]] = {
        PLAIN: lambda: _plain_fps(plain),
        "plain script in torch": lambda: _plain_fps([*plain, "--engine", "torch"]),
        "streamseg, whole frames": lambda: _run_fps([*words, "--no-overlay", "--focus", "off", "--tracker", "naive"]),
        "streamseg, defaults, no overlay": lambda: _run_fps([*words, "--no-overlay"]),
        "streamseg, defaults, overlay": lambda: _run_fps(words),
    }
    goals = {"streamseg, defaults, no overlay": ">= 30", "streamseg, defaults, overlay": ">= 20"}
    fps: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(args.rounds):
        for name, measure in ways.items():
            fps[name].append(measure())
            print(f"round {number + 1}  {name}: {fps[name][-1]:.1f} frames/s", flush=True)
    rows = []
    for name, rounds in fps.items():
        middle, low, high = report.ratios(rounds, fps[PLAIN])
        spread = f"{low:.2f} - {high:.2f}"
        rows.append([name, f"{statistics.median(rounds):.1f}", f"{middle:.2f} x", spread, goals.get(name, "")])
    print("\n" + report.table(["1280x720, one object", "frames/s", "of the script's", "over the rounds", "goal"], rows))
    return fps


def _calibrate() -> int:
    """How many rounds of `compute` take `WORK_MS`."""
    cv2.setNumThreads(1)
    compute(100)
    started_s = time.perf_counter()
    compute(500)
    return max(1, round(500 * WORK_MS / 1e3 / (time.perf_counter() - started_s)))


def _two_stages(rounds: int, frames: int) -> config.Graph:
    return config.parse(
        {
            "nodes": {
                "ticks": {"use": "bench_nodes:Ticks", "options": {"frames": frames}},
                "work": {"use": "bench_nodes:Work", "options": {"rounds": rounds}},
                "last": {"use": "bench_nodes:LastWork", "options": {"rounds": rounds}},
            },
            "links": ["ticks -> work -> last"],
        }
    )


def _real(clip: Path, box: tuple[int, ...], out: Path) -> config.Graph:
    graph = standard_graph(str(clip), make_prompts([box]), focus="off", output=str(out), overlay=False, overwrite=True)
    plain = config.to_plain(graph)
    for node in plain["nodes"].values():
        node["threads"] = 1
    return config.parse(plain)


def _own_times(graph: config.Graph) -> dict[str, float]:
    """Mean milliseconds a frame of every stage, alone in one process and one thread; a source gets what is left."""
    cv2.setNumThreads(1)
    inline = InlineRun(Plan(graph))
    inline.run()
    source = inline.stats[Plan(graph).sources[0]]
    own_ms = {name: 1e3 * s.busy_s / s.frames for name, s in inline.stats.items() if s is not source}
    rest_ms = 1e3 * source.running_s / source.entered - sum(own_ms.values())
    return {Plan(graph).sources[0]: rest_ms, **own_ms}


def _plain_fps(command: list[str]) -> float:
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return float(done["frames"]) / float(done["seconds"])


def _run_fps(command: list[str]) -> float:
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["fps"])


def _median(values: Any) -> float:
    return statistics.median(list(values))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["overlap", "script"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
