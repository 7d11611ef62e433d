"""How old the masks of a live HEVC camera of 3840x2160 are that takes longer to decode than it lasts.

    python benchmarks/live_age.py [--seconds 300] [--fps 0] [--frames 48] [--width 3840 --height 2160]

The clip is made here, and decoded once by itself; the camera then shows it at 1.5 times that speed, at 30 frames/s at
least, unless ``--fps`` says how fast. Frames have to be left out then, or what is shown grows older without end. The
age of a frame counts from when the camera took it, by the clock of its stamps, to when its masks were published; so it
holds what waited in sockets, too. Goal: at most 2 s at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import bench_report as report
import numpy as np
from live_camera import camera, first_pts_s
from live_latency import published

GOAL_S = 2.0
FASTER = 1.5
MADE_FPS = 30
STEP_S = 10.0


def main() -> None:
    """Measure, print, save."""
    args = _arguments()
    machine = report.machine()
    report.say_machine(machine)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        make_hevc(clip, args.width, args.height, args.frames)
        alone = decoded_fps(clip)
        fps = args.fps or max(MADE_FPS, round(FASTER * alone))
        print(f"{args.width}x{args.height} HEVC: decoded by itself at {alone:.1f} frames/s, shown at {fps}")
        shown = folder / "shown.mp4"
        at_rate(clip, shown, fps)
        begin_s = first_pts_s(shown)
        ages: list[tuple[float, float, float]] = []
        with camera(shown, folder, fps) as (url, start):
            box = (args.width // 3, args.height // 3, args.width // 2, args.height // 2)
            for second, header in published(url, box, folder, args.seconds):
                taken_s = float(start.read_text()) + (header.pts_s or 0.0) - begin_s
                published_s = time.monotonic() - (time.time_ns() - header.published_ns) / 1e9
                arrived_s = (header.published_ns - (header.arrived_ns or header.published_ns)) / 1e9
                ages.append((second, published_s - taken_s, arrived_s))
    if not ages:
        raise SystemExit("no frame was published")
    rows = []
    steps = sorted({int(second // STEP_S) for second, *_ in ages})
    for step in steps if len(steps) <= 12 else [*steps[:3], *steps[3:-3:6], *steps[-3:]]:
        some = [each for each in ages if int(each[0] // STEP_S) == step]
        cells = [f"{report.percentile([each[k] for each in some], p):.2f}" for k in (1, 2) for p in (50, 95)]
        rows.append([f"{step * STEP_S:.0f} s", str(len(some)), *cells])
    head = ["from", "frames", "age p50 s", "p95", "of which since arrival p50 s", "p95"]
    print("\n" + report.table(head, rows))
    last = max(age for second, age, _ in ages if second > ages[-1][0] - STEP_S)
    print(f"oldest in the last {STEP_S:.0f} s: {last:.2f} s; goal: <= {GOAL_S:g} s")
    facts: dict[str, Any] = {"machine": machine, "arguments": vars(args), "alone_fps": alone, "fps": fps, "ages": ages}
    report.save("live-age", facts)


def make_hevc(path: Path, width: int, height: int, frames: int) -> None:
    """Write a clip that is hard to decode: noise that moves, a key frame every 24 frames."""
    noise = np.random.default_rng(7).integers(0, 256, (height + 2 * frames, width, 3), np.uint8)
    noise //= 2
    options = {"preset": "ultrafast", "crf": "24", "x265-params": "keyint=24:min-keyint=24:bframes=0:log-level=none"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=MADE_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[2 * number : 2 * number + height]), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def decoded_fps(path: Path) -> float:
    """Frames a second when nothing else is done."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        began_s = time.monotonic()
        count = sum(1 for _ in container.decode(video=0))
        return count / (time.monotonic() - began_s)


def at_rate(clip: Path, path: Path, fps: int) -> None:
    """Write the same packets with stamps of another rate."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as output:
        video = source.streams.video[0]
        copy = output.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = packet.pts * MADE_FPS // fps, packet.dts * MADE_FPS // fps
                packet.duration = packet.duration * MADE_FPS // fps if packet.duration else 0
                packet.stream = copy
                output.mux(packet)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--fps", type=int, default=0, help="of the camera; 0: faster than can be decoded")
    parser.add_argument("--width", type=int, default=3840)
    parser.add_argument("--height", type=int, default=2160)
    parser.add_argument("--frames", type=int, default=48, help="of the clip that is shown again and again")
    return parser.parse_args()


if __name__ == "__main__":
    main()
