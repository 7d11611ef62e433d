"""The things that are to be seen in the sample clip: pictures with an alpha channel, lit from the upper left.

Every function returns float32 RGB from 0 to 1, and alpha. Lengths are pixels of the canvas (see make_clip.py).
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

SUN = np.array([-0.5, -0.65, 0.58], np.float32)
"""Towards the light: x right, y down, z towards the viewer."""


def noise(height: int, width: int, grain_px: tuple[float, float], seed: int, octaves: int = 5) -> np.ndarray:
    """(H, W) from 0 to 1: random grids of ever finer grain, each half as strong. `grain_px` is (x, y)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = [
            max(2, int(np.ceil(side / grain * 2**octave)))
            for side, grain in ((height, grain_px[1]), (width, grain_px[0]))
        ]
        grid = rng.random(cells).astype(np.float32) - 0.5
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.clip(total * 0.8 + 0.5, 0, 1)


def mix(first, second, weight: np.ndarray) -> np.ndarray:
    return np.asarray(first, np.float32) * (1 - weight[..., None]) + np.asarray(second, np.float32) * weight[..., None]


def lit(height_map: np.ndarray, ambient: float = 0.42) -> np.ndarray:
    """Brightness of a surface of that height."""
    smooth = cv2.GaussianBlur(height_map, (0, 0), 2.0)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    toward = (-dx * SUN[0] - dy * SUN[1] + SUN[2]) / np.sqrt(dx**2 + dy**2 + 1)
    return ambient + (1.08 - ambient) * np.clip(toward, 0, 1)


def meadow(height: int, width: int) -> np.ndarray:
    """Sky, a hedge, a road and grass."""
    y = np.arange(height, dtype=np.float32)[:, None]
    clouds = np.clip(noise(height, width, (420, 130), 1) * 2.2 - 0.9, 0, 1)
    picture = mix(
        mix((0.45, 0.62, 0.85), (0.80, 0.87, 0.93), np.broadcast_to(np.clip(y / 270, 0, 1), (height, width))),
        (0.95, 0.95, 0.94),
        clouds,
    )
    for base, rise, grain, dark, seed in ((235, 70, 300, (0.46, 0.56, 0.52), 2), (285, 90, 110, (0.17, 0.27, 0.13), 3)):
        line = base - rise * noise(2, width, (grain, 2), seed)[0]
        leaves = noise(height, width, (26, 20), seed + 10)
        hill = mix(np.array(dark) * 0.65, np.array(dark) * 1.35, leaves)
        picture = mix(picture, hill, np.clip((y - line) / 3, 0, 1))
    near = np.clip((y - 290) / 430, 0, 1)
    fine, coarse = noise(height, width, (9, 7), 5, 3), noise(height, width, (170, 60), 6)
    grass = (
        mix((0.25, 0.36, 0.13), (0.46, 0.52, 0.22), coarse) * (0.72 + 0.5 * fine * (0.4 + 0.6 * near) + 0.1)[..., None]
    )
    picture = mix(picture, grass, np.clip((y - 288 - 8 * coarse) / 4, 0, 1))
    edge = 14 * noise(height, width, (60, 30), 7)
    road = (
        mix((0.52, 0.48, 0.43), (0.64, 0.60, 0.54), noise(height, width, (60, 14), 8)) * (0.88 + 0.24 * fine)[..., None]
    )
    return mix(picture, road, np.clip((y - 372 - edge) / 5, 0, 1) * np.clip((478 + edge - y) / 5, 0, 1))


