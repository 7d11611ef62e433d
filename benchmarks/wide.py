"""A validation that is wide enough to choose by: some hundred short films, with intervals, in groups, and honesty.

    python benchmarks/wide.py --photos DIR [DIR ...] --films DIR [--sequence NAME ...] [--runs 40]
                              [--tracking JSON] [--tracker naive] [--checkpoint FILE] [--json FILE] [--against FILE ...]

Films are made of photos with true masks (`streamseg/evaluation/photo_films.py`; the layouts are those of `streamseg
eval-images`), of which only every N-th of each set is used (--every 10: those that `streamseg train` holds out), and of
real sequences (as for `streamseg eval`) forward, backward, and their second halves. Give sequences that the model was
not trained on. --against compares, film by film, with what other runs wrote with --json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import bench_report as report
import msgspec

from streamseg.evaluation.films import Film, films_of
from streamseg.evaluation.photo_files import Photo, find_photos
from streamseg.evaluation.photo_films import kind_names, make_film
from streamseg.evaluation.sequences import find_sequences
from streamseg.evaluation.wide import (
    FilmFollower,
    FollowedObject,
    groups,
    mean_gain,
    mean_j_and_f,
    share_believed,
    share_doubted,
)

PARTS = ["bsds500", "ccp", "facade", "dsb2018_nuclei", "car_parts", "strawberry"]
"""Sets of regions and parts rather than of objects, if they are called as here."""


def main() -> None:
    args = _arguments()
    machine = report.machine()
    report.say_machine(machine)
    weights = {} if args.checkpoint is None else {"checkpoint": args.checkpoint}
    propagate = {**weights, "tracker": args.tracker, "tracking": json.loads(args.tracking)}
    follower = FilmFollower(dict(weights), propagate)
    followed: list[FollowedObject] = []
    for film in _films(args):
        objects = follower.follow(film)
        followed += objects
        print(f"{film.name}: " + ", ".join(f"{100 * each.j_and_f:.1f}" for each in objects), flush=True)
    follower.close()
    rows = [_row(name, each) for name, each in groups(followed)]
    print("\n" + report.table(["group", "objects", "J&F", "bad but believed, %", "good but doubted, %"], rows))
    for path in args.against:
        others = msgspec.json.decode(Path(path).read_bytes(), type=list[FollowedObject])
        gains = [[name, mean_gain(each, others).text(signed=True)] for name, each in groups(followed)]
        print("\n" + report.table(["group", f"J&F more than {Path(path).stem}"], gains))
    if args.json_file:
        Path(args.json_file).write_bytes(msgspec.json.encode(followed))


def _row(name: str, followed: list[FollowedObject]) -> list[str]:
    figures = (mean_j_and_f(followed), share_believed(followed), share_doubted(followed))
    return [name, str(len(followed)), *(figure.text() for figure in figures)]


def _films(args: argparse.Namespace) -> Iterator[Film]:
    photos = [photo for folder in args.photos for photo in find_held_out(folder, args.every, args.leave_out)]
    for kind in args.kinds if photos else []:
        for seed in range(args.seed, args.seed + args.runs):
            yield make_film(kind, photos, seed)
    for folder in args.films:
        for sequence in find_sequences(Path(folder), args.sequence):
            yield from films_of(sequence, parts=args.parts)


def find_held_out(folder: str, every: int, leave_out: Sequence[str]) -> list[Photo]:
    """Every N-th photo of each set of a folder but those of some sets."""
    return [photo for photo in find_photos(Path(folder), (0, every)) if photo.kind not in leave_out]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", nargs="+", default=[], metavar="DIR")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="only every N-th photo of each set")
    parser.add_argument("--leave-out", nargs="+", default=PARTS, metavar="SET", help="sets whose masks are no objects")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=kind_names())
    parser.add_argument("--runs", type=int, default=40, metavar="N", help="films of each kind")
    parser.add_argument("--seed", type=int, default=1000, help="of the first film of each kind")
    parser.add_argument("--films", nargs="+", default=[], metavar="DIR")
    parser.add_argument("--sequence", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--parts", default="fbh", help="forward, backward, half (default: fbh)")
    parser.add_argument("--tracker", choices=("default", "naive"), default="default")
    parser.add_argument("--tracking", default="{}", help="thresholds of the tracker, as JSON")
    parser.add_argument("--checkpoint", help="weights of the bundled model, if not its own")
    parser.add_argument("--json", dest="json_file", metavar="FILE", help="write what came of each film")
    parser.add_argument("--against", nargs="+", default=[], metavar="FILE", help="what other runs wrote with --json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
