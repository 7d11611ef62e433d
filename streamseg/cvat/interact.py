"""For an agent of CVAT: a mask for what clicks or a box point at, while somebody draws.

cvat-cli function create-native streamseg --function-module streamseg.cvat.interact
cvat-cli function run-agent 12 --function-module streamseg.cvat.interact
"""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
from cvat_sdk import models

from streamseg.cvat.shapes import mask_points
from streamseg.errors import PromptError
from streamseg.stills.model import StillModel
from streamseg.stills.predictor import Predictor


class Interact:
    """An interaction function of CVAT."""

    def __init__(self, model: StillModel) -> None:
        self._model = model
        self.spec = cvataa.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)
        """Any clicks, with a box or without."""

    def preprocess_image(self, context: cvataa.InteractionFunctionContext, image: Any) -> Predictor:
        """A PIL picture, encoded; it is asked as often as one likes."""
        predictor = Predictor(self._model)
        predictor.set_image(np.asarray(image.convert("RGB")))
        return predictor

    def detect(
        self, context: cvataa.InteractionFunctionContext, pp_image: Predictor, prompts: cvataa.InteractionPrompts
    ) -> list[cvataa.InteractionResultShape]:
        """The mask of the object, with the model's own estimate of it; nothing if there is none.

        Raises:
            PromptError: neither a box nor a click on the object, or one that cannot be meant.
        """
        positive, negative = list(prompts.pos_points), list(prompts.neg_points)
        if prompts.bounding_box is None and not positive:
            raise PromptError("expected a box or a click on the object, got neither")
        points = np.array([*positive, *negative], float).reshape(-1, 2)
        masks, scores, _ = pp_image.predict(
            point_coords=points if len(points) else None,
            point_labels=np.array([1] * len(positive) + [0] * len(negative)) if len(points) else None,
            box=None if prompts.bounding_box is None else np.ravel(prompts.bounding_box),
            # One click may mean several things, of which the likeliest is taken.
            multimask_output=prompts.bounding_box is None and len(points) == 1,
        )
        best = int(scores.argmax())
        if not masks[best].any():
            return []
        estimate = models.AttributeValRequest(
            spec_id=int(cvataa.InteractionResultAttributes.CONFIDENCE), value=f"{min(max(scores[best], 0), 1):.4f}"
        )
        return [cvataa.InteractionResultShape(type="mask", points=mask_points(masks[best]), attributes=[estimate])]


def create(model: str = "tiny", checkpoint: str = "", device: str = "auto", engine: str = "auto") -> Interact:
    """What ``cvat-cli`` calls with the values of ``-p``; arguments and errors are those of `everything.create`."""
    found = StillModel(model, checkpoint or None, device, engine)
    found.load()
    return Interact(found)
