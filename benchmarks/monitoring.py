"""What it costs to watch a run: frames/s and processor time with ``--metrics``, asked once a second, and with ``--trace``.

    python benchmarks/monitoring.py [--rounds 5] [--frames 600]

The command runs a 1280x720 video with a color threshold in the model's place, so that a frame costs little and what is added
to it shows. Every round runs each way in turn.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import bench_report as report
import yaml
from bench_clip import make_clip
from bench_nodes import let_workers_import

GOAL = 0.97
WAYS = ("plain", "metrics", "trace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600)
    args = parser.parse_args()
    let_workers_import()
    facts: dict[str, Any] = {"machine": report.machine(), "rounds": args.rounds, "frames": args.frames}
    report.say_machine(facts["machine"])
    fps: dict[str, list[float]] = {way: [] for way in WAYS}
    work_s: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clip(folder / "clip.mp4", 1280, 720, args.frames)
        graph = write_graph(folder)
        for number in range(args.rounds):
            for way in WAYS if number % 2 else reversed(WAYS):
                found, seconds = measure(graph, way, folder)
                fps[way].append(found)
                work_s[way].append(seconds)
                print(f"round {number + 1}  {way}: {found:.1f} frames/s, {seconds:.1f} s", flush=True)
    rows = []
    for way in WAYS[1:]:
        for what, ours, theirs in (("frames/s", fps[way], fps["plain"]), ("processor s", work_s["plain"], work_s[way])):
            middle, low, high = report.ratios(ours, theirs)
            pair = (fps["plain"], fps[way]) if what == "frames/s" else (work_s["plain"], work_s[way])
            medians = [f"{statistics.median(each):.1f}" for each in pair]
            rows.append([f"{way}, {what}", *medians, f"{middle:.3f}", f"{low:.3f} - {high:.3f}", f">= {GOAL}"])
    print("\n" + report.table(["1280x720, recorded", "without", "with", "ratio", "over the rounds", "goal"], rows))
    report.save("monitoring", {**facts, "fps": fps, "processor_s": work_s})


def write_graph(folder: Path) -> Path:
    """decode -> a color threshold -> record."""
    graph = {
        "nodes": {
            "decode": {"options": {"source": str(folder / "clip.mp4")}},
            "threshold": {"use": "bench_nodes:Threshold"},
            "record": {"options": {"output": str(folder / "out"), "overwrite": True, "overlay": False}},
        },
        "links": ["decode -> threshold -> record"],
    }
    path = folder / "graph.yaml"
    path.write_text(yaml.safe_dump(graph))
    return path


def measure(graph: Path, way: str, folder: Path) -> tuple[float, float]:
    """Frames/s of one run, and the processor time of all its processes in seconds."""
    flags = {"plain": [], "metrics": ["--metrics", "127.0.0.1:0"], "trace": ["--trace", str(folder / "trace.json")]}[
        way
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "streamseg", "run", str(graph), "--json", *flags]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    if way == "metrics":
        found = re.search(r":(\d+)/metrics", process.stderr.readline())
        assert found is not None
        threading.Thread(target=scrape, args=(int(found[1]), process), daemon=True).start()
    output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(json.loads(output)["fps"]), work_s


def scrape(port: int, process: subprocess.Popen[str]) -> None:
    """Ask once a second for as long as the run lasts."""
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", "/metrics")
            connection.getresponse().read()
        except OSError:
            return
        finally:
            connection.close()
        time.sleep(1)


if __name__ == "__main__":
    main()
