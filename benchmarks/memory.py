"""Memory, file descriptors and threads of every process while many frames go through.

    python benchmarks/memory.py [--frames 20000] [--focus auto|off] [--toy] [--width 320 --height 180]

The clip is a short one looped. The graph is the standard one with the bundled model; ``--toy`` puts a color threshold
in the model's place and takes a few minutes for 20,000 frames. Memory is the resident set: what a process has of its
own, the pages of shared slots it has touched, and those of libraries. After the first tenth of the frames it should
stay within 2 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import bench_report as report
import cv2
import numpy as np
from bench_clip import loop_clip, make_clip
from bench_nodes import let_workers_import

from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.graph.standard import make_prompts, standard_graph
from streamseg.runtime.supervision.supervisor import Supervisor

CLIP_FRAMES = 500
WARM_UP = 0.1  # of all frames
GOAL_PERCENT = 2.0
Sample = dict[str, float]


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    with tempfile.TemporaryDirectory() as folder:
        clip, looped = Path(folder) / "clip.mp4", Path(folder) / "looped.mp4"
        box = make_clip(clip, args.width, args.height, CLIP_FRAMES)
        loop_clip(clip, looped, -(-args.frames // CLIP_FRAMES))
        graph = _graph(args, looped, box, Path(folder) / "out")
        samples, seconds = _run(graph, args.every)
    print(f"\n{args.frames} frames of {args.width}x{args.height} in {seconds:.0f} s ({args.frames / seconds:.1f}/s)\n")
    print(_table(samples, args.frames))
    report.RESULTS.mkdir(exist_ok=True)
    picture = report.RESULTS / "memory.png"
    cv2.imwrite(str(picture), plot(samples, args.frames))
    print(f"\nplot: {picture}")
    report.save("memory", {"machine": machine, "arguments": vars(args), "seconds": seconds, "samples": samples})


def _graph(args: argparse.Namespace, video: Path, box: tuple[int, ...], out: Path) -> config.Graph:
    graph = standard_graph(
        str(video),
        make_prompts([box]),
        model=args.model,
        focus=args.focus,
        max_frames=args.frames,
        output=str(out),
        overlay=not args.no_overlay,
    )
    if not args.toy:
        return graph
    plain = config.to_plain(graph)
    plain["nodes"] = {name: plain["nodes"][name] for name in ("decode", "cleanup", "record")}
    plain["nodes"]["threshold"] = {"use": "bench_nodes:Threshold"}
    return config.parse({**plain, "links": ["decode -> threshold -> cleanup -> record"], "feedback": []})


def _run(graph: config.Graph, every: int) -> tuple[dict[str, list[Sample]], float]:
    """Samples of every process, taken whenever the source has let in `every` more frames."""
    started_s = time.monotonic()
    with Supervisor(Plan(graph)) as supervisor:
        samples: dict[str, list[Sample]] = {name: [] for name in [*supervisor.pool.pids, "supervisor"]}
        source = supervisor.plan.sources[0]
        due = 0
        while supervisor.state != "finished":
            supervisor.pump(200)
            entered = supervisor.stats[source].entered if source in supervisor.stats else 0
            if entered >= due and supervisor.state == "running" and entered:
                due = entered - entered % every + every
                for name, pid in {**supervisor.pool.pids, "supervisor": os.getpid()}.items():
                    samples[name].append({"frame": entered, **look_at(pid)})
                _say(entered, samples)
        supervisor.raise_error()
    return samples, time.monotonic() - started_s


def look_at(pid: int) -> Sample:
    """Memory in MiB, and counts, of one process."""
    found: Sample = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in ("RssAnon", "RssShmem", "RssFile"):
            found[key] = int(value.split()[0]) / 1024
        if key == "Threads":
            found["threads"] = int(value)
    found["files"] = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 (a count is all that is wanted)
    return found


def resident(sample: Sample) -> float:
    return sample["RssAnon"] + sample["RssShmem"] + sample["RssFile"]


def _say(frame: int, samples: dict[str, list[Sample]]) -> None:
    parts = [f"{name} {resident(found[-1]):.0f}" for name, found in samples.items()]
    print(f"{frame:6d}  " + "  ".join(parts), flush=True)


def _table(samples: dict[str, list[Sample]], frames: int) -> str:
    head = ["process", "MiB", "own", "slots", "slope /10k", "max - min", "in %", "goal", "fds", "threads"]
    rows = []
    for name, found in samples.items():
        settled = [sample for sample in found if sample["frame"] >= WARM_UP * frames] or found[-1:]
        resident = [resident(sample) for sample in settled]
        at = [sample["frame"] for sample in settled]
        slope = float(np.polyfit(at, resident, 1)[0]) * 10_000 if len(resident) > 1 else 0.0
        spread = max(resident) - min(resident)
        rows.append(
            [
                name,
                f"{resident[0]:.1f}",
                f"{settled[0]['RssAnon']:.1f}",
                f"{settled[0]['RssShmem']:.1f}",
                f"{slope:+.2f}",
                f"{spread:.2f}",
                f"{100 * spread / resident[0]:.2f}",
                f"<= {GOAL_PERCENT:g}",
                _span(settled, "files"),
                _span(settled, "threads"),
            ]
        )
    return report.table(head, rows)


def _span(settled: list[Sample], key: str) -> str:
    counts = [int(sample[key]) for sample in settled]
    return f"{counts[0]}" if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"


def plot(samples: dict[str, list[Sample]], frames: int) -> np.ndarray:
    """(600, 1000, 3) uint8 BGR: MiB of every process over frames, from zero."""
    width, height, left, bottom, top = 1000, 600, 70, 50, 20
    picture = np.full((height, width, 3), 255, np.uint8)
    most = 1.1 * max((resident(sample) for found in samples.values() for sample in found), default=1.0)
    right = width - 150
    colors = [(180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148), (75, 86, 140)]

    def point(frame: float, mib: float) -> tuple[int, int]:
        return (
            round(left + (right - left) * frame / frames),
            round(height - bottom - (height - bottom - top) * mib / most),
        )

    for k in range(6):
        for at, text, place in (
            (point(0, most * k / 5), f"{most * k / 5:.0f} MiB", (-65, 4)),
            (point(frames * k / 5, 0), f"{frames * k // 5}", (-15, 20)),
        ):
            cv2.putText(picture, text, (at[0] + place[0], at[1] + place[1]), 0, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
        cv2.line(picture, point(0, most * k / 5), point(frames, most * k / 5), (225, 225, 225), 1)
    for k, (name, found) in enumerate(samples.items()):
        color = colors[k % len(colors)]
        line = np.array([point(sample["frame"], resident(sample)) for sample in found], np.int32)
        cv2.polylines(picture, [line], False, color, 2, cv2.LINE_AA)
        cv2.putText(picture, name, (right + 12, top + 20 + 20 * k), 0, 0.5, color, 1, cv2.LINE_AA)
    return picture


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=500, help="frames between two samples")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--focus", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--toy", action="store_true", help="a color threshold instead of a model")
    parser.add_argument("--no-overlay", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
