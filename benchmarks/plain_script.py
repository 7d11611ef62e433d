"""What one writes without streamseg: a loop in one process that decodes, encodes, asks for the mask, writes it.

    python benchmarks/plain_script.py CLIP X0,Y0,X1,Y1 OUT [--model tiny] [--engine auto] [--threads 2]

The box of the last mask, with a margin, is the next prompt. The two calls of the model compute what `SamPredictor`'s
`set_image` and `predict` compute, with the same weights. Prints frames and seconds as JSON; loading the model and the
first frames, in which libraries warm up, do not count.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.loading import load_decoder, load_encoder

MARGIN = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("box", type=lambda text: tuple(float(number) for number in text.split(",")))
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder(args.model, device="cpu", engine=args.engine, threads=args.threads)
    decoder = load_decoder(args.model, device="cpu", engine=args.engine, threads=args.threads)
    box, count, started_s = args.box, 0, 0.0
    with av.open(str(args.clip)) as container, (args.out / "tracks.jsonl").open("w") as tracks:
        container.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(container.decode(video=0)):
            if number == args.warm_up:
                started_s = time.monotonic()
            image = frame.to_ndarray(format="rgb24")
            size = image.shape[:2]
            features = encoder.encode([image])[0]
            answer = decoder.decode(features, size, [DecoderPrompt(box)], multimask=False)
            mask = decoder.upscale(answer.logits[0, 0], size) > 0
            cv2.imwrite(str(args.out / f"{number:05d}.png"), mask.astype(np.uint8))
            box = next_box(mask) or box
            score = float(answer.scores[0, 0])
            tracks.write(json.dumps({"frame": number, "box_xyxy": box, "score": score}) + "\n")
            count = number + 1
    print(json.dumps({"frames": count - args.warm_up, "seconds": time.monotonic() - started_s}))


def next_box(mask: np.ndarray) -> tuple[float, float, float, float] | None:
    """The box round a mask with a margin; None if there is nothing in it."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    x0, y0, x1, y1 = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    return (x0 - dx, y0 - dy, x1 + dx, y1 + dy)


if __name__ == "__main__":
    main()
