"""A 1080p image topic to a topic of masks, over DDS: latency beyond the model's own, growth, losses.

    python benchmarks/ros2.py [--seconds 600] [--fps 30] [--toy] [--size 1920x1080]

Another process publishes a looped clip as ``sensor_msgs/Image`` (rgb8, best effort), and hears the label images. The
latency is from just before an image is published to when its label image has been read, by the stamp in the header.
What the nodes between the two that speak ROS take of their own (p50 each) is the model's share; the rest is what ROS,
DDS and the graph add: two conversions, two ways over the network interface of this machine, handing over, waiting.
``--toy`` puts a color threshold in the model's place.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import bench_report as report
import cv2
import numpy as np
from bench_clip import make_clip
from bench_nodes import let_workers_import
from memory import look_at, resident

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.ros2.dds import DdsMiddleware
from streamseg.ros2.middleware import SENSOR
from streamseg.runtime.supervision.supervisor import Supervisor

CLIP_FRAMES = 60
WARM_UP = 0.1
GOAL_MS = 25.0
IMAGE = "sensor_msgs/msg/Image"


def peer(args: argparse.Namespace) -> None:
    """The other process: publishes until SIGTERM, then says what it sent and heard."""
    width, height = map(int, args.size.split("x"))
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    capture = cv2.VideoCapture(args.clip)
    pictures = []
    while (found := capture.read())[0]:
        pictures.append(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB).reshape(-1))
    middleware = DdsMiddleware()
    heard: list[tuple[float, float]] = []

    def take(message: Any) -> None:
        now_ns = time.time_ns()
        stamp = message.header.stamp
        heard.append((now_ns / 1e9, (now_ns - stamp.sec * 10**9 - stamp.nanosec) / 1e6))

    middleware.subscribe("/masks", IMAGE, SENSOR, take)
    publisher = middleware.advertise("/image", IMAGE, SENSOR)
    while not publisher.listeners and not over.wait(0.1):
        pass
    sent, due_s = 0, time.monotonic()
    # Until the graph has gone: what is sent later is not lost.
    while not over.is_set() and publisher.listeners:
        stamp_ns = time.time_ns()
        sec, nanosec = divmod(stamp_ns, 10**9)
        publisher.publish(
            {
                "header": {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "camera"},
                "height": height,
                "width": width,
                "encoding": "rgb8",
                "step": width * 3,
                "data": pictures[sent % len(pictures)],
            }
        )
        sent += 1
        due_s = max(due_s + 1 / args.fps, time.monotonic() - 0.5)
        over.wait(max(0.0, due_s - time.monotonic()))
    over.wait(5.0)
    print(json.dumps({"sent": sent, "heard": heard}), flush=True)
    middleware.close()


def main() -> int:
    args = _arguments()
    if args.peer:
        peer(args)
        return 0
    os.environ.setdefault("ROS_DOMAIN_ID", "61")
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
    let_workers_import()
    facts: dict[str, Any] = {"machine": report.machine(), "arguments": vars(args)}
    report.say_machine(facts["machine"])
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        box = make_clip(clip, *map(int, args.size.split("x")), CLIP_FRAMES, args.fps)
        words = [sys.executable, __file__, "--peer", "--clip", str(clip), "--fps", str(args.fps), "--size", args.size]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
            plan = Plan(config.parse(_graph(args, box)))
            stats, told, memory = _run(plan, args.seconds)
            other.send_signal(signal.SIGTERM)
            assert other.stdout is not None
            found = json.loads(other.stdout.read())
    facts |= _say(args, plan, stats, told, found, memory)
    report.save("ros2-toy" if args.toy else "ros2", facts)
    return 0


def _graph(args: argparse.Namespace, box: tuple[int, ...]) -> dict[str, Any]:
    ends = {"image": {"use": "ros2_image"}, "masks": {"use": "ros2_masks"}}
    if args.toy:
        nodes = {**ends, "threshold": {"use": "bench_nodes:Threshold"}}
        return {"nodes": nodes, "links": ["image -> threshold -> masks"]}
    prompts = [{"id": 1, "box": list(map(float, box))}]
    nodes = {**ends, "embed": {}, "propagate": {"options": {"prompts": prompts}}, "cleanup": {}}
    links = ["image -> embed -> propagate -> cleanup -> masks"]
    return {"nodes": nodes, "links": links, "feedback": ["propagate -> embed"], "tickets": 3}


def _run(plan: Plan, seconds: float) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[float]]]:
    """Last figures and words of every process, and its memory in MiB, some hundred times."""
    memory: dict[str, list[float]] = {}
    with Supervisor(plan) as supervisor:
        began_s = due_s = None
        while supervisor.state != "finished":
            supervisor.pump(200)
            now_s = time.monotonic()
            entered = supervisor.stats.get("image")
            if supervisor.state == "running" and entered is not None and entered.entered:
                began_s = began_s or now_s
                if now_s - began_s > seconds and not supervisor.stopped_early:
                    supervisor.stop()
                if due_s is None or now_s >= due_s:
                    due_s = now_s + max(0.5, seconds / 100)
                    for name, pid in supervisor.pool.pids.items():
                        memory.setdefault(name, []).append(resident(look_at(pid)))
        supervisor.raise_error()
    return dict(supervisor.stats), dict(supervisor.facts), memory


def _say(
    args: argparse.Namespace,
    plan: Plan,
    stats: dict[str, Any],
    told: dict[str, Any],
    found: dict[str, Any],
    memory: dict[str, list[float]],
) -> dict[str, Any]:
    heard = np.array(found["heard"]).reshape(-1, 2)
    settled = heard[int(WARM_UP * len(heard)) :, 1]
    middle = [name for name in plan.order if name not in ("image", "masks")]
    model_ms = sum(stats[name].process_ms["p50"] for name in middle)
    quarter = max(1, len(settled) // 4)
    first, last = float(np.median(settled[:quarter])), float(np.median(settled[-quarter:]))
    p50, p95, p99 = np.percentile(settled, [50, 95, 99])
    received = told["image"]["received"]
    figures = {
        "latency_ms": {"p50": p50, "p95": p95, "p99": p99},
        "model_p50_ms": model_ms,
        "added_p50_ms": p50 - model_ms,
        "in_graph_p50_ms": stats["image"].latency_ms["p50"],
        "median of the first and the last quarter, ms": [first, last],
        "images sent": found["sent"],
        "lost before the graph": found["sent"] - received,
        "dropped for newer ones": stats["image"].dropped,
        "frames": stats["image"].entered,
        "label images lost": stats["masks"].frames - len(heard),
        "memory_mib": {name: [values[len(values) // 10], values[-1]] for name, values in memory.items()},
    }
    rows = [
        ["latency p50 / p95 / p99, ms", f"{p50:.1f} / {p95:.1f} / {p99:.1f}", ""],
        [f"p50 of {', '.join(middle)}, ms", f"{model_ms:.1f}", ""],
        ["from arrival to the last node, ms", f"{stats['image'].latency_ms['p50']:.1f}", ""],
        ["added, ms", f"{p50 - model_ms:.1f}", f"<= {GOAL_MS:g}"],
        ["p50 of the first and the last quarter, ms", f"{first:.1f}, {last:.1f}", "no growth"],
        ["images sent, lost before the graph", f"{found['sent']}, {found['sent'] - received}", ""],
        ["frames, dropped for newer images", f"{stats['image'].entered}, {stats['image'].dropped}", ""],
        ["label images lost", f"{stats['masks'].frames - len(heard)}", ""],
        *(
            [f"memory of {name}, MiB", f"{values[len(values) // 10]:.1f} -> {values[-1]:.1f}", "no growth"]
            for name, values in memory.items()
        ),
    ]
    print(f"\n{args.size} at {args.fps}/s for {args.seconds:g} s")
    print(report.table(["image topic -> mask topic", "", "goal"], rows))
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--toy", action="store_true", help="a color threshold in the model's place")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--clip", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
