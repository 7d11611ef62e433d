"""Fits how far a mask is trusted (`streamseg/tracking/trust.py`) to films with true masks.

    python benchmarks/calibrate.py --photos DIR [DIR ...] --films DIR [DIR ...] [--without NAME ...] [--checkpoint FILE]

Films are made as by benchmarks/wide.py, with other seeds, and followed with the present weights of trust. What comes
out is a logistic regression of "the IoU is at least 0.5" on the signals; and, on films that it was not fitted to (eight
folds, all films of one origin in one), how often masks are right that are trusted so far, and by which threshold how
much is doubted. Write WEIGHTS and OFFSET into trust.py, the threshold into `uncertain_trust`, and do it again when the
model or the tracker has changed. Sequences to be tested on are left out (--without).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_report as report
import numpy as np
import wide

from streamseg.evaluation.films import Film, films_of
from streamseg.evaluation.photo_films import kind_names, make_film
from streamseg.evaluation.sequences import find_sequences
from streamseg.evaluation.wide import BAD, GOOD, FilmFollower
from streamseg.messages import Segmented
from streamseg.tracking import gating
from streamseg.tracking.trust import Signals

FOLDS = 8
RIDGE = 0.1
"""Keeps weights small that the data does not ask for."""
THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)


class Listener:
    """Notes what the tracker knows of each mask before it judges it.

    It stands in for `signals_of` in this process: states that are handed on need not carry what only this is after.
    """

    def __init__(self) -> None:
        self._signals_of = gating.signals_of
        self.heard: dict[int, Signals] = {}
        gating.signals_of = self

    def __call__(self, track: Any, candidate: Any) -> Signals | None:
        signals = self._signals_of(track, candidate)
        if signals is not None:
            self.heard[track.id] = signals
        return signals


def main() -> None:
    args = _arguments()
    report.say_machine(report.machine())
    weights = {} if args.checkpoint is None else {"checkpoint": args.checkpoint}
    listener, follower = Listener(), FilmFollower(dict(weights), dict(weights))
    rows = [row for film in _films(args) for row in _followed(film, follower, listener)]
    follower.close()
    signals = np.array([row[0] for row in rows])
    ious = np.array([row[1] for row in rows])
    origins = np.array([row[2] for row in rows])
    right = (ious >= BAD).astype(float)
    fitted = fit(signals, right)
    named = ", ".join(f"{name}={value:.2f}" for name, value in zip(Signals._fields, fitted, strict=False))
    print(f"\n{len(rows)} masks, {np.mean(ious < BAD):.1%} below an IoU of {BAD:g}")
    print(f"WEIGHTS = Signals({named})\nOFFSET = {fitted[-1]:.2f}\n")
    held_out = np.zeros(len(rows))
    fold_of = {origin: k % FOLDS for k, origin in enumerate(np.random.default_rng(0).permutation(np.unique(origins)))}
    folds = np.array([fold_of[origin] for origin in origins])
    for fold in range(FOLDS):
        held_out[folds == fold] = chances(signals[folds == fold], fit(signals[folds != fold], right[folds != fold]))
    print(report.table(["trust", "masks", "right"], list(_reliability(held_out, right))) + "\n")
    print(report.table(["threshold", "bad but believed", "good but doubted"], list(_thresholds(held_out, ious))))


def fit(signals: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights and, last, the offset of a logistic regression, by Newton's method.

    Args:
        signals: (N, S).
        right: (N,) 0 or 1.
    """
    given = np.column_stack([signals, np.ones(len(signals))])
    ridge = np.diag([RIDGE] * signals.shape[1] + [0.0])
    found = np.zeros(given.shape[1])
    for _ in range(30):
        chance = chances(signals, found)
        slope = given.T @ (chance - right) + ridge @ found
        found -= np.linalg.solve((given.T * (chance * (1 - chance) + 1e-9)) @ given + ridge, slope)
    return found


def chances(signals: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """(N,) how likely each mask is right."""
    return np.asarray(1 / (1 + np.exp(-np.clip(signals @ fitted[:-1] + fitted[-1], -30, 30))))


def _followed(film: Film, follower: FilmFollower, listener: Listener) -> Iterator[tuple[Signals, float, str]]:
    """Signals, IoU and origin of each mask that was given of an object that was there."""
    heard: list[dict[int, Signals]] = []

    def watch(index: int, segmented: Segmented) -> None:
        heard.append(listener.heard)
        listener.heard = {}

    for its in follower.follow(film, watch):
        for signals, iou, state, visible in zip(heard[1:], its.j, its.states, its.visible, strict=True):
            if visible and state != "L" and its.object_id in signals:
                yield signals[its.object_id], iou, film.origin


def _reliability(said: np.ndarray, right: np.ndarray) -> Iterator[list[str]]:
    for low, high in ((0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.97), (0.97, 1)):
        there = (said >= low) & (said <= high)
        if there.any():
            yield [f"{low:g} to {high:g}", str(np.count_nonzero(there)), f"{right[there].mean():.2f}"]


def _thresholds(said: np.ndarray, ious: np.ndarray) -> Iterator[list[str]]:
    for threshold in THRESHOLDS:
        believed, doubted = (said >= threshold)[ious < BAD], (said < threshold)[ious >= GOOD]
        yield [f"{threshold:g}", f"{believed.mean():.1%}", f"{doubted.mean():.1%}"]


def _films(args: argparse.Namespace) -> Iterator[Film]:
    photos = [photo for folder in args.photos for photo in wide.find_held_out(folder, args.every, args.leave_out)]
    for kind in kind_names() if photos else []:
        for seed in range(args.seed, args.seed + args.runs):
            yield make_film(kind, photos, seed)
    for folder in args.films:
        for sequence in find_sequences(Path(folder)):
            if sequence.name not in args.without:
                yield from films_of(sequence, parts="b")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", nargs="+", default=[], metavar="DIR")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="only every N-th photo of each set")
    parser.add_argument("--leave-out", nargs="+", default=wide.PARTS, metavar="SET", help="sets of no objects")
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="films of each kind")
    parser.add_argument("--seed", type=int, default=5000, help="of the first film of each kind")
    parser.add_argument("--films", nargs="+", default=[], metavar="DIR")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="sequences that are left out")
    parser.add_argument("--checkpoint", help="weights of the bundled model, if not its own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
