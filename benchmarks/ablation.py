"""What each part of the tracker is worth: J&F of naive propagation, of each part added, of the default, and without us.

    python benchmarks/ablation.py DATASET [--sequence NAME ...] [--init box mask] [--only WORD] [--checkpoint FILE]

DATASET as for `streamseg eval`. Rows that begin with "+" build on the one above; rows that begin with "default," change
one thing of the default. What a user could do without us: a tracker of OpenCV gives the box, GrabCut the mask in it.
The tracker is CSRT if this OpenCV has it (the package opencv-contrib-python-headless does), else MIL.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_report as report
import cv2
import msgspec
import numpy as np

from streamseg.evaluation.sequences import Sequence, find_sequences, read_ids
from streamseg.evaluation.videos import Measured, Scores, evaluate_sequence, mean
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks.boxes import box_of_mask
from streamseg.messages import Frame, ObjectResult, Segmented
from streamseg.node import Node, NodeConfig
from streamseg.runtime.inline import InlineRun
from streamseg.tracking import NAIVE, TrackingOptions

DEFAULT = TrackingOptions()
PARTS: dict[str, dict[str, Any]] = {
    "+ margin round the box": {"margins": DEFAULT.margins},
    "+ specks dropped": {"speck": DEFAULT.speck},
    "+ motion model": {"motion": DEFAULT.motion},
    "+ last mask as a prompt": {"projection": ("box", "mask")},
    "+ earlier views compared": {"templates": DEFAULT.templates},
    "+ a point in the last mask instead of its box and it": {"projection": DEFAULT.projection},
    "+ points on other objects": {"other_points": DEFAULT.other_points},
    "+ second pass": {"passes": DEFAULT.passes},
}
CHANGES: dict[str, dict[str, Any]] = {
    "default, without motion model": {"motion": 0.0},
    "default, without gates and coming back": {"gates": False},
    "default, without earlier views": {"templates": False},
    "default, box": {"projection": ("box",)},
    "default, box and inner point": {"projection": ("box", "point")},
    "default, box and last mask": {"projection": ("box", "mask")},
    "default, last mask": {"projection": ("mask",)},
    "default, inner point and last mask": {"projection": ("point", "mask")},
    "default, two passes": {"passes": 2},
    "default, three margins": {"margins": (0.0, 0.05, 0.1)},
}
_GRABCUT_ROUNDS = 3
_GRABCUT_SURROUNDINGS = 0.25


def main() -> None:
    args = _arguments()
    machine = report.machine()
    report.say_machine(machine)
    weights = {} if args.checkpoint is None else {"checkpoint": args.checkpoint}
    sequences = find_sequences(Path(args.dataset), args.sequence)
    facts: dict[str, Any] = {"machine": machine, "sequences": [sequence.name for sequence in sequences], "rows": {}}
    rows = []
    for name, options in _rows():
        if args.only and args.only not in name:
            continue
        found = {init: _measure(sequences, init, options, weights) for init in args.init}
        facts["rows"][name] = {init: [msgspec.to_builtins(each) for each in many] for init, many in found.items()}
        rows.append([name, *(f"{100 * mean(many).j_and_f:.1f}" for many in found.values())])
        print(" | ".join(rows[-1]), flush=True)
    print("\n" + report.table(["J&F", *(f"from a {init}" for init in args.init)], rows))
    report.save("ablation", facts)


def _rows() -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Name and options of propagate; None for what needs no streamseg."""
    yield f"OpenCV's {_opencv_tracker()[0]} and GrabCut", None
    options = NAIVE
    yield "naive: the last mask's box", {"tracker": "naive"}
    for name, changes in PARTS.items():
        added = msgspec.structs.replace(options, **changes)
        if added != options:
            options = added
            yield name, {"tracking": options}
    yield "+ gates and coming back = default", {}
    for name, changes in CHANGES.items():
        changed = msgspec.structs.replace(DEFAULT, **changes)
        if changed != DEFAULT:
            yield name, {"tracking": changed}


