"""Every mask a model sees in a picture: a grid of points, and what is left of the masks after sorting out.

The steps and their values are those of segment-anything's ``SamAutomaticMaskGenerator`` on the whole picture, on
features that were made elsewhere. Unlike there, an empty mask never passes, masks of an odd size can go and those in
pieces can be cut before duplicates are sorted out, and memory is bounded: masks are brought to the picture's size a few
at a time, and only those that the model itself believes in. Its crops are in `streamseg.sam.automatic_masks.crops`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from streamseg.prompts.decoder import DecoderPrompt
from streamseg.sam.automatic_masks.options import AutomaticMaskOptions, GeneratorSettings
from streamseg.sam.decoder import MaskDecoder

POINTS_PER_BATCH = 64
_PIXELS_PER_BATCH = 1 << 22

RemovedCounts = dict[str, int]
"""By the option of the filter, how many masks it took away, in the order of the filters."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """One mask."""

    point_xy: tuple[float, float]
    """The point it was asked by, in pixels of the picture."""
    choice: int
    """Which of the point's three masks it is."""
    predicted_iou: float
    stability_score: float
    box_xyxy: tuple[int, int, int, int]
    """Tight, in pixels of the picture, right and bottom edges exclusive."""
    area_px: int
    packed: np.ndarray
    """The mask inside its box, 8 pixels a byte, row after row."""
    view: int = 0
    """Which of several views of the picture it was found in."""

    @property
    def window(self) -> np.ndarray:
        """(h, w) bool: the mask inside its box."""
        x0, y0, x1, y1 = self.box_xyxy
        width, height = x1 - x0, y1 - y0
        return np.unpackbits(self.packed, count=width * height).reshape(height, width).view(bool)

    def mask(self, image_size: tuple[int, int]) -> np.ndarray:
        """(H, W) bool in a picture of `image_size` (H, W)."""
        x0, y0, x1, y1 = self.box_xyxy
        full = np.zeros(image_size, bool)
        full[y0:y1, x0:x1] = self.window
        return full


@dataclass(frozen=True, eq=False)
class Proposals:
    """What was found, and what became of the rest."""

    proposals: list[Proposal]
    asked: int
    """How many masks the model gave."""
    removed: RemovedCounts


def generate_masks(
    decoder: MaskDecoder,
    features: np.ndarray,
    image_size: tuple[int, int],
    options: AutomaticMaskOptions,
    *,
    points_per_side: int | None = None,
    points: np.ndarray | None = None,
    points_per_batch: int = POINTS_PER_BATCH,
    share: float = 1.0,
    is_cut: Callable[[Proposal], bool] | None = None,
) -> Proposals:
    """All masks of a picture, the best estimates first.

    Args:
        decoder: of the model that made the features.
        features: (C, h, w) of the picture.
        image_size: (height, width) of the picture that was handed to the encoder.
        options: what to ask, and what to sort out.
        points_per_side: of the grid of points, if not as many as the options say.
        points: (N, 2) x, y from 0 to 1, to be asked in the place of a grid.
        points_per_batch: how many of them to ask at once at most, which bounds memory.
        share: of the whole, if the picture shows a part of it; areas are shares of that whole.
        is_cut: whether a mask goes on beyond the picture; those go before duplicates do.

    Raises:
        UsageError: the features are not those of a picture of that size.
        DeviceError: out of memory.
    """
    settings = options.settings(decoder.info.name)
    grid = point_grid(points_per_side or settings.points_per_side) if points is None else points
    removed = dict.fromkeys(("pred_iou_thresh", "stability_score_thresh"), 0)
    batches = [grid[start : start + points_per_batch] for start in range(0, len(grid), points_per_batch)]
    found = list(_predict(decoder, features, image_size, batches, settings, options.stability_score_offset, removed))
    if is_cut is not None:
        whole = [proposal for proposal in found if not is_cut(proposal)]
        removed["crop_edge"] = len(found) - len(whole)
        found = whole
    # Before duplicates go: a mask that will not do must not take a good one along.
    found = filter_regions(found, image_size[0] * image_size[1] / share, settings, options, removed)
    scores = [proposal.predicted_iou for proposal in found]
    found = suppress_duplicates(found, scores, options.box_nms_thresh, removed, "box_nms_thresh")
    if options.min_mask_region_area > 0:
        # SAM takes the larger of this threshold and that between its crops.
        iou = max(options.box_nms_thresh, 0.7)
        found = clean_regions(found, image_size, options.min_mask_region_area, iou, removed)
    return Proposals(found, 3 * len(grid), removed)


