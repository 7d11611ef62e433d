"""How many of the objects of photos `--everything` finds, and how many of its masks are objects at all.

    python benchmarks/everything.py DIR [DIR ...] [--set NAME ...] [--every 10] [--options JSON] [--checkpoint FILE]

The photos are in the layouts of `streamseg eval-images`, of which only every N-th of each set is asked (--every 10:
those that `streamseg train` holds out). An object is found if a mask has an IoU of at least 0.5 with it. What is left
after the run's own sorting out counts, with the defaults of the bundled model; --options changes them
(`streamseg.sam.automatic_masks.AutomaticMaskOptions`). A mask that is no true object may still be a thing that nobody
marked.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import bench_report as report
import numpy as np

from streamseg.evaluation.photo_files import Photo, find_photos, read_masks, read_rgb
from streamseg.sam.automatic_masks import AutomaticMaskOptions, masks_of_picture, select_objects
from streamseg.stills.predictor import Predictor
from streamseg.structs import convert

FOUND_IOU = 0.5
DRAWS = 2000


class Searched(NamedTuple):
    """What came of one photo."""

    kind: str
    ious: list[float]
    """The best one of each object."""
    masks: int
    right: int
    """Masks that have an IoU of at least 0.5 with some object."""


def main() -> None:
    args = _arguments()
    report.say_machine(report.machine())
    options = convert(json.loads(args.options), AutomaticMaskOptions, "--options")
    predictor = Predictor("tiny", checkpoint=args.checkpoint, device="cpu")
    photos = [photo for folder in args.folders for photo in find_photos(Path(folder), (0, args.every))]
    chosen = [photo for photo in photos if not args.set or photo.kind in args.set]
    begun_s = time.process_time()
    searched = [_search(photo, predictor, options, args.min_area) for photo in chosen]
    seconds = (time.process_time() - begun_s) / max(1, len(chosen))
    kinds = sorted({each.kind for each in searched})
    groups = [(kind, [each for each in searched if each.kind == kind]) for kind in kinds]
    rows = [_row(name, members) for name, members in [*groups, ("all", searched)] if members]
    print(
        report.table(
            [
                "set",
                "photos",
                "objects",
                "found",
                "of 100 (95 of 100 drawings)",
                "masks a photo",
                "objects among them, %",
            ],
            rows,
        )
    )
    print(f"\n{seconds:.2f} s of processor time a photo")


def _search(photo: Photo, predictor: Predictor, options: AutomaticMaskOptions, min_area: float) -> Searched:
    image_rgb = read_rgb(photo.image)
    size = (image_rgb.shape[0], image_rgb.shape[1])
    found, _ = masks_of_picture(predictor.model.encoder, predictor.model.decoder, image_rgb, options)
    masks = [each.mask(size) for each in select_objects(found, size, [], options).proposals]
    table = np.array([[truth.iou(mask) for mask in masks] for truth in read_masks(photo.mask, min_area)])
    table = table.reshape(-1, len(masks))
    best = table.max(axis=1, initial=0.0).tolist()
    return Searched(photo.kind, best, len(masks), int((table >= FOUND_IOU).any(axis=0).sum()))


def _row(name: str, searched: list[Searched]) -> list[str]:
    objects = np.array([len(each.ious) for each in searched])
    found = np.array([sum(iou >= FOUND_IOU for iou in each.ious) for each in searched])
    drawn = np.random.default_rng(0).integers(len(searched), size=(DRAWS, len(searched)))
    low, high = np.percentile(100 * found[drawn].sum(1) / np.maximum(objects[drawn].sum(1), 1), (2.5, 97.5))
    masks = sum(each.masks for each in searched)
    return [
        name,
        str(len(searched)),
        str(objects.sum()),
        str(found.sum()),
        f"{100 * found.sum() / max(objects.sum(), 1):.0f} ({low:.0f} to {high:.0f})",
        f"{masks / len(searched):.1f}",
        f"{100 * sum(each.right for each in searched) / max(masks, 1):.0f}",
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="DIR")
    parser.add_argument("--set", nargs="+", metavar="NAME", help="only these sets of an index.json")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="only every N-th photo of each set")
    parser.add_argument("--min-area", type=float, default=0.005, metavar="F", help="leave out objects below this share")
    parser.add_argument("--options", default="{}", metavar="JSON", help="other thresholds than the defaults")
    parser.add_argument("--checkpoint", help="weights of the bundled model, if not its own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
