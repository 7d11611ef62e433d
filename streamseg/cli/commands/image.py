"""``streamseg image``: masks of still pictures, one or a thousand."""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import msgspec
import numpy as np

from streamseg.cli.flags.options import add_options, given_options, some_options
from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.text import error_facts, say
from streamseg.cli.parser import Parser, numbers, positive
from streamseg.errors import MediaError, OutputError, PromptError, UsageError
from streamseg.graph.standard import make_prompts
from streamseg.masks.image_files import read_image
from streamseg.masks.label_map import areas_and_boxes
from streamseg.masks.overlay import draw
from streamseg.masks.png import write_labels_png
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare
from streamseg.regular_files import open_own, write_own
from streamseg.stills.objects import PictureObjects, everything_generator, find_everything, find_pointed
from streamseg.stills.predictor import Predictor
from streamseg.video.files.folder_reader import list_images, natural_key

_DESCRIPTION = """Masks of the things in still pictures: those that boxes or points show, the same in every picture, or
everything there is. DIR gets overlays/NAME.png, masks/NAME.png (the value of a pixel is the object's number) and
results.jsonl, a line for each picture. A picture that cannot be read, or that a box lies outside of, does not keep the
rest from being done; its line says why."""

_EPILOG = """exit code: 0 if all pictures were done, else that of the first one that was not (2: a prompt does not fit,
3: it cannot be read)"""

_OPTIONS = ("model", "checkpoint", "device", "engine")

RESULTS = "results.jsonl"

