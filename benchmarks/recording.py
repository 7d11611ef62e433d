"""What one 1280x720 frame costs the light nodes: cleanup, record with and without overlay, publish.

    python benchmarks/recording.py

Each node runs in this process on one thread, over a moving picture with two objects. Figures are milliseconds of
processor time a frame (the median; what other programs take is not in it) and of the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from bench_report import machine, save, say_machine, table
from streamseg_nodes.cleanup import Cleanup
from streamseg_nodes.publish import Publish
from streamseg_nodes.record.node import Record

from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import Frame, ObjectResult, Segmented, Stamp
from streamseg.node import Node

HEIGHT, WIDTH = 720, 1280


def messages(count: int) -> Iterator[Segmented]:
    """A camera that pans over blotches with grain in them, and two objects that move."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (HEIGHT // 10, (WIDTH + 2 * count) // 8, 3), np.uint8)
    wide = cv2.resize(small, (WIDTH + 2 * count, HEIGHT), interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide.astype(int) + rng.integers(-8, 8, wide.shape), 0, 255).astype(np.uint8)
    for seq in range(count):
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        for k in (1, 2):
            cv2.ellipse(labels, (350 * k + 2 * seq % 200, 360), (130, 90), seq, 0, 360, k, cv2.FILLED)
        found = areas_and_boxes(labels, 2)
        objects = [
            ObjectResult(id=k, state="TRACKED", score=0.9, box_xyxy=box, area_px=area_px)
            for k, (area_px, box) in enumerate(found, start=1)
        ]
        stamp = Stamp("s", seq, seq, seq, (1, 25), time.time_ns(), 0, seq + 1)
        image_rgb = np.ascontiguousarray(wide[:, 2 * seq : 2 * seq + WIDTH])
        yield Segmented(frame=Frame(stamp, image_rgb), objects=objects, labels=labels)


def measure(node: Node[Segmented, Any], count: int) -> tuple[float, float]:
    """Median (processor, clock) milliseconds of one frame."""
    node.setup()
    processor_ms, clock_ms = [], []
    for message in messages(count):
        before_ns, clock_before_ns = time.process_time_ns(), time.perf_counter_ns()
        node.process(message)
        processor_ms.append((time.process_time_ns() - before_ns) / 1e6)
        clock_ms.append((time.perf_counter_ns() - clock_before_ns) / 1e6)
    node.finish("s")
    node.close()
    return statistics.median(processor_ms), statistics.median(clock_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    facts: dict[str, Any] = {"frames": args.frames, "size": [HEIGHT, WIDTH], "machine": machine()}
    say_machine(facts["machine"])
    with tempfile.TemporaryDirectory() as folder:
        nodes: dict[str, Node[Segmented, Any]] = {
            "cleanup": Cleanup(),
            "record": Record(Record.Config(output=str(Path(folder) / "all"))),
            "record, no overlay": Record(Record.Config(output=str(Path(folder) / "light"), overlay=False)),
            "record, mcap with Foxglove's messages": Record(
                Record.Config(output=str(Path(folder) / "foxglove"), overlay=False, mcap="foxglove")
            ),
            "record, mcap with ROS 2's": Record(
                Record.Config(output=str(Path(folder) / "ros2"), overlay=False, mcap="ros2")
            ),
            "record, mcap and overlay": Record(Record.Config(output=str(Path(folder) / "both"), mcap="ros2")),
            "publish, rle": Publish(Publish.Config(bind="tcp://127.0.0.1:*")),
            "publish, raw": Publish(Publish.Config(bind="tcp://127.0.0.1:*", masks="raw")),
        }
        facts["ms"] = {name: measure(node, args.frames) for name, node in nodes.items()}
    rows = [(name, f"{processor:.2f}", f"{clock:.2f}") for name, (processor, clock) in facts["ms"].items()]
    print(table(("node", "processor ms", "clock ms"), rows))
    save("recording", msgspec.to_builtins(facts))


if __name__ == "__main__":
    main()
