"""For an agent of CVAT: rectangles, polygons and masks followed from frame to frame.

cvat-cli function create-native streamseg-track --function-module streamseg.cvat.track
cvat-cli function run-agent 13 --function-module streamseg.cvat.track
"""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np

from streamseg.cvat.shapes import mask_points, polygon_points, to_box, to_mask
from streamseg.runtime.library.tracker import Tracker


class Track:
    """A tracking function of CVAT.

    Args:
        options: of each `streamseg.Tracker`, one for each shape; what is loaded of the model they share.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        # What is loaded is let go of with the last tracker.
        self._kept = Tracker(**options)
        self.spec = cvataa.TrackingFunctionSpec(supported_shape_types={"rectangle", "polygon", "mask"})
        """What can be followed."""

    def preprocess_image(self, context: cvataa.TrackingFunctionContext, image: Any) -> np.ndarray:
        """A PIL picture as (H, W, 3) uint8 RGB."""
        return np.asarray(image.convert("RGB"))

    def init_tracking_state(
        self, context: cvataa.TrackingFunctionShapeContext, pp_image: np.ndarray, shape: cvataa.TrackableShape
    ) -> Tracker:
        """A tracker that has seen the shape in its first picture.

        Raises:
            PromptError: the shape cannot be meant.
        """
        tracker = Tracker(**self._options)
        if shape.type == "rectangle":
            tracker.prompt(box=to_box(shape.points))
        else:
            tracker.prompt(mask=to_mask(shape.type, shape.points, (pp_image.shape[0], pp_image.shape[1])))
        tracker.track(pp_image)
        return tracker

    def track(
        self, context: cvataa.TrackingFunctionShapeContext, pp_image: np.ndarray, state: Tracker
    ) -> cvataa.TrackableShape | None:
        """The shape in the next picture; None where it is not seen."""
        (found,) = state.track(pp_image).objects
        if found.box_xyxy is None:
            return None
        kind = context.original_shape_type
        if kind == "rectangle":
            return cvataa.TrackableShape(type=kind, points=[float(each) for each in found.box_xyxy])
        points = polygon_points(found.mask) if kind == "polygon" else mask_points(found.mask)
        return cvataa.TrackableShape(type=kind, points=points)


def create(model: str = "tiny", checkpoint: str = "", device: str = "auto", engine: str = "auto") -> Track:
    """What ``cvat-cli`` calls with the values of ``-p``; arguments and errors are those of `everything.create`."""
    own = {"checkpoint": checkpoint} if checkpoint else {}
    return Track(model=model, device=device, engine=engine, **own)
