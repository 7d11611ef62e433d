"""Makes clip.mp4 and truth.json: `python samples/clip/make_clip.py`. The same every time.

Everything is painted on a canvas of twice the clip's size, three times a frame while the shutter is open. The truth
is what covers more than half of a pixel in the middle of the exposure.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import art
import av
import cv2
import numpy as np

from streamseg.masks.boxes import box_of_mask
from streamseg.masks.rle import compress, encode

HEIGHT, WIDTH, FPS, FRAMES = 360, 640, 25, 90
CANVAS_HEIGHT, CANVAS_WIDTH, PAN_PX = 720, 1280, 380
EXPOSURE = 0.4
"""How long the shutter is open, in frames."""
NAMES = ("ball", "dog", "car")
HERE = Path(__file__).parent

Sprite = tuple[np.ndarray, np.ndarray, float, float]
"""RGB, alpha, and where its upper left corner lies in the world, in canvas pixels."""


def place(sprite: tuple[np.ndarray, np.ndarray], scale: float, foot_x: float, foot_y: float, foot_row: float) -> Sprite:
    """The sprite scaled and moved so that the middle of its row `foot_row` is at (foot_x, foot_y), to a fraction of a
    pixel."""
    color, alpha = sprite
    height, width = alpha.shape
    x0, y0 = foot_x - width / 2 * scale, foot_y - foot_row * scale
    left, top = int(np.floor(x0)), int(np.floor(y0))
    size = (int(width * scale) + 3, int(height * scale) + 3)
    matrix = np.array([[scale, 0, x0 - left + (scale - 1) / 2], [0, scale, y0 - top + (scale - 1) / 2]])
    premultiplied = np.dstack([color * alpha[..., None], alpha]).astype(np.float32)
    moved = cv2.warpAffine(premultiplied, matrix, size, flags=cv2.INTER_LINEAR)
    return moved[..., :3], moved[..., 3], left, top


def actors(time: float) -> dict[str, Sprite]:
    """The three objects at a time from 0 to 1."""
    ease = time + 0.04 * np.sin(2 * np.pi * time)
    radius = 66 + 16 * time
    ball_x = 190 + 900 * ease
    car_x = 420 + 860 * ease
    steps = 2 * np.pi * 5.5 * time
    return {
        "ball": place(art.ball(radius, (ball_x - 190) / 74), 1.0, ball_x, 606 + 26 * time, 2 * radius),
        "dog": place(
            art.dog(steps, 4 * np.sin(steps * 2)), 0.98 + 0.14 * time, 1080 - 400 * time, 672 + 14 * time, 225
        ),
        "car": place(art.car((car_x - 420) / 31), 0.86 + 0.14 * time, car_x, 446 + 8 * time, 148),
    }


def blend(canvas: np.ndarray, sprite: Sprite, camera_x: float) -> tuple[slice, slice, np.ndarray] | None:
    """Paint the sprite on the canvas; returns where, and its alpha there."""
    color, alpha, x0, y0 = sprite
    left, top = round(x0 - camera_x), round(y0)
    a, b = max(left, 0), max(top, 0)
    c, d = min(left + alpha.shape[1], canvas.shape[1]), min(top + alpha.shape[0], canvas.shape[0])
    if a >= c or b >= d:
        return None
    part = np.s_[b - top : d - top, a - left : c - left]
    canvas[b:d, a:c] = canvas[b:d, a:c] * (1 - alpha[part][..., None]) + color[part]
    return np.s_[b:d], np.s_[a:c], alpha[part]


def shadow(canvas: np.ndarray, x: float, y: float, width: float, height: float) -> None:
    """A soft dark ellipse on the ground."""
    left, right = max(0, int(x - 1.6 * width)), min(canvas.shape[1], int(x + 1.6 * width))
    top, bottom = max(0, int(y - 2 * height)), min(canvas.shape[0], int(y + 2 * height))
    if left >= right or top >= bottom:
        return
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
    far = np.hypot((xs - x) / width, (ys - y) / height)
    canvas[top:bottom, left:right] *= (1 - 0.55 / (1 + np.exp((far - 0.85) * 7)))[..., None]


def paint(world: np.ndarray, tree: Sprite, time: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The canvas at a time from 0 to 1, and how much of each of its pixels each object covers."""
    # Whole canvas pixels, so that sprites and meadow move together.
    camera_x = round(PAN_PX * (time - 0.06 * np.sin(2 * np.pi * time)))
    canvas = world[:, camera_x : camera_x + CANVAS_WIDTH].copy()
    cast = actors(time)
    covers = {name: np.zeros(canvas.shape[:2], np.float32) for name in NAMES}
    footprints = {"car": (0.47, 11), "tree": (0.75, 12), "ball": (0.52, 13), "dog": (0.42, 13)}
    for name in ("car", "tree", "ball", "dog"):
        sprite = tree if name == "tree" else cast[name]
        wide, deep = footprints[name]
        height, width = sprite[1].shape
        foot = height * {"car": 147 / 160, "tree": 0.985, "ball": 0.97, "dog": 225 / 240}[name]
        shadow(canvas, sprite[2] - camera_x + width * 0.53, sprite[3] + foot, width * wide, deep)
        painted = blend(canvas, sprite, camera_x)
        if painted is None:
            continue
        rows, columns, alpha = painted
        for other in covers.values():
            other[rows, columns] *= 1 - alpha
        if name in covers:
            covers[name][rows, columns] = np.maximum(covers[name][rows, columns], alpha)
    return canvas, covers


def shrink(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def frames():
    """Per frame the (H, W, 3) uint8 RGB picture and a (H, W) bool mask for each of NAMES."""
    world = art.meadow(CANVAS_HEIGHT, CANVAS_WIDTH + PAN_PX)
    tree = place(art.trunk(560, 120), 1.0, 850, 545, 552)
    rng = np.random.default_rng(90)
    for index in range(FRAMES):
        total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for part in (-1, 0, 1):
            canvas, covers = paint(world, tree, np.clip((index + part * EXPOSURE / 3) / (FRAMES - 1), 0, 1))
            total += shrink(canvas) / 3
            if part == 0:
                masks = [shrink(covers[name]) > 0.5 for name in NAMES]
        grain = rng.normal(0, 0.006, (HEIGHT, WIDTH, 1)).astype(np.float32)
        yield np.rint(np.clip(total + grain, 0, 1) * 255).astype(np.uint8), masks


def main() -> None:
    objects = [{"id": position, "name": name, "counts": []} for position, name in enumerate(NAMES, start=1)]
    with av.open(str(HERE / "clip.mp4"), "w") as container:
        options = {"crf": "24", "preset": "slow", "threads": "1"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for index, (image_rgb, masks) in enumerate(frames()):
            frame = av.VideoFrame.from_ndarray(image_rgb, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
            for entry, mask in zip(objects, masks, strict=True):
                entry["counts"].append(compress(encode(mask)))
                if index == 0:
                    entry["first_box_xyxy"] = box_of_mask(mask)
        container.mux(stream.encode())
    truth = {"size": [HEIGHT, WIDTH], "fps": FPS, "frames": FRAMES, "objects": objects}
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
