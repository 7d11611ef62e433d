"""How well a batch spreads over the nodes of a Ray cluster.

    python benchmarks/batches.py [--files 40] [--workers 1,2,4] [--busy-s 10]

Short clips are followed on clusters of 1, 2 and 4 nodes of one core each, all of them on this machine, in turns. The
machine has fewer cores than the largest cluster has nodes, so the heavy stage is a detector that sleeps: what is
measured is what the batch, Ray and the starting of runs cost, not what a processor can do. Efficiency is the time of
one node, divided by the number of nodes times the time of so many; the goal is 0.9.

It needs ``pip install 'streamseg[ray]'``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bench_report as report
from bench_clip import make_clip

from streamseg.detector import Detector
from streamseg.messages import Detection, Frame

GOAL = 0.9
FRAMES = 10


class Sleeping(Detector):
    """Finds nothing, and takes its time."""

    class Config(Detector.Config, frozen=True, kw_only=True):
        """How long."""

        busy_s: float = 0.3

    def detect(self, frame: Frame) -> list[Detection]:
        """Sleep."""
        time.sleep(self.config.busy_s)
        return []


def main() -> None:
    """Measure, print, save."""
    args = _arguments()
    machine = report.machine()
    report.say_machine(machine)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(args.files):
            make_clip(folder / f"{number:03d}.mp4", 320, 240, FRAMES)
        seconds = {workers: _run(folder, workers, args) for workers in args.workers}
    alone = min(seconds)
    rows = [
        [str(workers), f"{took_s:.1f}", f"{seconds[alone] * alone / (workers * took_s):.2f}"]
        for workers, took_s in sorted(seconds.items())
    ]
    print("\n" + report.table([f"nodes, {args.files} files", "seconds", "efficiency"], rows))
    print(f"\ngoal: {GOAL}; the heavy stage is a sleep of {args.busy_s:g} s a file")
    report.save("batches", {"machine": machine, "arguments": vars(args), "seconds": seconds})


def _run(folder: Path, workers: int, args: argparse.Namespace) -> float:
    """Seconds of a batch, without those of the cluster's own start."""
    from ray.cluster_utils import Cluster

    path = f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"
    os.environ.update({"PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"})
    size: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **size})
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=1, **size)
        cluster.wait_for_nodes()
        words = [sys.executable, "-m", "streamseg", "batch", *map(str, sorted(folder.glob("*.mp4")))]
        words += ["--detect", "batches:Sleeping", "--set", f"detect.busy_s={args.busy_s / FRAMES}", "--inline"]
        words += ["--no-overlay", "-o", str(folder / f"out-{workers}"), "--ray", cluster.address, "--json"]
        began_s = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        took_s = time.monotonic() - began_s
        if done.returncode:
            raise SystemExit(f"expected all files to be done, got: {done.stderr}")
        report_ = json.loads(done.stdout)
        assert {each["frames"] for each in report_["files"]} == {FRAMES}
        return took_s
    finally:
        cluster.shutdown()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=40, metavar="N")
    parser.add_argument(
        "--workers", type=lambda text: [int(each) for each in text.split(",")], default=[1, 2, 4], metavar="N,N"
    )
    parser.add_argument("--busy-s", type=float, default=10.0, metavar="S", help="of a file, asleep")
    return parser.parse_args()


if __name__ == "__main__":
    main()
