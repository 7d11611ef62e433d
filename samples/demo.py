"""The main job on one clip, and a contact sheet of what came out: what ``make demo`` runs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np

from streamseg.masks.contact_sheet import contact_sheet

HERE = Path(__file__).parent
CLIP = HERE / "clip" / "clip.mp4"
TRUTH = HERE / "clip" / "truth.json"
PICTURES = 12


def clip_boxes() -> list[str]:
    """The objects of the clip in its first frame."""
    objects = json.loads(TRUTH.read_text())["objects"]
    return [",".join(f"{edge:g}" for edge in each["first_box_xyxy"]) for each in objects]


def overlay_pictures(video: Path, count: int) -> list[np.ndarray]:
    """`count` pictures of a video, evenly spread, the first and the last among them."""
    with av.open(str(video)) as container:
        total = sum(1 for _ in container.decode(video=0))
    wanted = {round(position * (total - 1) / max(1, count - 1)) for position in range(count)}
    with av.open(str(video)) as container:
        frames = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for number, frame in frames if number in wanted]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--box", action="append", metavar="X0,Y0,X1,Y1", help="one for each object")
    parser.add_argument("--output", type=Path, default=Path("out/demo"))
    args = parser.parse_args()
    if args.video is not None and not args.box:
        parser.error("say what to follow in your video: make demo VIDEO=clip.mp4 BOX=X0,Y0,X1,Y1")
    boxes = [f"--box={box}" for box in args.box or clip_boxes()]
    command = [sys.executable, "-P", "-m", "streamseg", "run", str(args.video or CLIP), *boxes]
    code = subprocess.call([*command, "-o", str(args.output), "--overwrite"])
    if code:
        return code
    pictures = overlay_pictures(args.output / "overlay.mp4", PICTURES)
    sheet_png = args.output / "contact_sheet.png"
    cv2.imwrite(str(sheet_png), cv2.cvtColor(contact_sheet(pictures, columns=4, width=1280), cv2.COLOR_RGB2BGR))
    print(f"overlay video:  {args.output / 'overlay.mp4'}")
    print(f"contact sheet:  {sheet_png}")
    print(f"masks:          {args.output / 'masks'}  (one PNG a frame, pixel value = object id)")
    print(f"tracks:         {args.output / 'tracks.jsonl'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
