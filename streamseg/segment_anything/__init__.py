"""segment-anything's own names on the models of streamseg: a script that uses it runs by changing its import.

    from streamseg.segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

    sam = sam_model_registry["tiny"]().to("cpu")
    predictor = SamPredictor(sam)

Importing this imports neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from streamseg.sam.models import MODELS
from streamseg.stills.automatic import AutomaticMaskGenerator as SamAutomaticMaskGenerator
from streamseg.stills.model import StillModel
from streamseg.stills.predictor import Predictor as SamPredictor

__all__ = [
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]


def _build(name: str, checkpoint: str | Path | None = None) -> StillModel:
    """A model on the CPU, as there; ``.to(device)`` moves it. Without a checkpoint it has the model's own weights."""
    return StillModel(name, checkpoint, device="cpu")


def build_sam(checkpoint: str | Path | None = None) -> StillModel:
    """ViT-H, as there, if a checkpoint is given; the bundled model if none is.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    return _build("tiny" if checkpoint is None else "vit_h", checkpoint)


build_sam_vit_h = partial(_build, "vit_h")
build_sam_vit_l = partial(_build, "vit_l")
build_sam_vit_b = partial(_build, "vit_b")

sam_model_registry: dict[str, Callable[..., StillModel]] = {
    "default": build_sam,
    **{name: partial(_build, name) for name in MODELS},
}
"""Name -> what builds the model: ``sam_model_registry["tiny"]()``, ``sam_model_registry["vit_b"](checkpoint=FILE)``."""
