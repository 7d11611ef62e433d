"""Screens, signs and test pictures: plain things that fill their box, which no set of photos has."""

from __future__ import annotations

import numpy as np
import pytest

from streamseg import Tracker

HEIGHT, WIDTH, FRAMES = 240, 320, 8


def background(kind: str) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    if kind == "black":
        picture[:] = 0
    if kind == "fading":
        picture[:] = np.linspace(30, 200, WIDTH).astype(np.uint8)[None, :, None]
    return picture


@pytest.mark.parametrize("kind", ["gray", "black", "fading"])
@pytest.mark.parametrize(("width", "height"), [(60, 60), (120, 50), (24, 90)])
def test_a_rectangle_is_followed_from_edge_to_edge(kind: str, width: int, height: int) -> None:
    tracker = Tracker(engine="onnxruntime")
    overlaps = []
    for number in range(FRAMES):
        x, y = 60 + 6 * number, 80 + 2 * number
        truth = np.zeros((HEIGHT, WIDTH), bool)
        truth[y : y + height, x : x + width] = True
        picture = background(kind)
        picture[truth] = (220, 60, 40)
        if number == 0:
            tracker.prompt(box=(x, y, x + width, y + height))
        mask = tracker.track(picture).objects[0].mask
        overlaps.append((mask & truth).sum() / (mask | truth).sum())
    assert min(overlaps) > 0.85, overlaps