def trunk(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A tree's trunk: bark round a cylinder that widens at its foot."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    half = width * (0.30 + 0.012 * np.sin(y / 40)) + width * 0.18 * np.clip((y - height + 90) / 90, 0, 1) ** 2
    across = (x - width / 2) / half
    bark = noise(height, width, (16, 120), 20) * 0.6 + noise(height, width, (7, 26), 21, 3) * 0.4
    round_ = np.sqrt(np.clip(1 - across**2, 0, 1))
    shade = 0.35 + 0.75 * np.clip(-across * 0.55 + round_ * 0.62, 0, 1)
    return mix((0.20, 0.14, 0.09), (0.55, 0.44, 0.33), bark) * shade[..., None], np.clip(
        (1 - np.abs(across)) * half, 0, 1
    )


def ball(radius: float, roll: float) -> tuple[np.ndarray, np.ndarray]:
    """A scuffed orange and cream ball that has rolled by `roll` radians; the picture's side is 2 * ceil(radius) + 4."""
    side = 2 * int(np.ceil(radius)) + 4
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) - (side - 1) / 2) / radius
    rim = np.hypot(x, y)
    z = np.sqrt(np.clip(1 - rim**2, 0, 1))
    turned_x, turned_y = x * np.cos(roll) + y * np.sin(roll), y * np.cos(roll) - x * np.sin(roll)
    skin = noise(256, 256, (40, 40), 30)
    scuff = cv2.remap(
        skin, (turned_x * 90 + 128).astype(np.float32), (turned_y * 90 + 128).astype(np.float32), cv2.INTER_LINEAR
    )
    band = np.clip((0.30 - np.abs(turned_y * 0.9 + z * 0.35 - 0.1)) * 25, 0, 1)
    color = mix((0.88, 0.36, 0.08), (0.93, 0.88, 0.76), band) * (0.72 + 0.5 * scuff)[..., None]
    toward = np.clip(x * SUN[0] + y * SUN[1] + z * SUN[2], 0, 1)
    gloss = np.clip(2 * toward * z - SUN[2], 0, 1) ** 18 * 0.35
    bounce = 0.10 * np.clip(y, 0, 1)
    shaded = color * (0.34 + 0.78 * toward + bounce)[..., None] + gloss[..., None]
    return np.clip(shaded, 0, 1), np.clip((1 - rim) * radius + 0.5, 0, 1)


