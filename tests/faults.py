"""`make faults`: kill and stop processes of offline runs at random, until there were enough, and check every result.

    python tests/faults.py --faults 200 --model-runs 2

Most runs have a stand-in for the model whose masks depend on every pixel before (`support.chained`), so that what
could be lost shows; the last ones have the bundled model on the sample clip. A run that is over is checked: masks and
tracks byte for byte those of an undisturbed run, the overlay's frames and their times, the counts in ``run.json``, no
process left, nothing in /dev/shm, the temporary folder or that of the sockets.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402,F401 (lets the workers import `support`)
from bench_nodes import let_workers_import  # noqa: E402
from support.command import COMMAND  # noqa: E402
from support.media import moving_images, write_video  # noqa: E402
from support.storm import RECOVERY, Storm, chained_graph, check_same  # noqa: E402

from streamseg.graph import config  # noqa: E402
from streamseg.graph.standard import make_prompts, standard_graph  # noqa: E402

CLIP = ROOT / "samples" / "clip" / "clip.mp4"
TRUTH = ROOT / "samples" / "clip" / "truth.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--frames", type=int, default=400, help="of each run with the stand-in")
    parser.add_argument("--each", type=int, default=12, help="faults in one run at most")
    parser.add_argument("--model-runs", type=int, default=2, help="how many runs have the bundled model")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    let_workers_import()
    print(f"seed {args.seed}", flush=True)
    chance = random.Random(args.seed)
    total: Counter[str] = Counter()
    runs = restarts = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        jobs = {"stand-in": stand_in(folder, args.frames), "bundled model": with_model(folder)}
        undisturbed = {}
        jobs = {job: make for job, make in jobs.items() if (args.faults if job == "stand-in" else args.model_runs)}
        for job, make in jobs.items():
            output = folder / f"{job.split()[0]}-undisturbed"
            subprocess.run([*COMMAND, "run", make(output)], check=True)
            undisturbed[job] = output
        model_runs = 0
        while total.total() < args.faults or model_runs < args.model_runs:
            job = "stand-in" if total.total() < args.faults else "bundled model"
            model_runs += job != "stand-in"
            output = folder / "out"
            storm = Storm(["run", jobs[job](output)], output, chance)
            storm.rage(args.each if job != "stand-in" else min(args.each, args.faults - total.total()))
            report = check_same(output, undisturbed[job])
            shutil.rmtree(output)
            total += storm.faults
            restarts += report["restarts"]
            runs += 1
            print(f"run {runs} ({job}): {storm.faults.total()} faults, {report['restarts']} restarts, same", flush=True)
    print(f"{total.total()} faults in {runs} runs, {restarts} restarts; every result as undisturbed, nothing left")
    print(json.dumps(dict(sorted(total.items()))))
    return 0


def stand_in(folder: Path, frames: int):
    """Uneven times, B-frames, few key frames, and frames that are dropped on purpose."""
    times = np.cumsum([0, *np.random.default_rng(0).integers(20, 90, frames - 1)]).tolist()
    options = {"g": "50", "bf": "2"}
    images = moving_images(frames, 160, 120)
    clip = write_video(folder / "clip.mkv", images, pts=times, time_base=Fraction(1, 1000), options=options)
    return lambda output: chained_graph(folder, clip, output, drop_every=17, sleep_s=0.02)


def with_model(folder: Path):
    """The sample clip, its three objects, focus on."""
    boxes = [each["first_box_xyxy"] for each in json.loads(TRUTH.read_text())["objects"]]

    def make(output: Path) -> Path:
        graph = standard_graph(str(CLIP), make_prompts(boxes), output=str(output))
        path = folder / f"{output.name}-model.yaml"
        path.write_text(json.dumps({**config.to_plain(graph), "recovery": RECOVERY}))
        return path

    return make


if __name__ == "__main__":
    sys.exit(main())
