"""How old the masks of a live 1280x720 camera at 30 frames/s are, and whether that grows.

    python benchmarks/live_latency.py [--minutes 60] [--beside-minutes 5] [--fps 30]

streamseg runs with the bundled model and publishes; a listener in another process (this one) notes of every frame the
time from its packet's arrival, decoding included, to when its masks were published (`published_ns - arrived_ns`), and
to when they are here. Then the same camera is read with OpenCV's `VideoCapture` in one loop with the same model: read,
encode, ask for one mask, go on. How old a frame is there counts from when the camera took it, since nobody says when it
arrived. Goals: p50 60 ms, p95 120 ms, in the last minute as in the first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_report as report
import cv2
import numpy as np
import yaml
import zmq
from bench_clip import make_clip
from bench_nodes import let_workers_import
from live_camera import camera
from plain_script import next_box

from streamseg.prompts.decoder import DecoderPrompt
from streamseg.publishing.format import FrameHeader
from streamseg.publishing.subscriber import listen, newest
from streamseg.sam.loading import load_decoder, load_encoder
from streamseg.types import Box

WIDTH, HEIGHT = 1280, 720
CLIP_FRAMES = 300
GOALS_MS = {50: 60, 95: 120}
FIRST_S = 5.0
"""At the beginning everything is warming up."""
LONGEST_START_S = 60.0
Ages = list[tuple[float, float, float]]
"""Second of the measurement, milliseconds to published, milliseconds to here."""


def main() -> None:
    args = _arguments()
    let_workers_import()
    machine = report.machine()
    report.say_machine(machine)
    facts: dict[str, Any] = {"machine": machine, "arguments": vars(args)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        box = make_clip(clip, WIDTH, HEIGHT, CLIP_FRAMES, args.fps, in_order=True)
        with camera(clip, folder, args.fps) as (url, _):
            ours, dropped = _streamseg(url, box, folder, 60 * args.minutes)
        _tell("streamseg", ours)
        print(f"frames of the camera that were not looked at: {dropped}\n")
        facts["streamseg"] = {"ages": ours, "not_looked_at": dropped}
        if args.beside_minutes:
            with camera(clip, folder, args.fps) as (url, start):
                theirs = _opencv(url, box, start, args.fps, 60 * args.beside_minutes)
            _tell("VideoCapture and the model in one loop", theirs)
            facts["opencv"] = {"ages": theirs}
    report.RESULTS.mkdir(exist_ok=True)
    picture = report.RESULTS / "live-latency.png"
    cv2.imwrite(str(picture), _plot(facts))
    print(f"plot: {picture}")
    report.save("live-latency", facts)


def _streamseg(url: str, box: Box, folder: Path, seconds: float) -> tuple[Ages, int]:
    ages: Ages = []
    numbers: list[int] = []
    for second, header in published(url, box, folder, seconds):
        if header.arrived_ns is not None:
            here_ms = (time.time_ns() - header.arrived_ns) / 1e6
            ages.append((second, (header.published_ns - header.arrived_ns) / 1e6, here_ms))
            numbers.append(header.frame)
    if not ages:
        raise SystemExit("no frame was published")
    return ages, numbers[-1] - numbers[0] + 1 - len(numbers)


def published(url: str, box: Box, folder: Path, seconds: float) -> Iterator[tuple[float, FrameHeader]]:
    """Frames of a live camera whose masks were published, as they come, and the second of the measurement.

    Args:
        url: of the camera.
        box: round what is followed.
        folder: for files and a socket.
        seconds: how long, after those in which everything is warming up.
    """
    address = f"ipc://{folder}/masks"
    graph = {
        "nodes": {
            "decode": {"options": {"source": url, "live": True}},
            "embed": {},
            "propagate": {"options": {"prompts": [{"id": 1, "box": list(box)}]}},
            "cleanup": {},
            "publish": {"options": {"bind": address}},
        },
        "links": ["decode -> embed -> propagate -> cleanup -> publish"],
        "feedback": ["propagate -> embed"],
    }
    path = folder / "graph.yaml"
    path.write_text(yaml.safe_dump(graph))
    process = subprocess.Popen([sys.executable, "-m", "streamseg", "run", str(path)])
    context = zmq.Context()
    try:
        socket = listen(context, address, waiting=1000)
        began_s: float | None = None
        waits_until_s = time.monotonic() + LONGEST_START_S
        while process.poll() is None and time.monotonic() < (
            waits_until_s if began_s is None else began_s + FIRST_S + seconds
        ):
            for message in newest(socket, 500):
                if not isinstance(message.header, FrameHeader):
                    continue
                now_s = time.monotonic()
                began_s = began_s or now_s
                if now_s - began_s >= FIRST_S:
                    yield now_s - began_s - FIRST_S, message.header
    finally:
        process.terminate()
        process.wait()
        context.destroy(linger=0)


def _opencv(url: str, box: Box, start: Path, fps: float, seconds: float) -> Ages:
    encoder, decoder = load_encoder("tiny", device="cpu", threads=2), load_decoder("tiny", device="cpu", threads=2)
    capture = cv2.VideoCapture(url)
    if not capture.isOpened():
        raise SystemExit("OpenCV cannot open the camera")
    start_s = float(start.read_text())
    ages: Ages = []
    number, prompt, began_s = 0, box, time.monotonic()
    while time.monotonic() - began_s < FIRST_S + seconds:
        there, image_bgr = capture.read()
        if not there:
            break
        image = np.ascontiguousarray(image_bgr[..., ::-1])
        features = encoder.encode([image])[0]
        answer = decoder.decode(features, image.shape[:2], [DecoderPrompt(prompt)], multimask=False)
        prompt = next_box(decoder.upscale(answer.logits[0, 0], image.shape[:2]) > 0) or prompt
        now_s = time.monotonic()
        if now_s - began_s >= FIRST_S:
            age_ms = 1000 * (now_s - (start_s + number / fps))
            ages.append((now_s - began_s - FIRST_S, age_ms, age_ms))
        number += 1
    capture.release()
    return ages


def _tell(what: str, ages: Ages) -> None:
    """Every minute of the first five, then every tenth, and all of it."""
    minutes = sorted({int(second // 60) for second, *_ in ages})
    shown = [minute for minute in minutes if minute < 5 or minute % 10 == 0 or minute == minutes[-1]]
    rows = []
    for minute in [*shown, None]:
        some = [each for each in ages if minute is None or int(each[0] // 60) == minute]
        cells = [f"{report.percentile([each[k] for each in some], p):.0f}" for k in (1, 2) for p in GOALS_MS]
        rows.append(["all" if minute is None else f"minute {minute + 1}", str(len(some)), *cells])
    head = [what, "frames", "published p50 ms", "p95", "here p50 ms", "p95"]
    print("\n" + report.table(head, rows))
    print(f"goals: p50 {GOALS_MS[50]} ms, p95 {GOALS_MS[95]} ms")


def _plot(facts: dict[str, Any], size: tuple[int, int] = (480, 960)) -> np.ndarray:
    """(H, W, 3) uint8 BGR: ages over time on a logarithmic scale from 10 ms to 1000 s."""
    height, width = size
    image = np.full((height, width, 3), 255, np.uint8)

    def row(age_ms: float) -> int:
        return round((height - 30) * (1 - np.clip(np.log10(max(age_ms, 10.0)) - 1, 0, 5) / 5)) + 10

    for power in range(1, 7):
        y = row(10.0**power)
        cv2.line(image, (0, y), (width, y), (225, 225, 225), 1)
        cv2.putText(image, f"{10**power / 1000:g} s", (4, y - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (90, 90, 90), 1)
    longest = max(facts[name]["ages"][-1][0] for name in ("streamseg", "opencv") if name in facts)
    for name, color in (("opencv", (60, 60, 200)), ("streamseg", (160, 110, 20))):
        points = [
            (round(width * second / max(longest, 1)), row(age))
            for second, _, age in facts.get(name, {}).get("ages", [])
        ]
        for x, y in points:
            cv2.circle(image, (x, y), 1, color, -1)
        if points:
            cv2.putText(image, name, (width - 130, points[-1][1] - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1)
    return image


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--beside-minutes", type=float, default=5.0, help="of OpenCV's loop; 0 leaves it out")
    parser.add_argument("--fps", type=int, default=30)
    return parser.parse_args()


if __name__ == "__main__":
    main()
