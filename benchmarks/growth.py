"""How frames/s and memory grow with objects, streams, resolution and replicas: JSON, a table, and a picture of plots.

    python benchmarks/growth.py --plot docs/growth.png [--only objects,streams,sizes,replicas] [--rounds 2]
        [--frames 120]

All runs record masks, without the overlay. *objects*: so many things that move, drawn in 1280x720. *streams*: the same
1280x720 clip with one object so many times at once; frames/s are those of all. *sizes*: one object that has a third of
the frame's height. *replicas*: of embed, where whole frames are encoded (`--focus off`), for with focus one is enough.
In every round each point is run once, so a slow minute shows as a spread and not as a bend. Memory is the resident
sets of all processes in sum, at their largest; pages that several share are counted in each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import bench_report as report
import cv2
import numpy as np
from bench_clip import FPS, make_clip
from bench_nodes import let_workers_import
from bench_runs import watch, with_settings

from streamseg.cli.running.run_graph import with_sources
from streamseg.evaluation.clip_kinds import crowd
from streamseg.graph import config
from streamseg.graph.standard import make_prompts, standard_graph
from streamseg.masks.boxes import box_of_mask

OBJECTS = (1, 2, 5, 10, 20, 50)
STREAMS = (1, 2, 4, 8)
SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080), "1440p": (2560, 1440), "4K": (3840, 2160)}
REPLICAS = (1, 2, 4)
WARM_UP = 15
Box = tuple[float, ...]


class Point(NamedTuple):
    """One place on the x axis."""

    label: str
    graph: Callable[[], config.Graph]


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    fps: dict[str, dict[str, list[float]]] = {}
    mib: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        curves = {name: _CURVES[name](args, Path(folder)) for name in args.only}
        for number in range(args.rounds):
            for name, points in curves.items():
                for point in points:
                    ran = watch(point.graph(), warm_up=WARM_UP)
                    fps.setdefault(name, {}).setdefault(point.label, []).append(ran.fps)
                    mib.setdefault(name, {}).setdefault(point.label, []).append(sum(ran.memory_mib.values()))
                    print(
                        f"round {number + 1}  {name} {point.label}: {ran.fps:.1f} frames/s, "
                        f"{mib[name][point.label][-1]:.0f} MiB",
                        flush=True,
                    )
    print("\n" + _table(fps, mib) + "\n")
    _plot(args.plot or report.RESULTS / "growth.png", fps, mib)
    report.save("growth", {"machine": machine, "frames": args.frames, "fps": fps, "memory_mib": mib})


def _objects(args: argparse.Namespace, folder: Path) -> list[Point]:
    points = []
    for count in args.objects:
        clip = folder / f"crowd-{count}.mp4"
        boxes = _write_crowd(clip, count, args.frames)
        points.append(Point(str(count), lambda clip=clip, boxes=boxes: _graph(clip, boxes, folder)))
    return points


def _streams(args: argparse.Namespace, folder: Path) -> list[Point]:
    clip = folder / "one.mp4"
    box = make_clip(clip, 1280, 720, args.frames)

    def graph(count: int) -> config.Graph:
        return with_sources(_graph(clip, [box], folder), [str(clip)] * count)

    return [Point(str(count), lambda count=count: graph(count)) for count in args.streams]


def _sizes(args: argparse.Namespace, folder: Path) -> list[Point]:
    points = []
    for name in args.sizes:
        clip = folder / f"{name}.mp4"
        box = make_clip(clip, *SIZES[name], args.frames)
        points.append(Point(name, lambda clip=clip, box=box: _graph(clip, [box], folder)))
    return points


def _replicas(args: argparse.Namespace, folder: Path) -> list[Point]:
    clip = folder / "replicas.mp4"
    box = make_clip(clip, 1280, 720, args.frames)

    def graph(count: int) -> config.Graph:
        return with_settings(_graph(clip, [box], folder, focus="off"), [f"embed.replicas={count}"])

    return [Point(str(count), lambda count=count: graph(count)) for count in args.replicas]


_CURVES = {"objects": _objects, "streams": _streams, "sizes": _sizes, "replicas": _replicas}
_AXES = {
    "objects": "objects in 1280x720",
    "streams": "streams of 1280x720, one object each",
    "sizes": "resolution, one object",
    "replicas": "replicas of embed, whole frames of 1280x720",
}


def _graph(clip: Path, boxes: list[Box], folder: Path, **options: str) -> config.Graph:
    output = str(folder / "out")
    return standard_graph(str(clip), make_prompts(boxes), output=output, overwrite=True, overlay=False, **options)


def _write_crowd(path: Path, count: int, frames: int) -> list[Box]:
    """Write a film of so many things that move, in 1280x720. Returns their boxes in its first frame."""
    clip = crowd(count, frames=frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in range(frames):
            image = cv2.resize(clip.picture(index), (1280, 720), interpolation=cv2.INTER_LINEAR)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    truth = clip.truth(0)
    found = [box_of_mask(truth.mask(identity)) for identity in clip.ids]
    return [tuple(2 * edge for edge in box) for box in found if box is not None]


def _table(fps: dict[str, dict[str, list[float]]], mib: dict[str, dict[str, list[float]]]) -> str:
    rows = [
        [
            _AXES[name],
            label,
            f"{statistics.median(rates):.1f}",
            f"{min(rates):.1f} - {max(rates):.1f}",
            f"{statistics.median(mib[name][label]):.0f}",
        ]
        for name, points in fps.items()
        for label, rates in points.items()
    ]
    return report.table(["", "of them", "frames/s", "over the rounds", "MiB"], rows)


def _plot(path: Path, fps: dict[str, dict[str, list[float]]], mib: dict[str, dict[str, list[float]]]) -> None:
    """A picture with a pair of plots for each curve: frames/s above, memory below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(fps), figsize=(4 * len(fps), 6), squeeze=False, layout="constrained")
    for column, name in enumerate(fps):
        labels = list(fps[name])
        for row, (values, unit) in enumerate(((fps[name], "frames/s"), (mib[name], "MiB"))):
            medians = [statistics.median(values[label]) for label in labels]
            off = np.abs(
                [[m - min(values[label]), max(values[label]) - m] for m, label in zip(medians, labels, strict=True)]
            )
            axis = axes[row][column]
            axis.errorbar(range(len(labels)), medians, yerr=off.T, marker="o", capsize=3, color=f"C{row}")
            axis.set_xticks(range(len(labels)), labels)
            axis.set_ylim(bottom=0)
            axis.set_ylabel(unit if column == 0 else "")
            axis.grid(alpha=0.3)
        axes[1][column].set_xlabel(_AXES[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    print(f"plots: {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names, default=list(_CURVES), metavar=",".join(_CURVES))
    parser.add_argument("--objects", type=int, nargs="+", default=OBJECTS)
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--plot", type=Path, help="where the picture goes; results/growth.png")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    wrong = [name for name in names if name not in _CURVES]
    if wrong:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(_CURVES)}, got {', '.join(wrong)}")
    return names


if __name__ == "__main__":
    main()