def filter_regions(
    proposals: Sequence[Proposal],
    whole_px: float,
    settings: GeneratorSettings,
    options: AutomaticMaskOptions,
    removed: RemovedCounts,
) -> list[Proposal]:
    """Those masks that are neither too small nor too large, each cut down to one piece.

    Args:
        proposals: in any order, which is kept.
        whole_px: area of the whole.
        settings: how large that piece must be.
        options: what to sort out.
        removed: gets the counts.
    """
    removed |= dict.fromkeys(("one_part", "min_area", "max_area"), 0)
    kept = []
    for proposal in proposals:
        part = _region_at_point(proposal, settings.one_part) if settings.one_part else proposal
        if part is None:
            removed["one_part"] += 1
        elif part.area_px < options.min_area * whole_px:
            removed["min_area"] += 1
        elif part.area_px > options.max_area * whole_px:
            removed["max_area"] += 1
        else:
            kept.append(part)
    return kept


def remove_small_regions(mask: np.ndarray, smallest_px: float) -> np.ndarray:
    """A (H, W) bool mask without holes, then without islands, of less than `smallest_px`; the largest island stays."""
    filled = mask | _small_regions(~mask, smallest_px, largest_too=True)
    return np.asarray(filled & ~_small_regions(filled, smallest_px, largest_too=False))


def region_at(mask: np.ndarray, x: int, y: int) -> np.ndarray | None:
    """The part of a (H, W) bool mask that hangs together with a pixel; None if that is not on it."""
    if not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]):
        return None
    _, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    return np.asarray(parts == parts[y, x])


def _small_regions(mask: np.ndarray, smallest_px: float, *, largest_too: bool) -> np.ndarray:
    """(H, W) bool: the parts of a mask of less than `smallest_px`."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < smallest_px
    small[0] = False
    if not largest_too and len(areas) > 1:
        small[1 + int(areas[1:].argmax())] = False
    return np.asarray(small[parts])


def point_grid(points_per_side: int) -> np.ndarray:
    """(N, 2) x, y from 0 to 1, row after row."""
    steps = (np.arange(points_per_side) + 0.5) / points_per_side
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def _predict(
    decoder: MaskDecoder,
    features: np.ndarray,
    image_size: tuple[int, int],
    batches: Sequence[np.ndarray],
    settings: GeneratorSettings,
    offset: float,
    removed: RemovedCounts,
) -> Iterator[Proposal]:
    """What passes, in the order of the points."""
    label = np.ones(1, np.int32)
    for batch in batches:
        points = batch * image_size[::-1]
        prompts = [DecoderPrompt(points_xy=point[None], point_labels=label) for point in points]
        decoded = decoder.decode(features, image_size, prompts, multimask=True)
        scores = decoded.scores.reshape(-1)
        cutoff = settings.pred_iou_thresh
        believed = np.flatnonzero(scores > cutoff if cutoff else np.isfinite(scores))
        removed["pred_iou_thresh"] += len(scores) - len(believed)
        logits = decoded.logits.reshape(-1, *decoded.logits.shape[2:])
        at_once = max(1, _PIXELS_PER_BATCH // max(image_size[0] * image_size[1], 16 * logits.shape[-1] ** 2))
        for first in range(0, len(believed), at_once):
            chosen = believed[first : first + at_once]
            for position, mask in zip(chosen, decoder.upscale(logits[chosen], image_size), strict=True):
                stability = _stability(mask, offset)
                if stability is None or stability < settings.stability_score_thresh:
                    removed["stability_score_thresh"] += 1
                    continue
                x, y = points[position // 3].tolist()
                yield _make_proposal((x, y), int(position % 3), float(scores[position]), stability, mask > 0)


def _stability(logits: np.ndarray, offset: float) -> float | None:
    """IoU of the mask at both cutoffs; None for an empty mask."""
    if not (logits > 0).any():
        return None
    return float(np.float32(np.count_nonzero(logits > offset)) / np.float32(np.count_nonzero(logits > -offset)))


def _make_proposal(
    point_xy: tuple[float, float], choice: int, predicted_iou: float, stability: float, mask: np.ndarray
) -> Proposal:
    box, area_px, bits = packed(mask)
    return Proposal(point_xy, choice, predicted_iou, stability, box, area_px, bits)


def packed(mask: np.ndarray) -> tuple[tuple[int, int, int, int], int, np.ndarray]:
    """The tight box of a (H, W) bool mask, its area, and what is in the box, as `Proposal` has them."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    window = mask[y : y + height, x : x + width]
    return (x, y, x + width, y + height), int(np.count_nonzero(window)), np.packbits(window)