def dog(phase: float, nod: float) -> tuple[np.ndarray, np.ndarray]:
    """A spotted dog walking to the left, 300 x 240; `phase` of its steps in radians. Its paws stand on row 225."""
    high = np.zeros((240, 300), np.float32)
    y, x = np.mgrid[0:240, 0:300].astype(np.float32)

    def limb(points, depth=0.0):
        for (ax, ay, ar), (bx, by, br) in itertools.pairwise(points):
            along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
            apart = (x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2
            radius = ar + along * (br - ar)
            np.maximum(
                high, np.where(apart < radius**2, np.sqrt(np.maximum(radius**2 - apart, 0)) + depth, 0), out=high
            )

    def leg(hip_x, hip_y, offset, depth):
        swing = np.sin(phase + offset)
        lift = 9 * max(0.0, np.cos(phase + offset))
        foot_x = hip_x + 22 * swing
        limb(
            [
                (hip_x, hip_y, 24),
                (hip_x + 9 * swing + 4, 180 - lift / 2, 13),
                (foot_x, 216 - lift, 10),
                (foot_x - 9, 218 - lift, 8),
            ],
            depth,
        )

    leg(102, 140, 2.4, 1)
    leg(216, 138, 5.4, 1)
    limb([(240, 108, 14), (268, 84 - 6 * np.sin(phase), 9), (284, 58 - 12 * np.sin(phase), 6)], 6)
    limb([(100, 122, 43), (160, 124, 37), (222, 120, 39)], 12)
    leg(88, 142, 5.5, 14)
    leg(230, 140, 2.3, 14)
    limb([(96, 108, 34), (70, 76 + nod, 27)], 14)
    limb([(66, 66 + nod, 30), (52, 70 + nod, 26), (26, 82 + nod, 15), (20, 83 + nod, 13)], 18)
    limb([(78, 48 + nod, 12), (90, 66 + nod, 14), (92, 86 + nod, 10)], 34)
    alpha = np.clip(cv2.GaussianBlur((high > 0).astype(np.float32), (0, 0), 1.2) * 2 - 0.5, 0, 1)
    fur = noise(240, 300, (22, 12), 40) * 0.5 + noise(240, 300, (5, 9), 41, 3) * 0.5
    patches = np.clip((noise(240, 300, (90, 80), 43) - 0.50) * 12 - np.clip((y - 140) / 8, 0, 9), 0, 1)
    head = np.clip(12 - np.hypot((x - 54) / 4, (y - 62) / 4.4) + 6 * (fur - 0.5), 0, 1)
    coat = mix((0.86, 0.80, 0.70), (0.40, 0.23, 0.11), np.clip(patches + head, 0, 1))
    coat = coat * (0.70 + 0.55 * fur)[..., None]
    coat = coat * (0.72 + 0.28 * np.clip((235 - y) / 150, 0, 1))[..., None]
    for spot_x, spot_y, radius in ((15, 79 + nod, 9), (54, 58 + nod, 5)):
        coat = mix(coat, (0.05, 0.04, 0.04), np.clip(radius - np.hypot(x - spot_x, y - spot_y), 0, 1))
    return np.clip(coat * lit(high)[..., None], 0, 1), alpha


def _shape(points, shape: tuple[int, int], rounding: float) -> np.ndarray:
    filled = np.zeros(shape, np.float32)
    cv2.fillPoly(filled, [np.array(points, np.int32)], (1.0,), cv2.LINE_AA)
    return np.clip((cv2.GaussianBlur(filled, (0, 0), rounding) - 0.5) * 2 * rounding + 0.5, 0, 1)


def car(turn: float) -> tuple[np.ndarray, np.ndarray]:
    """A blue car heading right, 380 x 160; its wheels, turned by `turn` radians, stand on row 148."""
    shape = (160, 380)
    y, x = np.mgrid[0:160, 0:380].astype(np.float32)
    body = _shape(
        [(14, 124), (12, 84), (30, 70), (92, 64), (130, 24), (236, 22), (282, 66), (350, 78), (368, 96), (368, 124)],
        shape,
        5,
    )
    shine = np.interp(y[:, 0], [20, 60, 72, 84, 100, 126], [1.25, 0.95, 1.35, 0.95, 0.75, 0.45]).astype(np.float32)[
        :, None
    ]
    paint = (
        np.array((0.10, 0.27, 0.55), np.float32) * (shine * (0.86 + 0.28 * noise(160, 380, (70, 24), 50)))[..., None]
    )
    picture = mix(paint, (0.60, 0.66, 0.72), 0.35 * np.clip(1 - np.abs(y - 70 - x * 0.02) / 5, 0, 1) * body)
    for window in ([(106, 66), (138, 33), (178, 32), (178, 66)], [(188, 66), (188, 32), (230, 31), (264, 66)]):
        glass = _shape(window, shape, 2)
        sky = np.clip((x + y * 0.8) % 70 / 70, 0, 1) * 0.25 + np.clip((70 - y) / 60, 0, 1) * 0.35
        picture = mix(picture, mix((0.07, 0.09, 0.11), (0.75, 0.82, 0.88), sky), glass)
    for line in ([(183, 70), (185, 70), (185, 118), (183, 118)], [(104, 70), (106, 70), (110, 118), (108, 118)]):
        picture = mix(picture, (0.03, 0.06, 0.12), 0.7 * _shape(line, shape, 1))
    picture = mix(picture, (0.10, 0.10, 0.11), np.clip((y - 114) / 3, 0, 1))
    picture = mix(picture, (0.95, 0.92, 0.78), np.clip(1 - np.hypot((x - 356) / 12, (y - 90) / 7), 0, 0.25) * 4)
    picture = mix(picture, (0.70, 0.08, 0.06), np.clip(1 - np.hypot((x - 18) / 7, (y - 86) / 10), 0, 0.25) * 4)
    alpha = body
    for hub_x in (84, 298):
        away, angle = np.hypot(x - hub_x, y - 119), np.arctan2(y - 119, x - hub_x) - turn
        picture = mix(picture, (0.02, 0.02, 0.02), np.clip(35 - away, 0, 1) * body)
        tire = np.clip(29.5 - away, 0, 1)
        picture = mix(picture, (0.09, 0.09, 0.095), tire)
        rim = (0.45 + 0.35 * np.clip(np.cos(5 * angle) * 2, 0, 1)) * (1.1 - 0.3 * (y - 100) / 40)
        picture = mix(picture, rim[..., None] * np.array((1.0, 1.0, 1.03), np.float32), np.clip(18 - away, 0, 1))
        alpha = np.maximum(alpha, tire)
    return np.clip(picture, 0, 1), alpha
