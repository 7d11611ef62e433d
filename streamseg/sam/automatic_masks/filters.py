"""From every mask of a picture to the objects worth following: few, and apart from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamseg.sam.automatic_masks.generate import Proposal, Proposals, RemovedCounts, region_at, remove_small_regions
from streamseg.sam.automatic_masks.options import AutomaticMaskOptions, GeneratorSettings


@dataclass(frozen=True, eq=False)
class _PlacedMask:
    """A mask in its picture."""

    mask: np.ndarray
    area_px: int

    def overlap(self, other: _PlacedMask) -> float:
        """Intersection over the smaller area."""
        return np.count_nonzero(self.mask & other.mask) / max(1, min(self.area_px, other.area_px))


def select_objects(
    found: Proposals, image_size: tuple[int, int], known: Sequence[np.ndarray], options: AutomaticMaskOptions
) -> Proposals:
    """The masks that become objects, in the order of their ids.

    Args:
        found: in any order.
        image_size: (H, W) of the picture.
        known: (H, W) bool masks of objects that there already are.
        options: what to sort out.
    """
    removed: RemovedCounts = dict(found.removed)
    removed |= dict.fromkeys(("known", "overlap", "max_objects"), 0)
    theirs = [_placed(mask) for mask in known]
    kept: list[tuple[Proposal, _PlacedMask]] = []
    for proposal in sorted(found.proposals, key=lambda proposal: -proposal.predicted_iou):
        placed = _placed(proposal.mask(image_size))
        if any(placed.overlap(other) > options.overlap for other in theirs):
            removed["known"] += 1
        elif any(placed.overlap(other) > options.overlap for _, other in kept):
            removed["overlap"] += 1
        elif len(kept) == options.max_objects:
            removed["max_objects"] += 1
        else:
            kept.append((proposal, placed))
    best = [proposal for proposal, _ in kept]
    if options.order == "area":
        best.sort(key=lambda proposal: -proposal.area_px)
    return Proposals(best, found.asked, removed)


def _placed(mask: np.ndarray) -> _PlacedMask:
    return _PlacedMask(mask, int(np.count_nonzero(mask)))


def object_logits(
    logits: np.ndarray,
    point_xy: tuple[float, float],
    image_size: tuple[int, int],
    settings: GeneratorSettings,
    smallest_px: int,
) -> np.ndarray:
    """The mask of a proposal as it is followed, in one part if that is asked for.

    Args:
        logits: (side, side) float32 over the picture with its padding, of the proposal's mask.
        point_xy: the point it was asked by, in pixels of the picture.
        image_size: (height, width) of the picture.
        settings: what was asked for.
        smallest_px: islands and holes of fewer pixels of the picture go.

    Returns:
        (side, side) float32.
    """
    scale = logits.shape[0] / max(image_size)
    x, y = point_xy
    before = logits > 0
    mask = remove_small_regions(before, smallest_px * scale**2) if smallest_px else before
    part = region_at(mask, int(x * scale), int(y * scale)) if settings.one_part else None
    # At this resolution the point may come to lie beside a thin mask.
    mask = mask if part is None else part
    return np.where(mask & ~before, np.float32(1), np.where(before & ~mask, np.float32(-1), logits))
