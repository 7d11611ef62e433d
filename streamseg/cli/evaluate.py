"""``streamseg eval`` and ``streamseg eval-images``: how good the masks are on data with true ones."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from streamseg.cli.parser import positive
from streamseg.cli.text import say, table
from streamseg.errors import OutputError, UsageError


def add_to(commands: Any) -> None:
    """Add both commands to the command line."""
    videos = commands.add_parser(
        "eval",
        help="measure following on video sequences with true masks",
        description="""Follow every object of each sequence from its box or mask in the first frame and compare with the
        true masks as the DAVIS benchmark does: region similarity J, boundary accuracy F.""",
    )
    videos.add_argument("dataset", metavar="DATASET", help="DAVIS, or a folder with <seq>/video.mp4 and <seq>/masks/")
    videos.add_argument("--init", choices=("box", "mask"), default="box", help="what is given in the first frame")
    videos.add_argument("--sequence", action="append", metavar="NAME", help="only this one; give it again for more")
    videos.add_argument("--tracker", choices=("default", "naive"), default="default")
    videos.set_defaults(run=run_videos)
    photos = commands.add_parser(
        "eval-images",
        help="measure box and click prompts on photos with true masks",
        description="""Segment every object of each photo from its box, and from a click where it is thickest, and
        compare with the true mask.""",
    )
    photos.add_argument("folder", metavar="DIR", help="images/ and masks/ of the same names, or index.json")
    photos.add_argument("--set", action="append", metavar="NAME", help="only this set of an index.json; again for more")
    photos.add_argument("--every", type=positive, default=1, metavar="N", help="only every N-th photo of each set")
    photos.add_argument(
        "--min-area", type=float, default=0.005, metavar="F", help="leave out objects below this part of the photo"
    )
    photos.add_argument("--compare", action="store_true", help="GrabCut with the same box, and the box itself, too")
    photos.set_defaults(run=run_photos)
    for parser in (videos, photos):
        parser.add_argument("--model", default="tiny", metavar="M")
        parser.add_argument("--checkpoint", metavar="FILE", help="the model's weights, if not the original ones")
        parser.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda:N or mps")
        parser.add_argument(
            "--engine", choices=("auto", "torch", "onnxruntime"), default="auto", help="what computes the model"
        )
        parser.add_argument("--focus", choices=("auto", "off"), default="auto", help="off: whole frames only")
        parser.add_argument("--json", metavar="FILE", dest="json_file", help="write all figures there; - for stdout")


def run_videos(args: argparse.Namespace) -> int:
    """Print J, F and J&F of every sequence and their means.

    Raises:
        StreamsegError: the data cannot be read, or the run failed.
    """
    from streamseg.evaluation.sequences import find_sequences
    from streamseg.evaluation.videos import evaluate_sequence, mean

    weights = _weights(args)
    measured = []
    for sequence in find_sequences(Path(args.dataset), args.sequence):
        found = evaluate_sequence(
            sequence,
            init=args.init,
            embed={**weights, "focus": args.focus},
            propagate={**weights, "tracker": args.tracker},
        )
        for each in found:
            say(f"{each.name}: J&F {100 * each.j_and_f:.1f}")
        measured += found
    average = mean(measured)
    rows: list[tuple[str, ...]] = [
        ("SEQUENCE", "J&F", "J MEAN", "J RECALL", "J DECAY", "F MEAN", "F RECALL", "F DECAY")
    ]
    rows += [
        (each.name, *(f"{100 * value:.1f}" for value in (each.j_and_f, *each.j, *each.f)))
        for each in [*measured, average]
    ]
    facts = {
        "init": args.init,
        "model": args.model,
        "mean": {**msgspec.to_builtins(average), "j_and_f": average.j_and_f},
        "sequences": [{**msgspec.to_builtins(each), "j_and_f": each.j_and_f} for each in measured],
    }
    _give(args.json_file, facts, rows)
    return 0


def run_photos(args: argparse.Namespace) -> int:
    """Print the mean IoU of every set and method.

    Raises:
        StreamsegError: the data cannot be read, or the model cannot be loaded.
    """
    from streamseg.evaluation.photos import PhotoSegmenter, means, rate
    from streamseg.evaluation.pictures import find_photos

    photos = find_photos(Path(args.folder), (0, args.every))
    if args.set:
        known = sorted({photo.kind for photo in photos})
        unknown = [name for name in args.set if name not in known]
        if unknown:
            raise UsageError(f"{args.folder} has no set {unknown[0]!r}; it has {', '.join(known)}")
        photos = [photo for photo in photos if photo.kind in args.set]
    weights = _weights(args)
    segmenter = PhotoSegmenter({**weights, "focus": args.focus}, weights)
    rated = []
    try:
        for each in rate(photos, segmenter, min_area=args.min_area, compare=args.compare):
            rated.append(each)
            if len(rated) % 100 == 0:
                say(f"{len(rated)} objects")
    finally:
        segmenter.close()
    if not rated:
        raise UsageError(f"no object in {args.folder} is as large as --min-area {args.min_area:g} of its photo")
    average = means(rated)
    methods = list(average["mean"])
    rows: list[tuple[str, ...]] = [("SET", "OBJECTS", *(name.upper() for name in methods))]
    for kind, row in average.items():
        count = len(rated) if kind == "mean" else sum(each.kind == kind for each in rated)
        rows.append((kind or "photos", str(count), *(f"{100 * row[name]:.1f}" for name in methods)))
    facts = {"model": args.model, "mean_iou": average, "objects": [msgspec.to_builtins(each) for each in rated]}
    _give(args.json_file, facts, rows)
    return 0


def _weights(args: argparse.Namespace) -> dict[str, Any]:
    checkpoint = {} if args.checkpoint is None else {"checkpoint": args.checkpoint}
    return {"model": args.model, "device": args.device, "engine": args.engine, **checkpoint}


def _give(json_file: str | None, facts: dict[str, Any], rows: list[tuple[str, ...]]) -> None:
    if json_file == "-":
        print(json.dumps(facts), flush=True)
        return
    print(table(rows), flush=True)
    if json_file is not None:
        try:
            Path(json_file).write_text(json.dumps(facts, indent=1))
        except OSError as error:
            raise OutputError(f"{json_file} cannot be written: {error.strerror}; choose another file") from error