def _region_at_point(proposal: Proposal, least_share: float) -> Proposal | None:
    """The part of a mask that hangs together with its point; None if that is too little of it, or not on it."""
    x0, y0, _, _ = proposal.box_xyxy
    part = region_at(proposal.window, int(proposal.point_xy[0]) - x0, int(proposal.point_xy[1]) - y0)
    if part is None:
        return None
    (left, top, right, bottom), area_px, bits = packed(part)
    if area_px < least_share * proposal.area_px:
        return None
    box = (x0 + left, y0 + top, x0 + right, y0 + bottom)
    return replace(proposal, box_xyxy=box, area_px=area_px, packed=bits)


def suppress_duplicates(
    proposals: list[Proposal], scores: Sequence[float], iou: float, removed: RemovedCounts, name: str
) -> list[Proposal]:
    """Non-maximum suppression by boxes, best score first.

    Args:
        proposals: of one picture.
        scores: one for each.
        iou: of two boxes, above which only the better one stays.
        removed: gets the count,
        name: under this.
    """
    boxes = np.array([proposal.box_xyxy for proposal in proposals], np.float32).reshape(-1, 4)
    # SAM counts with the last pixel of a box, not with the edge behind it.
    boxes[:, 2:] -= 1
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    waiting, kept = np.argsort(-np.array(scores), kind="stable"), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(proposals[best])
        low, high = np.maximum(boxes[best, :2], boxes[waiting, :2]), np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        together = areas[best] + areas[waiting] - shared
        # Two boxes without area, of a line or a pixel each, are no duplicates.
        waiting = waiting[shared <= iou * np.maximum(together, np.float32(1e-6))]
    removed[name] = removed.get(name, 0) + len(proposals) - len(kept)
    return kept


def clean_regions(
    proposals: Sequence[Proposal], image_size: tuple[int, int], smallest_px: int, iou: float, removed: RemovedCounts
) -> list[Proposal]:
    """Islands and holes taken away; of duplicates that come of it, those that needed nothing stay.

    Args:
        proposals: of one picture,
        image_size: of this (height, width).
        smallest_px: islands and holes of fewer pixels go.
        iou: of two boxes, above which they are duplicates.
        removed: gets the count.
    """
    cleaned, untouched = [], []
    for proposal in proposals:
        before = proposal.mask(image_size)
        mask = remove_small_regions(before, smallest_px)
        untouched.append(float(np.array_equal(before, mask)))
        box, area_px, bits = packed(mask)
        cleaned.append(replace(proposal, box_xyxy=box, area_px=area_px, packed=bits))
    return suppress_duplicates(cleaned, untouched, iou, removed, "min_mask_region_area")
