"""Crops of the picture: small things are seen larger, and what is found in all of them is brought together again.

Which crops, what is dropped at their edges, and which of two duplicates stays is as in segment-anything's
``SamAutomaticMaskGenerator``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from streamseg.sam.automatic_masks.generate import Proposal, Proposals, RemovedCounts, packed, suppress_duplicates
from streamseg.sam.automatic_masks.options import AutomaticMaskOptions

_NEAR_EDGE_PX = 20.0
"""Of the frame: a box that comes nearer to the edge of its crop goes on beyond it."""


@dataclass(frozen=True)
class Crop:
    """A part of the frame."""

    box_xyxy: tuple[int, int, int, int]
    """Frame pixels, right and bottom edges exclusive."""
    layer: int
    """0: the whole frame; k: one of 2^k x 2^k."""

    @property
    def area_px(self) -> int:
        """Of the frame."""
        x0, y0, x1, y1 = self.box_xyxy
        return (x1 - x0) * (y1 - y0)


@dataclass(frozen=True, eq=False)
class CropProposals:
    """What was found in one crop, in the pixels of the picture made of it."""

    crop: Crop
    image_size: tuple[int, int]
    """(height, width) of that picture."""
    found: Proposals


def generate_crops(width: int, height: int, layers: int, overlap_ratio: float) -> list[Crop]:
    """The crops of a frame, the whole not among them.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        layers: how many; the k-th has 2^k crops in each direction.
        overlap_ratio: by which share of the frame's shorter side those of the first layer overlap; half of that in the
            next, and so on.
    """
    crops = []
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(width, height) * (2 / count))
        wide, high = (math.ceil((overlap * (count - 1) + side) / count) for side in (width, height))
        lefts, tops = ([int((side - overlap) * k) for k in range(count)] for side in (wide, high))
        crops += [
            Crop((x, y, min(x + wide, width), min(y + high, height)), layer) for x, y in itertools.product(lefts, tops)
        ]
    return [crop for crop in crops if crop.box_xyxy[0] < crop.box_xyxy[2] and crop.box_xyxy[1] < crop.box_xyxy[3]]


def merge_crops(
    views: Sequence[CropProposals],
    frame_size: tuple[int, int],
    picture_size: tuple[int, int],
    options: AutomaticMaskOptions,
) -> Proposals:
    """What was found in all crops, in the pixels of one picture of the whole frame.

    Args:
        views: the whole frame and its crops; `Proposal.view` becomes the position in this.
        frame_size: (height, width) of the frame.
        picture_size: (height, width) of the picture of all of it.
        options: what to sort out.
    """
    removed: RemovedCounts = {}
    for each in views:
        for name, count in each.found.removed.items():
            removed[name] = removed.get(name, 0) + count
    removed.setdefault("crop_edge", 0)
    moved: list[Proposal] = []
    for number, each in enumerate(views):
        inside = [
            proposal
            for proposal in each.found.proposals
            if not ends_at_edge(proposal, each.crop, each.image_size, frame_size)
        ]
        placed = [_uncrop(proposal, each, frame_size, picture_size, number) for proposal in inside]
        moved += [proposal for proposal in placed if proposal is not None]
        removed["crop_edge"] += len(each.found.proposals) - sum(proposal is not None for proposal in placed)
    if len(views) > 1:
        # Who was seen more closely stays.
        scores = [1 / views[proposal.view].crop.area_px for proposal in moved]
        moved = suppress_duplicates(moved, scores, options.crop_nms_thresh, removed, "crop_nms_thresh")
    return Proposals(moved, sum(each.found.asked for each in views), removed)


def ends_at_edge(proposal: Proposal, crop: Crop, image_size: tuple[int, int], frame_size: tuple[int, int]) -> bool:
    """Whether a mask ends at an edge of its crop that is not an edge of the frame.

    Args:
        proposal: in the pixels of the picture made of the crop.
        crop: it was found in.
        image_size: (height, width) of that picture.
        frame_size: (height, width) of the frame.
    """
    left, top, right, bottom = crop.box_xyxy
    scale_x, scale_y = (right - left) / image_size[1], (bottom - top) / image_size[0]
    x0, y0, x1, y1 = proposal.box_xyxy
    # SAM counts with the last pixel of a box, not with the edge behind it.
    box = (left + x0 * scale_x, top + y0 * scale_y, left + x1 * scale_x - 1, top + y1 * scale_y - 1)
    frame = (0, 0, frame_size[1], frame_size[0])
    return any(
        abs(side - crop_side) <= _NEAR_EDGE_PX < abs(side - frame_side)
        for side, crop_side, frame_side in zip(box, crop.box_xyxy, frame, strict=True)
    )


def _uncrop(
    proposal: Proposal,
    view: CropProposals,
    frame_size: tuple[int, int],
    picture_size: tuple[int, int],
    number: int,
) -> Proposal | None:
    """A mask in the picture of the whole frame; None if nothing of it is left there."""
    if view.crop.layer == 0:
        return replace(proposal, view=number)
    left, top, right, bottom = view.crop.box_xyxy
    to_x, to_y = picture_size[1] / frame_size[1], picture_size[0] / frame_size[0]
    scale_x, scale_y = (right - left) * to_x / view.image_size[1], (bottom - top) * to_y / view.image_size[0]
    # OpenCV counts from the middle of the first pixel.
    place = np.array(
        [
            [scale_x, 0, left * to_x + (scale_x - 1) / 2],
            [0, scale_y, top * to_y + (scale_y - 1) / 2],
        ]
    )
    fine = proposal.mask(view.image_size).view(np.uint8) * np.uint8(255)
    mask = cv2.warpAffine(fine, place, picture_size[::-1], flags=cv2.INTER_LINEAR) > 127
    if not mask.any():
        return None
    box, area_px, bits = packed(mask)
    x, y = proposal.point_xy
    point = (left * to_x + x * scale_x, top * to_y + y * scale_y)
    return replace(proposal, point_xy=point, box_xyxy=box, area_px=area_px, packed=bits, view=number)
