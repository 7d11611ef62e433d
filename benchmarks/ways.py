"""One graph run in several ways, which take turns: frames/s, and the processor time that each process has for a frame.

    python benchmarks/ways.py --way "" --way "propagate.tracking.ahead=0" [--clip FILE --box X0,Y0,X1,Y1 …]
        [--rounds 3] [--frames 200] [--overlay] [--engine NAME] [--live]

A way is a list of ``node.option=value``, spaces between them, nothing for the defaults; ``embed.threads=1`` too.
Without ``--clip`` one of 1280x720 is made, with one thing that moves. Where other programs run, processor time says
more than frames/s; the first way is what the others are compared with, round by round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import bench_report as report
from bench_clip import make_clip
from bench_nodes import let_workers_import
from bench_runs import Watched, watch, with_settings

from streamseg.graph import config
from streamseg.graph.standard import make_prompts, standard_graph


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    runs: dict[str, list[Watched]] = {way: [] for way in args.way}
    with tempfile.TemporaryDirectory() as folder:
        clip, boxes = args.clip, args.box
        if clip is None:
            clip = Path(folder) / "clip.mp4"
            boxes = [make_clip(clip, 1280, 720, args.frames)]
        for number in range(args.rounds):
            for way, each in runs.items():
                graph = with_settings(_graph(args, clip, boxes, Path(folder)), way.split())
                each.append(watch(graph, warm_up=args.warm_up))
                spent = ", ".join(f"{name} {ms:.2f}" for name, ms in each[-1].cpu_ms.items())
                print(f"round {number + 1}  {way or 'defaults'}: {each[-1].fps:.1f} frames/s; ms: {spent}", flush=True)
    print("\n" + _table(runs) + "\n")
    told = {
        way: [{"fps": run.fps, "cpu_ms": run.cpu_ms, "first_s": run.first_s} for run in each]
        for way, each in runs.items()
    }
    report.save("ways", {"machine": machine, "arguments": {**vars(args), "clip": str(args.clip)}, "ways": told})


def _graph(args: argparse.Namespace, clip: Path, boxes: list[tuple[float, ...]], folder: Path) -> config.Graph:
    options = {"max_frames": args.frames, "engine": args.engine}
    if args.live:
        return standard_graph(str(clip), make_prompts(boxes), **options, live=True, publish=f"ipc://{folder}/masks")
    output = str(folder / "out")
    return standard_graph(
        str(clip), make_prompts(boxes), **options, output=output, overwrite=True, overlay=args.overlay
    )


def _table(runs: dict[str, list[Watched]]) -> str:
    first = next(iter(runs.values()))
    names = list(first[0].cpu_ms)
    head = ["way", "frames/s", "of the first", "over the rounds", "least ms of all", *names]
    rows = []
    for way, each in runs.items():
        ratio, least, most = report.ratios([run.fps for run in each], [run.fps for run in first])
        spent = [min(run.cpu_ms[name] for run in each) for name in names]
        rows.append(
            [
                way or "defaults",
                f"{statistics.median(run.fps for run in each):.1f}",
                f"{ratio:.2f} x",
                f"{least:.2f} - {most:.2f}",
                f"{min(sum(run.cpu_ms.values()) for run in each):.2f}",
                *(f"{ms:.2f}" for ms in spent),
            ]
        )
    return report.table(head, rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", action="append", required=True, metavar="NODE.OPTION=VALUE")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--box", action="append", type=_box, default=[], metavar="X0,Y0,X1,Y1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=30)
    parser.add_argument("--overlay", action="store_true")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--live", action="store_true", help="published, frames lost rather than late, not recorded")
    return parser.parse_args()


def _box(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


if __name__ == "__main__":
    main()
