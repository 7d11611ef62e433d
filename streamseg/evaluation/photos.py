"""Segmenting single photos from a box or a click, beside what is free: GrabCut, and the box itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import msgspec
import numpy as np

from streamseg.evaluation.photo_files import Photo, read_masks, read_rgb
from streamseg.masks.boxes import box_of_mask
from streamseg.masks.measures import deepest_point
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import prepare
from streamseg.stills.objects import find_pointed
from streamseg.stills.predictor import Predictor

GRABCUT_ROUNDS = 5


class Rated(msgspec.Struct, frozen=True):
    """IoU with the true mask of one object, by method."""

    kind: str
    image: str
    iou: dict[str, float]


class PhotoSegmenter:
    """A model on photos, as `streamseg image` asks it.

    Args:
        closely: look again, closely, if the model can; if not, whole photos are seen.
        model: as `Predictor` takes it: model, checkpoint, device, engine.
    """

    def __init__(self, *, closely: bool = True, **model: Any) -> None:
        self._predictor, self._closely = Predictor(**model), closely

    def segment(self, image_rgb: np.ndarray, prompt: dict[str, Any]) -> np.ndarray:
        """(H, W) bool: the mask for one prompt, given as in a graph file."""
        prompts = prepare([msgspec.convert(prompt, ObjectPrompt)])
        return np.asarray(find_pointed(self._predictor, image_rgb, prompts, closely=self._closely).labels == 1)


def rate(photos: Iterable[Photo], segmenter: PhotoSegmenter, *, min_area: float, compare: bool) -> Iterator[Rated]:
    """IoU of every object on every photo.

    Args:
        photos: with their masks.
        segmenter: of the model.
        min_area: objects that cover less than this fraction of the photo are left out.
        compare: GrabCut with the same box and the box itself too.
    """
    for photo in photos:
        image_rgb = read_rgb(photo.image)
        for truth in read_masks(photo.mask, min_area):
            box = box_of_mask(truth.inside)
            if box is None:
                continue
            # Where a careful user would click.
            click_xy = deepest_point(truth.inside, chamfer_px=5)
            found = {
                "box": segmenter.segment(image_rgb, {"box": list(box)}),
                "click": segmenter.segment(image_rgb, {"points": [list(click_xy)]}),
            }
            if compare:
                found |= {"grabcut": grabcut(image_rgb, box), "box itself": filled(box, image_rgb.shape[:2])}
            yield Rated(photo.kind, photo.image.name, {name: truth.iou(mask) for name, mask in found.items()})


def means(rated: Sequence[Rated]) -> dict[str, dict[str, float]]:
    """Mean IoU by set and method; under ``"mean"`` the mean over the sets, each counting the same."""
    kinds = sorted({entry.kind for entry in rated})
    table: dict[str, dict[str, float]] = {}
    for kind in kinds:
        entries = [entry.iou for entry in rated if entry.kind == kind]
        table[kind] = {name: float(np.mean([entry[name] for entry in entries])) for name in entries[0]}
    if table:
        names = next(iter(table.values()))
        table["mean"] = {name: float(np.mean([row[name] for row in table.values()])) for name in names}
    return table


def grabcut(image_rgb: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """(H, W) bool: OpenCV's GrabCut (Rother et al. 2004) with the box as its rectangle."""
    x0, y0, x1, y1 = (int(edge) for edge in box)
    mask = np.zeros(image_rgb.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    try:
        rectangle = (x0, y0, x1 - x0, y1 - y0)
        image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
        cv2.grabCut(image_bgr, mask, rectangle, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:
        # It cannot model a background that is not there: the box is the whole picture.
        return filled(box, image_rgb.shape[:2])
    return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def filled(box: tuple[float, float, float, float], frame_size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the box as a mask."""
    x0, y0, x1, y1 = (int(edge) for edge in box)
    mask = np.zeros(frame_size, bool)
    mask[y0:y1, x0:x1] = True
    return mask
