"""How long it takes to write a long run in other formats, and in how much memory.

Runs of 1,000 and of 10,000 frames of 1280 x 720 with ten objects are made, with masks as run lengths and as pictures,
and converted by the command, each time in a process of its own. Memory is flat if it is the same for both lengths. Goal
is 60 s a format for the longer one.

    python benchmarks/exports.py [--frames N] [--formats coco,cvat | --formats all] [--masks rle | --masks png]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from streamseg.masks import rle
from streamseg.masks.label_map import areas_and_boxes
from streamseg.masks.png import write_labels_png
from streamseg.result_files import MASKS, TRACKS, mask_name
from streamseg.tracking.records import CocoMask, TrackRecord, write_lines

HEIGHT, WIDTH, OBJECTS = 720, 1280, 10
DIFFERENT = 50
"""Pictures that are made; they come again and again."""
WITH_IMAGES = ("davis", "labelme", "voc", "yolo")
"""Formats that have pictures unless these are left out; there are none here."""
ALL = (
    *("coco", "csv", "cvat", "label-studio", "mask-video", "mot", "mots", "parquet", "prompts", "sa-v", "youtube-vis"),
    *WITH_IMAGES,
)


def labels_of(number: int) -> np.ndarray:
    """Ten ellipses that move; (H, W) uint16."""
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    for k in range(OBJECTS):
        center_x, center_y = 100 + 110 * k + 3 * (number % 25), 120 + 50 * k + 2 * (number % 17)
        labels[((x - center_x) / 70) ** 2 + ((y - center_y) / 50) ** 2 < 1] = k + 1
    return labels


def make_run(folder: Path, frames: int, *, pictures: bool) -> Path:
    """A run's folder as record leaves it."""
    (folder / MASKS).mkdir(parents=True)
    made = []
    for number in range(DIFFERENT):
        labels = labels_of(number)
        facts = areas_and_boxes(labels, OBJECTS)
        masks = [rle.compress(rle.encode(labels == k + 1)) for k in range(OBJECTS)]
        path = folder / f"{number}.png"
        if pictures:
            write_labels_png(path, labels.astype(np.uint8))
        made.append((facts, masks, path))
    with (folder / TRACKS).open("wb") as file:
        for index in range(frames):
            facts, masks, path = made[index % DIFFERENT]
            records = [
                TrackRecord(
                    frame=index,
                    pts_s=index / 25,
                    id=k + 1,
                    box_xyxy=box,
                    area_px=area,
                    score=0.9,
                    state="TRACKED",
                    label="thing",
                    mask=None if pictures else CocoMask((HEIGHT, WIDTH), masks[k]),
                )
                for k, (area, box) in enumerate(facts)
            ]
            file.write(write_lines(records))
            if pictures:
                (folder / MASKS / mask_name(index)).hardlink_to(path)
    return folder


def convert(folder: Path, name: str, out: Path) -> tuple[float, float, float]:
    """Seconds, those of the processor, and the most MiB that the process had."""
    script = (
        "import resource, sys; from streamseg.cli import main; code = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, "convert", str(folder), "--to", name, "-o", str(out)),
            *(["--no-images"] if name in WITH_IMAGES else []),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    took_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took_s, work_s, int(done.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--formats", default="coco,youtube-vis,cvat,mot,csv", help="or all that need no pictures: all")
    parser.add_argument("--masks", choices=("rle", "png", "both"), default="both", help="as they are in the run")
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as root:
        for kind in ("rle", "png") if args.masks == "both" else (args.masks,):
            for frames in (args.frames // 10, args.frames):
                folder = make_run(Path(root) / f"{kind}-{frames}", frames, pictures=kind == "png")
                for name in ALL if args.formats == "all" else args.formats.split(","):
                    out = Path(root) / f"{kind}-{frames}-{name}"
                    seconds, work_s, mib = convert(folder, name, out)
                    shutil.rmtree(out, ignore_errors=True)
                    facts = {"masks": kind, "frames": frames, "format": name}
                    found.append({**facts, "s": round(seconds, 1), "processor_s": round(work_s, 1), "mib": round(mib)})
                    print(
                        f"{kind}  {frames:6} frames  {name:12} {seconds:6.1f} s  {work_s:6.1f} s of the processor  "
                        f"{mib:6.0f} MiB",
                        flush=True,
                    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
