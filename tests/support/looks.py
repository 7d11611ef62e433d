"""Things of one color with one feature, and a track that was lost, for tests of appearance. No model."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from streamseg.tracking.appearance import Appearance, color_histogram
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import initial_motion
from streamseg.tracking.query import Answer, EncodedView, Query
from streamseg.tracking.state import Track
from streamseg.types import Box

OPTIONS = TrackingOptions(margins=(0.0,))
RED, GREEN, BLUE = (200, 40, 40), (40, 200, 60), (30, 30, 220)
LIKE, UNLIKE = np.array([1.0, 0, 0], np.float32), np.array([0, 1.0, 0], np.float32)


def paint(image: np.ndarray, box: tuple[int, int, int, int], color: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box
    image[y0:y1, x0:x1] = color


def looks_of(image: np.ndarray, box: tuple[int, int, int, int]) -> Appearance:
    x0, y0, x1, y1 = box
    return Appearance.of(LIKE, color_histogram(image, np.ones((y1 - y0, x1 - x0), np.float32), box))


def features_like(*boxes: tuple[int, int, int, int], cells: int = 16) -> np.ndarray:
    """(3, cells, cells): the object's features in boxes of cells, other ones elsewhere."""
    features = np.repeat(np.repeat(UNLIKE[:, None, None], cells, 1), cells, 2)
    for x0, y0, x1, y1 in boxes:
        features[:, y0:y1, x0:x1] = LIKE[:, None, None]
    return features


WHOLE = EncodedView((0.0, 0.0, 128.0, 128.0), (128, 128), np.repeat(LIKE[:, None, None], 32, 1).repeat(32, 2), None)
PLACE: Box = (40.0, 40.0, 60.0, 60.0)


def lost(**changes: Any) -> Track:
    """A red object that was lost, seen so far in `PLACE` only."""
    red = np.full((32, 32, 3), RED, np.uint8)
    track = Track(
        id=1,
        label="",
        state="LOST",
        reason="gone",
        score=0.0,
        box=PLACE,
        area_px=400.0,
        motion=initial_motion(PLACE),
        appearance=looks_of(red, (0, 0, 32, 32)),
        unseen=1,
    )
    return msgspec.structs.replace(track, **changes)


def answer(object_id: int, box: tuple[int, int, int, int], view: EncodedView = WHOLE) -> Answer:
    logits = np.full((1, 128, 128), -6.0, np.float32)
    logits[0, box[1] : box[3], box[0] : box[2]] = 6
    return Answer(Query(object_id, view), logits, np.array([0.9], np.float32))
