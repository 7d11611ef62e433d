"""For ``cvat-cli task auto-annotate``: masks of all objects of a picture, all with one label.

cvat-cli task auto-annotate 137 --function-module streamseg.cvat.everything -p label=str:car
"""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np

from streamseg.cvat.shapes import mask_points, polygon_points
from streamseg.stills.objects import everything_generator, find_everything
from streamseg.stills.predictor import Predictor


class Everything:
    """A detection function of CVAT."""

    def __init__(self, predictor: Predictor, label: str, points_per_side: int | None) -> None:
        self._generator = everything_generator(predictor, points_per_side)
        self.spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec(label, 0, type="mask")])
        """The one label."""

    def detect(self, context: cvataa.DetectionFunctionContext, image: Any) -> list[Any]:
        """Masks of a PIL picture, or polygons if CVAT wants these; the largest come first.

        Raises:
            DeviceError: out of memory.
        """
        found = find_everything(self._generator, np.asarray(image.convert("RGB")))
        least = context.conf_threshold or 0.0
        shapes = []
        for number, score in enumerate(found.scores, 1):
            mask = found.labels == number
            if score < least or not mask.any():
                continue
            if context.conv_mask_to_poly:
                shapes.append(cvataa.polygon(0, polygon_points(mask)))
            else:
                shapes.append(cvataa.mask(0, mask_points(mask)))
        return shapes


def create(
    model: str = "tiny",
    checkpoint: str = "",
    device: str = "auto",
    engine: str = "auto",
    label: str = "object",
    points_per_side: int = 0,
) -> Everything:
    """What ``cvat-cli`` calls with the values of ``-p``.

    Args:
        model: one that ``streamseg models`` lists.
        checkpoint: the user's own weights for it; empty for its own.
        device: ``auto``, ``cpu``, ``cuda:N`` or ``mps``.
        engine: see `streamseg.sam.engines`.
        label: of the task, that all objects get.
        points_per_side: of the grid of points that is asked; 0: what suits the model.

    Raises:
        StreamsegError: the model cannot be had, or an option cannot be meant.
    """
    predictor = Predictor(model, checkpoint or None, device, engine)
    predictor.model.load()
    return Everything(predictor, label, points_per_side or None)
