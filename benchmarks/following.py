"""How honestly objects are followed, on clips made by code whose truth is exact; and what one more object costs.

    python benchmarks/following.py [--clips exit,cut] [--seeds 101,102,103] [--tracker naive] [--no-cost]

The clips (`streamseg/evaluation/clip_kinds.py`): occlusion, exit and re-entry, look-alikes that cross, a scene cut
after which the object is gone, stays, or comes back, a change of scale by 4, and a crowd of 20. The thresholds were
chosen on seeds below 100. Cost is measured on crowds of 1 and of 20, in one process: embed, propagate and cleanup.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import bench_report as report

from streamseg.evaluation.clip_kinds import clip_names
from streamseg.evaluation.following import FollowedClip, Measures, follow_clip, follow_everything

MANY = 20
GOAL_SHARE = 0.15
HEAD = ["clip", "IoU", "LOST precision", "recall", "found again", "swaps", "masks after a cut"]


def main() -> None:
    args = _arguments()
    machine = report.machine()
    report.say_machine(machine)
    weights = {} if args.checkpoint is None else {"checkpoint": args.checkpoint}
    embed = {**weights, **json.loads(args.embed)}
    propagate = {**weights, "tracker": args.tracker, "tracking": json.loads(args.tracking)}
    facts: dict[str, Any] = {"machine": machine, "tracker": args.tracker, "clips": {}}
    rows, total = [], Measures()
    for name in args.clips:
        found = Measures()
        for seed in args.seeds:
            followed = follow_clip(name, seed, embed=embed, propagate=propagate)
            found = found + followed.measures
            facts["clips"][f"{name} {seed}"] = _facts(followed)
            print(f"{name} {seed}: IoU {followed.measures.iou:.3f}", flush=True)
            for identity, history in followed.history.items():
                if len(followed.history) < MANY:
                    print(f"  {identity:3d} {history}")
        rows.append(_row(name, found))
        total = total + found
    rows.append(_row("all", total))
    if "crowd" in args.clips:
        rows.append(_everything_row(args.seeds, embed, propagate))
    print("\n" + report.table(HEAD, rows) + "\n\nT, U, L, R: states; in small letters where that is wrong")
    if args.cost:
        one, many = (follow_clip(str(n), 7, embed=embed, propagate=propagate).stage_ms for n in (1, MANY))
        share = (sum(many.values()) - sum(one.values())) / (MANY - 1) / sum(one.values())
        cost = [[str(n), *(f"{ms:.1f}" for ms in times.values())] for n, times in ((1, one), (MANY, many))]
        print("\n" + report.table(["objects", *(f"{stage} ms" for stage in one)], cost))
        print(f"one more object costs {share:.1%} of a frame with one (goal: {GOAL_SHARE:.0%} at most)")
        facts["cost"] = {"ms": {"1": one, str(MANY): many}, "share": share}
    report.save("following", facts)


def _row(name: str, found: Measures) -> list[str]:
    again = f"{found.returns_found} of {found.returns}" if found.returns else "-"
    cut = f"{found.after_cut_masks} of {found.after_cut}" if found.after_cut else "-"
    shares = (f"{found.iou:.3f}", _share(found.lost_precision), _share(found.lost_recall))
    return [name, *shares, again, str(found.swaps), cut]


def _everything_row(seeds: Sequence[int], embed: dict[str, Any], propagate: dict[str, Any]) -> list[str]:
    """The crowds once more, nobody pointing at anything."""
    found, count = Measures(), 0
    for seed in seeds:
        followed = follow_everything("crowd", seed, embed=embed, propagate=propagate)
        found, count = found + followed.measures, count + len(followed.history)
    return _row(f"crowd, --everything: {count} of {MANY * len(seeds)} found", found)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _facts(followed: FollowedClip) -> dict[str, Any]:
    measures = {name: getattr(followed.measures, name) for name in followed.measures.__struct_fields__}
    return {**measures, "history": {str(i): history for i, history in followed.history.items()}}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=lambda text: text.split(","), default=clip_names())
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[101, 102, 103], metavar="N,N"
    )
    parser.add_argument("--tracker", choices=("default", "naive"), default="default")
    parser.add_argument("--checkpoint", help="weights of the bundled model, if not its own")
    parser.add_argument("--embed", default="{}", help="more options of embed, as JSON")
    parser.add_argument("--tracking", default="{}", help="thresholds of the tracker, as JSON")
    parser.add_argument("--no-cost", dest="cost", action="store_false")
    return parser.parse_args()


if __name__ == "__main__":
    main()
