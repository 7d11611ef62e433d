"""From publish to the masks in another process: 1920x1080 with five objects, heard in Python, C++ and Node.js.

    python benchmarks/listening.py

The time runs from `published_ns`, before publish encodes the masks, until the listener has decoded all five. Then a
listener works for half a second on each frame; how old what it acts on is when that work is done is the second table.
What cannot be built or installed here is left out and named.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zmq
from bench_report import machine, percentile, save, say_machine, table
from streamseg_nodes.publish import Publish

from streamseg.masks.label_map import areas_and_boxes
from streamseg.messages import Frame, ObjectResult, Segmented, Stamp
from streamseg.node import NodeContext
from streamseg.publishing.format import EndHeader, FrameHeader
from streamseg.publishing.subscriber import listen, newest

HEIGHT, WIDTH, OBJECTS = 1080, 1920, 5
ROBOT = Path(__file__).parents[1] / "samples" / "robot"
LINE = re.compile(r"frame \d+, (-?[\d.]+) ms old, (-?[\d.]+) ms on the way")
WORK_S = 0.5
FIRST = 10
"""Frames at the beginning that do not count."""


def messages() -> Iterator[Segmented]:
    """Five ellipses that go round, for ever."""
    image_rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    seq = 0
    while True:
        labels = np.zeros((HEIGHT, WIDTH), np.uint16)
        for k in range(1, OBJECTS + 1):
            center = (320 * k + int(40 * np.cos(seq / 9)), 540 + int(200 * np.sin(seq / 9 + k)))
            cv2.ellipse(labels, center, (100 + 15 * k, 80 + 25 * k), seq, 0, 360, k, cv2.FILLED)
        objects = [
            ObjectResult(id=k, state="TRACKED", score=0.9, box_xyxy=box, area_px=area_px)
            for k, (area_px, box) in enumerate(areas_and_boxes(labels, OBJECTS), start=1)
        ]
        stamp = Stamp("camera", seq, seq, seq, (1, 30), time.time_ns(), 0, seq + 1)
        yield Segmented(frame=Frame(stamp, image_rgb), objects=objects, labels=labels)
        seq += 1


def with_streamseg(endpoint: str, work_s: float) -> None:
    """The listener of this file: `streamseg.publishing.subscriber`; prints as the samples do."""
    with zmq.Context() as context, listen(context, endpoint) as socket:
        over = False
        while not over:
            for message in newest(socket):
                header = message.header
                over = over or isinstance(header, EndHeader)
                if isinstance(header, FrameHeader):
                    masks = message.masks()
                    age_ms, way_ms = (
                        (time.time_ns() - ns) / 1e6
                        for ns in (header.arrived_ns or header.captured_ns, header.published_ns)
                    )
                    assert masks is not None and len(masks) == OBJECTS
                    print(f"camera frame {header.frame}, {age_ms:.1f} ms old, {way_ms:.2f} ms on the way", flush=True)
                    time.sleep(work_s)


def heard(words: list[str], masks: str, seconds: float, rate: float) -> list[tuple[float, float]]:
    """(age, way) in milliseconds of each frame that a listener heard."""
    node = Publish(Publish.Config(bind="tcp://127.0.0.1:*", masks=masks), NodeContext("publish"))
    node.setup()
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen([*words, node.describe()["endpoint"]], stdout=said) as one,
    ):
        next_s, until_s = time.monotonic(), float("inf")
        for message in messages():
            node.process(message)
            if until_s == float("inf") and os.fstat(said.fileno()).st_size:
                until_s = time.monotonic() + seconds
            next_s = max(next_s + 1 / rate, time.monotonic())
            if next_s > until_s:
                break
            time.sleep(max(0.0, next_s - time.monotonic()))
        while one.poll() is None:
            node.finish("camera")
            time.sleep(0.2)
        said.seek(0)
        lines = said.read()
    node.close()
    return [(float(age), float(way)) for age, way in LINE.findall(lines)]


def programs(folder: Path) -> dict[str, list[str]]:
    """Language -> the words that start its listener."""
    found = {
        "Python, streamseg": [sys.executable, __file__, "--listen"],
        "Python, the sample": [sys.executable, str(ROBOT / "subscribe.py")],
    }
    try:
        for words in (["cmake", "-S", ROBOT / "cpp", "-B", folder / "cpp"], ["cmake", "--build", folder / "cpp"]):
            subprocess.run(list(map(str, words)), check=True, capture_output=True)
        found["C++"] = [str(folder / "cpp" / "subscribe")]
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"without C++: {error}")
    try:
        shutil.copytree(ROBOT / "nodejs", folder / "nodejs", ignore=shutil.ignore_patterns("node_modules"))
        words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(words, cwd=folder / "nodejs", check=True, capture_output=True)
        found["Node.js"] = ["node", str(folder / "nodejs" / "subscribe.js")]
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"without Node.js: {error}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--listen", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=float, default=0, help=argparse.SUPPRESS)
    parser.add_argument("endpoint", nargs="?", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.listen:
        with_streamseg(args.endpoint, args.work)
        return
    facts: dict[str, Any] = {"machine": machine(), "rate": args.rate, "way_ms": {}, "age_ms": {}}
    say_machine(facts["machine"])
    rows, slow_rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for language, words in programs(Path(folder)).items():
            for masks in ("rle", "raw"):
                ways = [way for _, way in heard(words, masks, args.seconds, args.rate)[FIRST:]]
                facts["way_ms"][f"{language}, {masks}"] = ways
                p50, p95 = statistics.median(ways), percentile(ways, 95)
                rows.append((language, masks, str(len(ways)), f"{p50:.2f}", f"{p95:.2f}"))
            slow = [*words, "--work", str(WORK_S)]
            # After the last frame there is no newer one.
            ages = [age + WORK_S * 1000 for age, _ in heard(slow, "rle", 2 * args.seconds, args.rate)[1:-1]]
            facts["age_ms"][language] = ages
            slow_rows.append((language, str(len(ages)), f"{statistics.median(ages):.0f}", f"{max(ages):.0f}"))
    print(table(("listener", "masks", "frames", "p50 ms", "p95 ms"), rows))
    print(table((f"{WORK_S} s of work a frame", "frames", "median age, ms", "oldest, ms"), slow_rows))
    save("listening", facts)


if __name__ == "__main__":
    main()
