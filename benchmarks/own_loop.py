"""What `streamseg.Tracker` and frames from memory cost beside the work itself.

    python benchmarks/own_loop.py [--frames 120] [--rounds 3] [--memory-frames 20000] [--only tracker,generator,memory]

*tracker*: milliseconds a frame of a tracker beside those of its embed and propagate nodes alone, which take turns frame
by frame on the same pictures. *generator*: frames/s of `segment_video` with frames from a generator beside the same
frames from a file, from the second result to the last; the ways take turns in every round. *memory*: the resident set
of this process over many frames, with a prompt or a correction every 50 and a saved state every 500.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import bench_report as report
import numpy as np
from bench_clip import Box, make_clip

import streamseg
from streamseg.graph import config, registry
from streamseg.graph.plan import cores
from streamseg.messages import Frame, Stamp
from streamseg.node import NodeContext

SIZES = [(640, 360), (1280, 720), (1920, 1080)]
GOAL_PERCENT = 10.0
GOAL_MEMORY_PERCENT = 2.0
WARM_UP = 0.1  # of all frames
PARTS = ("tracker", "generator", "memory")


class Nodes:
    """Embed and propagate by themselves, wired as in a graph."""

    def __init__(self, box: Box) -> None:
        streams = ("decode",)
        self.embed = self._node(
            "embed", {}, NodeContext("embed", streams=streams, threads=min(2, cores()), has_feedback=True)
        )
        context = NodeContext("propagate", streams=streams, feedback=self.embed.on_feedback, has_feedback=True)
        self.propagate = self._node("propagate", {"prompts": [{"id": 1, "box": list(map(float, box))}]}, context)

    def track(self, number: int, image_rgb: np.ndarray) -> None:
        stamp = Stamp("decode", number, number, None, (1, 25), 0, 0, number + 1)
        self.propagate.process(self.embed.process(Frame(stamp, image_rgb)))

    @staticmethod
    def _node(use: str, options: dict[str, Any], context: NodeContext) -> Any:
        kind = registry.load(use)
        node: Any = kind(config.options_of(kind.Config, options, use), context)
        node.setup()
        return node


def main() -> None:
    args = _arguments()
    facts: dict[str, Any] = {"machine": report.machine(), "arguments": vars(args)}
    report.say_machine(facts["machine"])
    with tempfile.TemporaryDirectory() as folder:
        if "tracker" in args.only:
            facts["tracker"] = [_tracker(size, Path(folder), args.frames) for size in SIZES]
            print(_tracker_table(facts["tracker"]), flush=True)
        if "generator" in args.only:
            facts["generator"] = [_generator(size, Path(folder), args.frames, args.rounds) for size in SIZES]
            print(_generator_table(facts["generator"]), flush=True)
        if "memory" in args.only:
            facts["memory"] = _memory(Path(folder), args.memory_frames)
    report.save("own_loop", facts)


def _tracker(size: tuple[int, int], folder: Path, frames: int) -> dict[str, Any]:
    clip = folder / "clip.mp4"
    box = make_clip(clip, *size, frames)
    tracker, nodes = streamseg.Tracker(), Nodes(box)
    tracker.prompt(box=box)
    times_ms: dict[str, list[float]] = {"tracker": [], "nodes": []}
    for number, image in enumerate(_images(clip)):
        ways = {"tracker": lambda: tracker.track(image), "nodes": lambda: nodes.track(number, image)}  # noqa: B023
        # Who comes second finds the picture in the caches.
        for way in sorted(ways, reverse=number % 2 == 0):
            started_s = time.perf_counter()
            ways[way]()
            times_ms[way].append((time.perf_counter() - started_s) * 1e3)
    return {"size": size, **{way: statistics.median(values[5:]) for way, values in times_ms.items()}}


def _tracker_table(found: list[dict[str, Any]]) -> str:
    head = ["following one object, median ms a frame", "embed + propagate", "tracker", "more by", "goal"]
    rows = [
        [
            "{}x{}".format(*each["size"]),
            f"{each['nodes']:.1f}",
            f"{each['tracker']:.1f}",
            f"{100 * (each['tracker'] / each['nodes'] - 1):.1f} %",
            f"<= {GOAL_PERCENT:.0f} %",
        ]
        for each in found
    ]
    return f"\n{report.table(head, rows)}"


def _generator(size: tuple[int, int], folder: Path, frames: int, rounds: int) -> dict[str, Any]:
    clip = folder / "clip.mp4"
    box = make_clip(clip, *size, frames)
    images = list(_images(clip))
    rates: dict[str, list[float]] = {"file": [], "generator": []}
    for number in range(rounds):
        ways: dict[str, Any] = {"file": clip, "generator": (image for image in images)}
        for way in sorted(ways, reverse=number % 2 == 0):
            rates[way].append(_rate(streamseg.segment_video(ways[way], boxes=[box])))
    return {"size": size, **rates}


def _rate(results: Iterable[streamseg.FrameResult]) -> float:
    times_s = [time.perf_counter() for _ in results]
    return (len(times_s) - 2) / (times_s[-1] - times_s[1])


def _generator_table(found: list[dict[str, Any]]) -> str:
    head = ["segment_video, frames/s", "from a file", "from a generator", "of the file's", "over the rounds", "goal"]
    rows = []
    for each in found:
        middle, least, most = report.ratios(each["generator"], each["file"])
        medians = [f"{statistics.median(each[way]):.1f}" for way in ("file", "generator")]
        name = "{}x{}".format(*each["size"])
        rows.append([name, *medians, f"{middle:.2f}", f"{least:.2f} - {most:.2f}", f">= {1 - GOAL_PERCENT / 100:.1f}"])
    return f"\n{report.table(head, rows)}"


def _memory(folder: Path, frames: int) -> dict[str, Any]:
    clip = folder / "clip.mp4"
    box = make_clip(clip, 320, 180, 250)
    images = list(_images(clip))
    tracker = streamseg.Tracker()
    sizes_mib, state_bytes = [], []
    every = max(1, frames // 100)
    started_s = time.perf_counter()
    for number in range(frames):
        if number % 250 == 0:
            tracker.prompt(box=box, object_id=1)
        elif number % 50 == 0:
            tracker.correct(1, negative=[(1, 1)])
        tracker.track(images[number % 250])
        if number % 500 == 0:
            state_bytes.append(len(tracker.save()))
        if number % every == 0:
            sizes_mib.append(_resident_mib())
    seconds = time.perf_counter() - started_s
    warm = sizes_mib[int(WARM_UP * len(sizes_mib)) :]
    growth = 100 * (statistics.median(warm[-len(warm) // 4 :]) / statistics.median(warm[: len(warm) // 4]) - 1)
    print(
        f"\n{frames} frames of 320x180 in {seconds:.0f} s: {min(warm):.0f} to {max(warm):.0f} MiB after the first "
        f"tenth, last quarter {growth:+.1f} % of the first (goal: within {GOAL_MEMORY_PERCENT:.0f} %); a saved state "
        f"{min(state_bytes)} to {max(state_bytes)} bytes"
    )
    return {"sizes_mib": sizes_mib, "growth_percent": growth, "state_bytes": state_bytes, "seconds": seconds}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _images(clip: Path) -> Iterator[np.ndarray]:
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-frames", type=int, default=20000)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=", ".join(PARTS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
