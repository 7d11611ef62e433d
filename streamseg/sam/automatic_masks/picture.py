"""Every mask of a picture that is in hand: encoded, asked and brought together, in whole and in crops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from streamseg.sam.automatic_masks.crops import Crop, CropProposals, ends_at_edge, generate_crops, merge_crops
from streamseg.sam.automatic_masks.generate import POINTS_PER_BATCH, Proposals, generate_masks, point_grid
from streamseg.sam.automatic_masks.options import AutomaticMaskOptions, GeneratorSettings
from streamseg.sam.decoder import MaskDecoder
from streamseg.sam.encoder import ImageEncoder


def point_grids(settings: GeneratorSettings) -> list[np.ndarray]:
    """(N, 2) x, y from 0 to 1, for the picture and for each layer of crops."""
    return [point_grid(settings.points_per_side_in(layer)) for layer in range(settings.crop_n_layers + 1)]


def masks_of_picture(
    encoder: ImageEncoder,
    decoder: MaskDecoder,
    image_rgb: np.ndarray,
    options: AutomaticMaskOptions,
    *,
    grids: Sequence[np.ndarray] | None = None,
    points_per_batch: int = POINTS_PER_BATCH,
) -> tuple[Proposals, list[Crop]]:
    """All masks of a picture, in its own pixels, and the crops that `Proposal.view` counts.

    Args:
        encoder: for which no picture is a focus view (`without_focus`).
        decoder: the same.
        image_rgb: (H, W, 3) uint8.
        options: what to ask, and what to sort out.
        grids: (N, 2) x, y from 0 to 1 each, to be asked in the place of those of the options.
        points_per_batch: how many of them to ask at once at most, which bounds memory.

    Raises:
        UsageError: it is no such picture.
        DeviceError: out of memory.
    """
    settings = options.settings(decoder.info.name)
    asked = point_grids(settings) if grids is None else grids
    size = (image_rgb.shape[0], image_rgb.shape[1])
    crops = [Crop((0, 0, size[1], size[0]), 0)]
    crops += generate_crops(size[1], size[0], settings.crop_n_layers, options.crop_overlap_ratio)
    found = [_look(encoder, decoder, image_rgb, crop, options, asked[crop.layer], points_per_batch) for crop in crops]
    return merge_crops(found, size, size, options), crops


def _look(
    encoder: ImageEncoder,
    decoder: MaskDecoder,
    image_rgb: np.ndarray,
    crop: Crop,
    options: AutomaticMaskOptions,
    points: np.ndarray,
    points_per_batch: int,
) -> CropProposals:
    """What is found in one crop."""
    left, top, right, bottom = crop.box_xyxy
    part = np.ascontiguousarray(image_rgb[top:bottom, left:right])
    size, frame_size = (part.shape[0], part.shape[1]), (image_rgb.shape[0], image_rgb.shape[1])
    (features,) = encoder.encode([part])
    found = generate_masks(
        decoder,
        features,
        size,
        options,
        points=points,
        points_per_batch=points_per_batch,
        share=crop.area_px / (frame_size[0] * frame_size[1]),
        is_cut=partial(ends_at_edge, crop=crop, image_size=size, frame_size=frame_size),
    )
    return CropProposals(crop, size, found)
