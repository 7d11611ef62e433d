"""``streamseg eval`` and ``streamseg eval-images``: how good the masks are on data with true ones."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streamseg.cli.flags.options import add_options, given_options, some_options
from streamseg.cli.output.text import say, table
from streamseg.cli.parser import Parser, positive
from streamseg.errors import OutputError, UsageError
from streamseg.graph.options import by_node

_PHOTO_OPTIONS = ("model", "checkpoint", "device", "engine", "focus")
_VIDEO_OPTIONS = (*_PHOTO_OPTIONS, "tracker")
"""Options of embed and propagate that can be told."""


def add_videos_to(parser: Parser) -> None:
    """Add the arguments of ``eval``."""
    parser.description = """Follow every object of each sequence from its box or mask in the first frame and compare
    with the true masks as the DAVIS benchmark does: region similarity J, boundary accuracy F."""
    parser.add_argument("dataset", metavar="DATASET", help="DAVIS, or a folder with <seq>/video.mp4 and <seq>/masks/")
    parser.add_argument("--init", choices=("box", "mask"), default="box", help="what is given in the first frame")
    parser.add_argument("--sequence", action="append", metavar="NAME", help="only this one; give it again for more")
    _add_to_both(parser, _VIDEO_OPTIONS)
    parser.set_defaults(run=run_videos)


def add_photos_to(parser: Parser) -> None:
    """Add the arguments of ``eval-images``."""
    parser.description = """Segment every object of each photo from its box, and from a click where it is thickest, and
    compare with the true mask."""
    parser.add_argument("folder", metavar="DIR", help="images/ and masks/ of the same names, or index.json")
    parser.add_argument("--set", action="append", metavar="NAME", help="only this set of an index.json; again for more")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="only every N-th photo of each set")
    parser.add_argument(
        "--min-area", type=float, default=0.005, metavar="F", help="leave out objects below this part of the photo"
    )
    parser.add_argument("--compare", action="store_true", help="GrabCut with the same box, and the box itself, too")
    _add_to_both(parser, _PHOTO_OPTIONS)
    parser.set_defaults(run=run_photos)


def _add_to_both(parser: Parser, names: Sequence[str]) -> None:
    add_options(parser, some_options(names).values())
    parser.add_argument("--json", metavar="FILE", dest="json_file", help="write all figures there; - for stdout")


def run_videos(args: argparse.Namespace) -> int:
    """Print J, F and J&F of every sequence and their means.

    Raises:
        StreamsegError: the data cannot be read, or the run failed.
    """
    from streamseg.evaluation.sequences import find_sequences
    from streamseg.evaluation.videos import evaluate_sequence, mean

    options = _given_to_nodes(args, _VIDEO_OPTIONS)
    measured = []
    for sequence in find_sequences(Path(args.dataset), args.sequence):
        found = evaluate_sequence(sequence, init=args.init, embed=options["embed"], propagate=options["propagate"])
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
        "model": _model(options),
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
    from streamseg.evaluation.photo_files import find_photos
    from streamseg.evaluation.photos import PhotoSegmenter, means, rate

    photos = find_photos(Path(args.folder), (0, args.every))
    if args.set:
        known = sorted({photo.kind for photo in photos})
        unknown = [name for name in args.set if name not in known]
        if unknown:
            raise UsageError(f"{args.folder} has no set {unknown[0]!r}; it has {', '.join(known)}")
        photos = [photo for photo in photos if photo.kind in args.set]
    options = _given_to_nodes(args, _PHOTO_OPTIONS)
    model = dict(options["embed"])
    segmenter = PhotoSegmenter(closely=model.pop("focus", "auto") != "off", **model)
    rated = []
    for each in rate(photos, segmenter, min_area=args.min_area, compare=args.compare):
        rated.append(each)
        if len(rated) % 100 == 0:
            say(f"{len(rated)} objects")
    if not rated:
        raise UsageError(f"no object in {args.folder} is as large as --min-area {args.min_area:g} of its photo")
    average = means(rated)
    methods = list(average["mean"])
    rows: list[tuple[str, ...]] = [("SET", "OBJECTS", *(name.upper() for name in methods))]
    for kind, row in average.items():
        count = len(rated) if kind == "mean" else sum(each.kind == kind for each in rated)
        rows.append((kind or "photos", str(count), *(f"{100 * row[name]:.1f}" for name in methods)))
    facts = {"model": _model(options), "mean_iou": average, "objects": [msgspec.to_builtins(each) for each in rated]}
    _give(args.json_file, facts, rows)
    return 0


def _given_to_nodes(args: argparse.Namespace, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The options of embed and of propagate."""
    return {"embed": {}, "propagate": {}, **by_node(given_options(args), some_options(names))}


def _model(options: dict[str, dict[str, Any]]) -> str:
    return str(options["embed"].get("model", some_options(["model"])["model"].default))


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