def _measure(
    sequences: list[Sequence], init: str, options: dict[str, Any] | None, weights: dict[str, Any]
) -> list[Measured]:
    if options is None:
        return [each for sequence in sequences for each in _without_us(sequence, init)]
    options = {key: msgspec.to_builtins(value) for key, value in options.items()}
    return [
        each
        for sequence in sequences
        for each in evaluate_sequence(sequence, init=init, embed=dict(weights), propagate={**weights, **options})
    ]


def _opencv_tracker() -> tuple[str, Any]:
    for name in ("CSRT", "MIL"):
        kind = getattr(cv2, f"Tracker{name}", None)
        if kind is not None:
            return name, kind
    raise SystemExit("this OpenCV has neither CSRT nor MIL")


class BoxAndCut(Node[Frame, Segmented]):
    """One OpenCV tracker an object, and GrabCut in its box."""

    class Config(NodeConfig, frozen=True):
        """What is given in the first frame."""

        masks: str
        """The file with the true masks."""
        init: str

    def setup(self) -> None:
        ids = read_ids(Path(self.config.masks))
        self._given = {int(i): ids == i for i in np.unique(ids) if i}
        self._trackers: dict[int, Any] = {}

    def process(self, message: Frame) -> Segmented:
        image = np.ascontiguousarray(message.image_rgb[..., ::-1])
        labels = np.zeros(image.shape[:2], np.uint16)
        for number, (identity, given) in enumerate(self._given.items(), start=1):
            if identity not in self._trackers:
                x0, y0, x1, y1 = (int(edge) for edge in box_of_mask(given) or ())
                self._trackers[identity] = _opencv_tracker()[1].create()
                self._trackers[identity].init(image, (x0, y0, x1 - x0, y1 - y0))
                mask = given if self.config.init == "mask" else _cut(image, (x0, y0, x1, y1))
            else:
                found, (x, y, width, height) = self._trackers[identity].update(image)
                mask = _cut(image, (x, y, x + width, y + height)) if found else np.zeros(labels.shape, bool)
            labels[mask] = number
        objects = [ObjectResult(identity, "TRACKED", 1.0, None, 0) for identity in self._given]
        return Segmented(message, objects, labels)


def _cut(image_bgr: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """(H, W) bool: GrabCut's foreground in a box, by the colors in it and of its surroundings."""
    found = np.zeros(image_bgr.shape[:2], bool)
    height, width = found.shape
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    dx, dy = (max(2, int(side * _GRABCUT_SURROUNDINGS)) for side in (x1 - x0, y1 - y0))
    left, top, right, bottom = max(0, x0 - dx), max(0, y0 - dy), min(width, x1 + dx), min(height, y1 + dy)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return found
    crop = np.ascontiguousarray(image_bgr[top:bottom, left:right])
    marks = np.full(crop.shape[:2], cv2.GC_BGD, np.uint8)
    marks[y0 - top : y1 - top, x0 - left : x1 - left] = cv2.GC_PR_FGD
    if (marks == cv2.GC_BGD).any():
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(crop, marks, None, *models, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    found[top:bottom, left:right] = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    return found


def _without_us(sequence: Sequence, init: str) -> list[Measured]:
    first = read_ids(sequence.mask_files[0])
    scores = Scores(sequence, [int(i) for i in np.unique(first) if i])
    graph = config.parse(
        {
            "nodes": {
                "decode": {"options": {"source": str(sequence.source)}},
                "cut": {
                    "use": f"{__name__}:BoxAndCut",
                    "options": {"masks": str(sequence.mask_files[0]), "init": init},
                },
            },
            "links": ["decode -> cut"],
        }
    )
    InlineRun(Plan(graph, results_from="cut"), scores.take).run()
    return scores.measured()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--sequence", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--init", nargs="+", choices=("box", "mask"), default=["box", "mask"])
    parser.add_argument("--only", metavar="WORD", help="only rows whose name has it")
    parser.add_argument("--checkpoint", help="weights of the bundled model, if not its own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
