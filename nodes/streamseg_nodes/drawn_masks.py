"""The picture of a frame with its masks drawn in, as every sink that shows one has it."""

from __future__ import annotations

import numpy as np

from streamseg.masks.overlay import draw
from streamseg.messages import Segmented


def drawn_masks(message: Segmented, alpha: float = 0.5) -> np.ndarray:
    """(H, W, 3) uint8, RGB: the picture with every object in the color of its id, with its label and state.

    Args:
        message: a frame and its objects.
        alpha: how much of the color covers the picture, 0 to 1.
    """
    objects = message.objects
    return draw(
        message.frame.image_rgb,
        message.labels,
        [found.id for found in objects],
        [found.label for found in objects],
        [found.state for found in objects],
        alpha,
    )