Segment = Callable[[np.ndarray], PictureObjects]


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "pictures", metavar="PICTURE", nargs="+", help="a file, a folder, or a pattern such as 'in/*.jpg'"
    )
    group = parser.add_argument_group("what to look for (pixels of the picture)")
    group.add_argument(
        "--box", action="append", type=numbers, metavar="X0,Y0,X1,Y1", help="a box round one object; again for more"
    )
    group.add_argument(
        "--point",
        action="append",
        type=numbers,
        metavar="X,Y",
        help="a point on the object: without a box all points make up one object, with one box they refine it",
    )
    group.add_argument(
        "--negative", action="append", type=numbers, metavar="X,Y", help="a point on what is not the object"
    )
    group.add_argument(
        "--choice",
        type=int,
        choices=(0, 1, 2),
        help="which of the things that a point may mean, the largest first (default: the one with the best score)",
    )
    group.add_argument("--everything", action="store_true", help="all objects, without being pointed at any")
    group.add_argument(
        "--points-per-side",
        type=positive,
        metavar="N",
        help="with --everything: a grid of so many points in each direction is asked; fewer are quicker "
        "(default: 16 for tiny, 32 for the others)",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="write into DIR even if it is not empty")
    add_options(parser, some_options(_OPTIONS).values())
    parser.add_argument("--json", action="store_true", help="print all results as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at every picture; returns the exit code.

    Raises:
        StreamsegError: nothing can be done at all: no prompt, no model, a folder that cannot be written.
    """
    _check_prompts(args)
    folder = Path(args.output).expanduser()
    if folder.exists() and not args.overwrite and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; choose another, or say --overwrite")
    pictures = [found for word in args.pictures for found in _pictures(word)]
    segment = _segmenter(args)
    results: list[dict[str, Any]] = []
    code = 0
    with _results_file(folder) as file, Interrupts() as interrupts:
        for path, name in zip(pictures, _names(pictures), strict=True):
            if interrupts.stop:
                break
            facts: dict[str, Any] = {"picture": str(path)}
            try:
                facts |= _look(path, name, folder, segment)
            except (MediaError, PromptError) as error:
                facts["error"] = error_facts(error)
                say(f"error: {facts['error']['message']}")
                code = code or error.exit_code
            results.append(facts)
            _append(file, facts, folder)
        stopped = interrupts.name if interrupts.stop else ""
    if stopped:
        raise KeyboardInterrupt(f"{stopped} after {len(results)} of {len(pictures)} pictures; {folder} has these")
    _tell(args, folder, results)
    return code


def _check_prompts(args: argparse.Namespace) -> None:
    pointed = [name for name in ("box", "point", "negative", "choice") if getattr(args, name) is not None]
    if args.everything and pointed:
        raise PromptError(f"--everything beside --{pointed[0]}: expected one of the two; run it twice for both")
    if args.points_per_side is not None and not args.everything:
        raise PromptError("--points-per-side is about --everything: expected both, or neither")
    if not args.everything and not (args.box or args.point):
        raise PromptError("expected to be told what to look for: give --box X0,Y0,X1,Y1, --point X,Y or --everything")
    if args.box and len(args.box) > 1 and (args.point or args.negative):
        raise PromptError(
            f"points beside {len(args.box)} boxes could belong to any of them; give one box with its points at a time"
        )


def _segmenter(args: argparse.Namespace) -> Segment:
    """What finds the objects of a picture; weights are loaded here, so that what is wrong with them is said once."""
    prompts = []
    if not args.everything:
        plain = make_prompts(args.box or [], args.point or [], args.negative or [], choice=args.choice)
        prompts = prepare([msgspec.convert(each, ObjectPrompt) for each in plain])
    predictor = Predictor(**given_options(args))
    predictor.model.load()
    if args.everything:
        generator = everything_generator(predictor, args.points_per_side)
        return lambda image_rgb: find_everything(generator, image_rgb)
    return lambda image_rgb: find_pointed(predictor, image_rgb, prompts)


def _pictures(word: str) -> list[Path]:
    """The files that a word on the command line means; what is not there is said when its turn comes."""
    path = Path(word).expanduser()
    if path.is_dir():
        try:
            return list_images(path)
        except MediaError:
            return [path]
    if not path.exists() and glob.has_magic(word):
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (an absolute pattern too)
        files = [each for each in found if each.is_file()]
        return sorted(files, key=lambda each: (str(each.parent), natural_key(each))) or [path]
    return [path]


def _names(pictures: Sequence[Path]) -> Iterator[str]:
    """What the files of each picture are called: its own name without the ending, with a number where that is taken."""
    taken: set[str] = set()
    for path in pictures:
        name, number = path.stem, 2
        # Some file systems do not tell a from A.
        while name.lower() in taken:
            name, number = f"{path.stem}-{number}", number + 1
        taken.add(name.lower())
        yield name


def _look(path: Path, name: str, folder: Path, segment: Segment) -> dict[str, Any]:
    """Find the objects of a picture and write its two files; gives what its line says."""
    try:
        image_rgb = cv2.cvtColor(read_image(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MediaError(f"{path} cannot be read: {said}; expected a picture") from error
    try:
        found = segment(image_rgb)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error
    files = {"overlay": f"overlays/{name}.png", "mask": f"masks/{name}.png"}
    drawn = draw(image_rgb, found.labels, found.ids)
    try:
        write_own(folder / files["overlay"], cv2.imencode(".png", drawn[..., ::-1])[1].tobytes())
    except OSError as error:
        raise _cannot_write(folder / files["overlay"], error) from error
    write_labels_png(folder / files["mask"], found.labels, found.ids)
    places = areas_and_boxes(found.labels, len(found.ids))
    objects = [
        {"id": identity, "box_xyxy": box, "area_px": area_px, "score": round(score, 4)}
        for identity, (area_px, box), score in zip(found.ids, places, found.scores, strict=True)
    ]
    return {"width": image_rgb.shape[1], "height": image_rgb.shape[0], **files, "objects": objects}


@contextlib.contextmanager
def _results_file(folder: Path) -> Iterator[BinaryIO]:
    """The folder made, and its file of results, which has a whole line for each picture that is done."""
    try:
        for each in (folder, folder / "overlays", folder / "masks"):
            each.mkdir(parents=True, exist_ok=True)
        fd = open_own(folder / RESULTS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with os.fdopen(fd, "wb") as file:
        yield file


def _append(file: BinaryIO, facts: dict[str, Any], folder: Path) -> None:
    try:
        file.write(json.dumps(facts).encode() + b"\n")
        file.flush()
    except OSError as error:
        raise _cannot_write(folder / RESULTS, error) from error


def _tell(args: argparse.Namespace, folder: Path, results: Sequence[dict[str, Any]]) -> None:
    failed = sum("error" in each for each in results)
    objects = sum(len(each.get("objects", ())) for each in results)
    if args.json:
        counts = {"pictures": len(results), "failed": failed, "objects": objects}
        print(json.dumps({"output": str(folder), **counts, "results": list(results)}))
    lost = f", {failed} pictures could not be done" if failed else ""
    say(f"{folder}: {len(results) - failed} pictures, {objects} objects{lost}")


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written: {error.strerror}; free space or choose another folder")
