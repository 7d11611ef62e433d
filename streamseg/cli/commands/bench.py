"""``streamseg bench``: how fast this machine is, in figures that can go along with a report."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from streamseg.cli.output.text import say
from streamseg.cli.parser import Parser, natural, numbers, positive
from streamseg.errors import OutputError, UsageError, nearest
from streamseg.sam.models import MODELS

if TYPE_CHECKING:
    import numpy as np

    from streamseg.benchmarking.figures import Figure, Measured
    from streamseg.benchmarking.runs import Clip

_TARGETS = {
    "encoder": "the model's first half: region of an object, whole frame",
    "decoder": "its second half",
    "pipeline": "frames/s of recording masks, without and with the overlay",
    "latency": "a frame that has the graph for itself, until it is recorded; each node",
    "live": "frames at 30 a second, lost rather than late: from decoded to published",
    "transport": "a frame from one process to another",
}
"""What can be measured, and what it is."""
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_LEAST_SIDE = 64


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = """Measure how fast streamseg is here. Engines that are installed take turns in every round, so
    that what else the machine does hits all alike; a ratio is the median of the ratios round by round."""
    listed = "; ".join(f"{name}: {purpose}" for name, purpose in _TARGETS.items())
    parser.add_argument("targets", metavar="TARGET", nargs="*", type=_target, help=f"{listed}; without any: all")
    what = parser.add_argument_group("what is followed")
    what.add_argument("--clip", metavar="FILE", help="a video; without it, one is made on the spot")
    what.add_argument("--box", metavar="X0,Y0,X1,Y1", type=numbers, help="round an object in the first frame of --clip")
    what.add_argument("--size", type=_size, default=(1280, 720), metavar="WxH", help="of the made clip: 1280x720")
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="tiny", metavar="NAME", help="one of " + ", ".join(MODELS))
    model.add_argument("--checkpoint", type=Path, metavar="FILE", help="your own weights for the model")
    model.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N, mps")
    model.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="openvino, onnxruntime or torch; again for more, the first is what others are compared with; without it, "
        "those that are installed",
    )
    model.add_argument("--threads", type=positive, metavar="N", help="of each half; without it, what a run would take")
    how = parser.add_argument_group("how often")
    how.add_argument("--rounds", type=positive, default=3, metavar="N", help="turns of each engine: 3")
    how.add_argument("--frames", type=positive, default=150, metavar="N", help="of each run of processes: 150")
    how.add_argument("--calls", type=positive, default=15, metavar="N", help="of a half of the model in each turn: 15")
    how.add_argument("--warm-up", type=natural, default=5, metavar="N", help="calls before them, not counted: 5")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        dest="json_file",
        help="all figures as JSON instead of the table; with FILE: written there, beside the table",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        StreamsegError: something cannot be measured like this, or cannot be written.
    """
    from streamseg.benchmarking import report

    if (args.clip is None) != (args.box is None):
        raise UsageError("expected --clip and --box together: the box is round an object in its first frame")
    facts: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": report.machine()}
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        clip = _clip(args, Path(folder))
        for target in dict.fromkeys(args.targets or _TARGETS):
            say(f"measuring {target}")
            measured.append(_measure(target, args, clip))
    facts["benchmarks"] = [msgspec.to_builtins(each) for each in measured]
    if args.json_file == "-":
        print(json.dumps(facts), flush=True)
        return 0
    print(report.machine_line(facts["machine"]))
    for each in measured:
        print(f"\n{_table(each)}", flush=True)
        for name, said in each.facts.items():
            print(f"{name.replace('_', ' ')}: {json.dumps(said)}")
    if args.json_file is not None:
        try:
            Path(args.json_file).write_text(json.dumps(facts, indent=1))
        except OSError as error:
            raise OutputError(f"{args.json_file} cannot be written: {error.strerror}; choose another file") from error
    return 0


def _measure(target: str, args: argparse.Namespace, clip: Clip) -> Measured:
    from streamseg.benchmarking import halves, runs

    model = halves.Model(args.model, args.checkpoint, args.device, args.engine or (), args.threads)
    if target in ("encoder", "decoder"):
        images = _images(clip.path, args.calls)
        measure = halves.measure_encoder if target == "encoder" else halves.measure_decoder
        return measure(model, images, clip.box, rounds=args.rounds, calls=args.calls, warm_up=args.warm_up)
    if target == "transport":
        height, width = _images(clip.path, 1)[0].shape[:2]
        return runs.measure_transport((height, width), args.frames, rounds=args.rounds)
    if target == "pipeline":
        # The first frames wait until everything is loaded.
        return runs.measure_pipeline(model, clip, rounds=args.rounds, warm_up=min(20, args.frames // 3))
    measure_ages = runs.measure_latency if target == "latency" else runs.measure_live
    return measure_ages(model, clip, rounds=args.rounds)


def _clip(args: argparse.Namespace, folder: Path) -> Clip:
    from streamseg.benchmarking.clip import make_clip
    from streamseg.benchmarking.runs import Clip
    from streamseg.graph.standard import make_prompts

    if args.clip is None:
        path = folder / "made.mp4"
        width, height = args.size
        return Clip(path, make_clip(path, width, height, max(args.frames, args.calls)), args.frames, folder)
    # Refuses what is no box.
    x0, y0, x1, y1 = make_prompts([args.box])[0]["box"]
    return Clip(Path(args.clip), (x0, y0, x1, y1), args.frames, folder)


def _images(path: Path, count: int) -> list[np.ndarray]:
    """The first frames of a video, (H, W, 3) uint8 RGB; as many as there are, at least one."""
    from streamseg.video.open import open_source

    with open_source(str(path), live=False, max_frames=count) as reader:
        return [picture.to_rgb() for picture in reader]


def _table(measured: Measured) -> str:
    from streamseg.benchmarking import report

    unit = measured.figures[0].unit
    head = [f"{measured.benchmark}, {unit}", "median", "least", "most", "p95", "values", "beside the first", "rounds"]
    return report.table(head, [_row(figure) for figure in measured.figures])


def _row(figure: Figure) -> list[str]:
    cells = [f"{value:.2f}" for value in (figure.median, figure.least, figure.most, figure.p95)]
    compared = ["", ""]
    if figure.ratio is not None:
        compared = [f"{figure.ratio:.2f} x as fast", f"{figure.ratio_least:.2f} - {figure.ratio_most:.2f}"]
    return [figure.name, *cells, str(figure.count), *compared]


def _target(text: str) -> str:
    if text not in _TARGETS:
        raise argparse.ArgumentTypeError(f"there is no {text!r} to measure; {nearest(text, _TARGETS)}")
    return text


def _size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if match is not None:
        width, height = int(match[1]), int(match[2])
        if min(width, height) >= _LEAST_SIDE and width % 2 == height % 2 == 0:
            return width, height
    raise argparse.ArgumentTypeError(
        f"expected WIDTHxHEIGHT in pixels, both even and {_LEAST_SIDE} or more, say 640x360, got {text!r}"
    )
