"""``streamseg choose``: see the three things that a click may mean, and pick one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streamseg.cli.flags.options import add_options, given_options, some_options
from streamseg.cli.output.text import table
from streamseg.cli.parser import Parser, natural, numbers
from streamseg.errors import MediaError, OutputError, PromptError, UsageError
from streamseg.graph import config, registry
from streamseg.graph.options import by_node
from streamseg.graph.standard import make_prompts
from streamseg.masks.overlay import draw
from streamseg.messages import Frame, Stamp
from streamseg.node import NodeContext
from streamseg.regular_files import write_own
from streamseg.tracking import Candidate, full_mask
from streamseg.video.open import open_source
from streamseg.video.reader import Picture

_DESCRIPTION = """A click on a shirt may mean the pocket, the shirt or the person. This writes the three masks that the
model sees at a click, from the whole to its smallest part, as pictures and says its scores. 'streamseg run --choice N',
or 'choice: N' in a prompts file, picks one; without it the best score counts."""

_OPTIONS = ("model", "checkpoint", "device", "engine", "focus")
"""Of embed and propagate."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("source", metavar="SOURCE", help="file, folder, camera number or URL")
    parser.add_argument("--point", action="append", required=True, type=numbers, metavar="X,Y", help="on the object")
    parser.add_argument("--negative", action="append", type=numbers, metavar="X,Y", help="on what is not the object")
    parser.add_argument("--frame", type=natural, default=0, metavar="N", help="in this frame (default: 0, the first)")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--overwrite", action="store_true", help="write into DIR even if it is not empty")
    add_options(parser, some_options(_OPTIONS).values())
    parser.add_argument("--json", action="store_true", help="print the choices as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at the frame, write the pictures, print the scores.

    Raises:
        StreamsegError: the frame cannot be read, the click cannot be meant, or the folder cannot be written.
    """
    folder = Path(args.output).expanduser()
    if folder.exists() and not args.overwrite and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; choose another, or say --overwrite")
    picture = _frame(args.source, args.frame)
    image_rgb = picture.to_rgb()
    choices = _choices(args, image_rgb)
    _make(folder)
    found = [_write(folder, number, image_rgb, each) for number, each in enumerate(choices)]
    write_own(folder / "choices.json", json.dumps(found, indent=1).encode() + b"\n")
    if args.json:
        print(json.dumps(found))
        return 0
    rows = [("CHOICE", "SCORE", "PIXELS", "PICTURE")]
    rows += [(str(e["choice"]), f"{e['score']:.2f}", str(e["area_px"]), str(folder / e["picture"])) for e in found]
    print(table(rows))
    print("\npick one with --choice N, or choice: N in a prompts file; without it the best score counts")
    return 0


def _choices(args: argparse.Namespace, image_rgb: np.ndarray) -> list[Candidate]:
    """What embed and propagate make of the click: the same as in a run."""
    options = {"embed": {}, "propagate": {}, **by_node(given_options(args), some_options(_OPTIONS))}
    prompts = make_prompts([], args.point, args.negative or [], choice=0)
    focus = options["embed"].get("focus") != "off"
    embed = _node("embed", options["embed"], NodeContext("embed", has_feedback=focus))
    embed.setup()
    context = NodeContext("propagate", streams=("choose",), feedback=embed.on_feedback, has_feedback=focus)
    propagate = _node("propagate", {**options["propagate"], "prompts": prompts}, context)
    propagate.setup()
    frame = Frame(Stamp("choose", 0, 0, None, (1, 1), 0, 0, 1), image_rgb)
    found: list[Candidate] = propagate.choices(embed.process(frame))
    if not found:
        raise PromptError(
            f"the model sees nothing at {args.point} in frame {args.frame}; click elsewhere, or give a box"
        )
    return found


def _node(use: str, options: dict[str, Any], context: NodeContext) -> Any:
    kind = registry.load(use)
    return kind(config.options_of(kind.Config, options, f"node {use!r}"), context)


def _frame(source: str, index: int) -> Picture:
    with open_source(source, start_index=index, max_frames=1) as reader:
        picture = next(reader, None)
    if picture is None:
        raise MediaError(f"{source} has no frame {index}; frames count from 0")
    return picture


def _write(folder: Path, number: int, image_rgb: np.ndarray, choice: Candidate) -> dict[str, Any]:
    mask = full_mask(choice, (image_rgb.shape[0], image_rgb.shape[1])).astype(np.uint16)
    drawn = draw(image_rgb, mask, [number], ["choice"], [f"score {choice.score:.2f}"])
    names = {"picture": f"choice_{number}.png", "mask": f"mask_{number}.png"}
    for name, content in ((names["picture"], drawn[..., ::-1]), (names["mask"], mask.astype(np.uint8) * 255)):
        encoded = cv2.imencode(".png", content)[1]
        try:
            write_own(folder / name, encoded.tobytes())
        except OSError as error:
            raise OutputError(f"{folder / name} cannot be written: {error.strerror}") from error
    facts = {"score": round(choice.score, 4), "area_px": int(choice.area_px), "box_xyxy": list(choice.box)}
    return {"choice": number, **facts, **names}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
