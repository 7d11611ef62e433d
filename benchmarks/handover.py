"""One 1080p RGB frame handed to another process, ready to read: streamseg beside what one would use instead.

    python benchmarks/handover.py [--rounds 5] [--frames 100] [--only streamseg,pyzmq-tcp]

Just before a producer starts to copy or send a frame it writes the time into the frame's first bytes; the consumer
reads the first and the last row and takes the time again. Frames are paced, so nothing queues. The ways take turns in
every round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import tempfile
from pathlib import Path

import bench_report as report
from bench_nodes import let_workers_import
from handover_ways import WAYS, Run

WARM_UP = 20  # connections are made, pages are touched for the first time
# How many times streamseg's median each of them should take at least.
TARGETS = {"imagezmq-req": 2, "imagezmq-pub": 2, "pyzmq-tcp": 2, "dora": 5, "mp-queue": 15}


def main() -> None:
    args = _arguments()
    let_workers_import()
    names = [name for name in args.only or WAYS if _is_there(name)]
    machine = report.machine()
    report.say_machine(machine)
    print(f"{args.rounds} rounds, {args.frames} frames of 1920x1080x3 bytes each, one every {args.pause_ms:g} ms\n")
    ages: dict[str, list[list[float]]] = {name: [] for name in names}
    for number in range(args.rounds):
        for name in names:
            found = _measure(name, args.frames, args.pause_ms / 1e3)
            ages[name].append(found)
            print(f"round {number + 1}  {WAYS[name].title:28s} {statistics.median(found):8.3f} ms", flush=True)
    print("\n" + _table(ages))
    report.save("handover", {"machine": machine, "pause_ms": args.pause_ms, "ages_ms": ages})


def _measure(name: str, frames: int, pause_s: float) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ages.json"
        WAYS[name].measure(Run(frames + WARM_UP, pause_s, path))
        ages_ms = [float(age) for age in json.loads(path.read_text())]
    lost = frames + WARM_UP - len(ages_ms)
    if lost:
        print(f"         {WAYS[name].title}: {lost} of {frames + WARM_UP} frames did not arrive")
    return ages_ms[WARM_UP:] or [math.inf]


def _table(ages: dict[str, list[list[float]]]) -> str:
    medians = {name: [statistics.median(found) for found in rounds] for name, rounds in ages.items()}
    rows = []
    for name, rounds in ages.items():
        everything = [age for found in rounds for age in found]
        row = [WAYS[name].title, f"{statistics.median(medians[name]):.2f}", f"{report.percentile(everything, 95):.2f}"]
        if "streamseg" in medians:
            middle, low, high = report.ratios(medians[name], medians["streamseg"])
            row += [f"{middle:.1f} x", f"{low:.1f} - {high:.1f}"]
        else:
            row += ["", ""]
        rows.append([*row, f">= {TARGETS[name]} x" if name in TARGETS else ""])
    head = ["handed over by", "median ms", "p95 ms", "of streamseg's", "over the rounds", "goal"]
    return report.table(head, rows)


def _is_there(name: str) -> bool:
    missing = [module for module in WAYS[name].needs if importlib.util.find_spec(module) is None]
    if missing:
        print(f"{WAYS[name].title}: left out, {', '.join(missing)} is not installed (pip install 'streamseg[bench]')")
    return not missing


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=100, help="frames of one way in one round")
    parser.add_argument("--pause-ms", type=float, default=30.0)
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of: {', '.join(WAYS)}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
