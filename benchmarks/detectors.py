"""What a detector before embed costs: frames/s of a 1280x720 video with and without one at every tenth frame.

    python benchmarks/detectors.py [--rounds 5] [--frames 300] [--every 10] [--gflop 8]

The detector is an ONNX file that computes as much as YOLO's smallest (some 8 GFLOP for 640x640) and finds nothing, so
that the same object is followed in both ways; it has a process and a thread of its own. Every round runs each way in
turn. Goal: at most 15 % of the frames/s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench_report as report
import numpy as np
import onnx
from bench_clip import make_clip
from onnx import TensorProto, helper, numpy_helper

GOAL = 0.85
SIDE, CHANNELS, CLASSES, CELLS = 640, 64, 80, 8400
WAYS = ("plain", "detector")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--gflop", type=float, default=8.0)
    args = parser.parse_args()
    facts: dict[str, Any] = {"machine": report.machine(), "arguments": vars(args)}
    report.say_machine(facts["machine"])
    fps: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        box = ",".join(f"{edge:g}" for edge in make_clip(folder / "clip.mp4", 1280, 720, args.frames))
        facts["gflop"] = write_detector(folder / "detector.onnx", args.gflop)
        print(f"the detector computes {facts['gflop']:.1f} GFLOP a frame")
        for number in range(args.rounds):
            for way in WAYS if number % 2 else reversed(WAYS):
                fps[way].append(measure(folder, way, box, args.every))
                print(f"round {number + 1}  {way}: {fps[way][-1]:.1f} frames/s", flush=True)
    middle, low, high = report.ratios(fps["detector"], fps["plain"])
    medians = [f"{statistics.median(fps[way]):.1f}" for way in WAYS]
    head = [f"1280x720, every {args.every}th frame", "without", "with", "ratio", "over the rounds", "goal"]
    print("\n" + report.table(head, [["frames/s", *medians, f"{middle:.3f}", f"{low:.3f} - {high:.3f}", f">= {GOAL}"]]))
    report.save("detectors", {**facts, "fps": fps})


def measure(folder: Path, way: str, box: str, every: int) -> float:
    """Frames/s of one run."""
    words = [sys.executable, "-m", "streamseg", "run", str(folder / "clip.mp4"), "--box", box, "--json"]
    words += ["-o", str(folder / "out"), "--overwrite", "--no-overlay"]
    if way == "detector":
        words += ["--detect", str(folder / "detector.onnx"), "--detect-every", str(every)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout)["fps"])


def write_detector(path: Path, gflop: float) -> float:
    """A network laid out as those of ultralytics that finds nothing; returns how many GFLOP it computes."""
    random = np.random.default_rng(0)
    nodes, constants, computed = [], [], 0.0
    taken, given, side, number = "images", 3, SIDE, 0

    def convolve(channels: int, stride: int) -> None:
        nonlocal taken, given, side, number, computed
        number += 1
        side //= stride
        weights = random.normal(0, 0.05, (channels, given, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{number}"))
        convolution = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]}
        nodes.append(helper.make_node("Conv", [taken, f"w{number}"], [f"c{number}"], **convolution))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        computed += 2 * weights.size * side * side / 1e9
        taken, given = f"r{number}", channels

    for channels in (16, 32, CHANNELS):
        convolve(channels, 2)
    while computed < gflop:
        convolve(CHANNELS, 1)
    constants.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    constants.append(numpy_helper.from_array(np.zeros((1, 4 + CLASSES, CELLS), np.float32), "empty"))
    nodes += [
        helper.make_node("ReduceMean", [taken], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["empty", "zero"], ["output0"]),
    ]
    shown = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    found = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + CLASSES, CELLS])
    graph = helper.make_graph(nodes, "detector", [shown], [found], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(key="names", value=str({number: f"kind{number}" for number in range(CLASSES)}))
    onnx.save(model, path)
    return computed


if __name__ == "__main__":
    main()
