"""A clip with one textured thing moving over a textured background, made on the spot."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np

FPS = 30
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, right and bottom edges exclusive."""


def make_clip(path: Path, width: int, height: int, frames: int, fps: int = FPS, *, in_order: bool = False) -> Box:
    """Write an H.264 file (MP4). Returns the box round the thing in the first frame.

    Args:
        path: of the file.
        width: in pixels, even.
        height: in pixels, even.
        frames: how many.
        fps: frames per second.
        in_order: frames are sent in the order in which they are seen, without B-frames, as cameras do: to put them in
            order again takes the time of some frames.
    """
    draw = np.random.default_rng(7)
    background = _texture(draw, height + 64, width + 64, (60, 90, 70))
    side = height // 3
    thing = _texture(draw, side, side, (200, 90, 60))
    inside = cv2.ellipse(
        np.zeros((side, side), np.uint8), (side // 2,) * 2, (side // 2 - 2, side // 3), 0, 0, 360, 1, -1
    )
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "23", **({"bf": "0"} if in_order else {})}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            x, y = _place(number / frames, width - side, height - side)
            shift = round(32 + 31 * np.sin(2 * np.pi * number / frames))
            image = background[shift : shift + height, shift : shift + width].copy()
            part = image[y : y + side, x : x + side]
            part[inside > 0] = thing[inside > 0]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    x, y = _place(0.0, width - side, height - side)
    return (x, y + side // 6, x + side, y + side - side // 6)


def _texture(draw: np.random.Generator, height: int, width: int, color: tuple[int, int, int]) -> np.ndarray:
    coarse = cv2.resize(draw.normal(0, 30, (height // 12 + 1, width // 12 + 1, 3)), (width, height))
    fine = draw.normal(0, 8, (height, width, 3))
    return np.clip(np.array(color) + coarse + fine, 0, 255).astype(np.uint8)


def _place(phase: float, room_x: int, room_y: int) -> tuple[int, int]:
    """Where the thing is: once round an ellipse, so that a looped clip has no jump."""
    angle = 2 * np.pi * phase
    return round(room_x * (0.5 - 0.35 * np.cos(angle))), round(room_y * (0.5 + 0.35 * np.sin(angle)))
