"""Masks of all that there is to see, without a prompt: SAM's automatic mask generator, on features made elsewhere.

A grid of points is asked in the whole picture and in crops of it (`generate_masks`), what the crops gave is brought
together (`merge_crops`), and of that come the objects worth following (`select_objects`). No torch here.
"""

from streamseg.sam.automatic_masks.crops import Crop, CropProposals, ends_at_edge, generate_crops, merge_crops
from streamseg.sam.automatic_masks.filters import object_logits, select_objects
from streamseg.sam.automatic_masks.generate import Proposal, Proposals, clean_regions, generate_masks, point_grid
from streamseg.sam.automatic_masks.options import AutomaticMaskOptions, GeneratorSettings
from streamseg.sam.automatic_masks.picture import masks_of_picture, point_grids

__all__ = [
    "AutomaticMaskOptions",
    "Crop",
    "CropProposals",
    "GeneratorSettings",
    "Proposal",
    "Proposals",
    "clean_regions",
    "ends_at_edge",
    "generate_crops",
    "generate_masks",
    "masks_of_picture",
    "merge_crops",
    "object_logits",
    "point_grid",
    "point_grids",
    "select_objects",
]
