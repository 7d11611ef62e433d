"""All masks of a picture: segment-anything's ``SamAutomaticMaskGenerator`` on the models of streamseg."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from streamseg.errors import UsageError, nearest
from streamseg.masks import rle
from streamseg.sam.automatic_masks import (
    AutomaticMaskOptions,
    Crop,
    GeneratorSettings,
    Proposal,
    Proposals,
    clean_regions,
    masks_of_picture,
    point_grids,
    select_objects,
)
from streamseg.stills.model import StillModel
from streamseg.stills.predictor import Predictor
from streamseg.structs import convert

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]

_WHAT = "the options of AutomaticMaskGenerator"


class AutomaticMaskGenerator:
    """Finds everything in a picture, without a prompt: a grid of points is asked, and of the masks the good ones stay.

    Up to `output_mode`, names, order and meaning are those of ``SamAutomaticMaskGenerator``, and so are the masks, but
    an empty one is never among them. What is None is as suits the model: for SAM's own that class's defaults (32
    points, 0.88, 0.95, no crops), for the bundled one, which is less sure of itself, 16, 0.25, 0.15, a layer of crops.

        found = streamseg.AutomaticMaskGenerator().generate(image_rgb)

    Args:
        model: one that ``streamseg models`` lists; or what ``sam_model_registry`` gives; or a `Predictor`, whose model
            it takes.
        points_per_side: of the grid of points.
        points_per_batch: how many to ask at once at most, which bounds memory.
        pred_iou_thresh: the model's own estimate of a mask's IoU must be above this; 0 lets all pass.
        stability_score_thresh: IoU of the mask at a raised and at a lowered cutoff must reach this; 0 lets all pass.
        stability_score_offset: how far the cutoff is raised and lowered, in logits.
        box_nms_thresh: of two masks whose boxes have a larger IoU than this, only the better estimated one stays.
        crop_n_layers: layers of crops that are asked too, 2 x 2 crops in the first, 4 x 4 in the second; at most 3.
            With `point_grids` None means one for each grid but the first.
        crop_nms_thresh: as `box_nms_thresh`, between crops; the mask of the smaller crop stays.
        crop_overlap_ratio: by which share of the shorter side the crops of the first layer overlap.
        crop_n_points_downscale_factor: in each layer the grid has by this factor fewer points in each direction.
        point_grids: instead of `points_per_side`: (N, 2) x, y from 0 to 1 for the picture and for each layer of crops.
        min_mask_region_area: islands and holes of fewer pixels are taken away.
        output_mode: ``binary_mask``, ``uncompressed_rle`` or ``coco_rle``.
        min_area: smaller masks go, as a share of the picture. This and what follows are filters of streamseg.
        max_area: larger ones go.
        one_part: of a mask in pieces only the one at the point stays, if it is this share of it; 0 leaves masks be.
        overlap: of two masks that share more than this of the smaller one, only the one with the better estimate stays.
        max_objects: only so many, those with the best estimates; None for all.

    Raises:
        UsageError: an option that cannot be meant.
        StreamsegError: as `Predictor`.
    """

    def __init__(
        self,
        model: str | StillModel | Predictor = "tiny",
        points_per_side: int | None = None,
        points_per_batch: int = 64,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int | None = None,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int | None = None,
        point_grids: Sequence[np.ndarray] | None = None,
        min_mask_region_area: int = 0,
        output_mode: OutputMode = "binary_mask",
        *,
        min_area: float = 0.0,
        max_area: float = 1.0,
        one_part: float | None = 0.0,
        overlap: float = 1.0,
        max_objects: int | None = None,
    ) -> None:
        if output_mode not in get_args(OutputMode):
            raise UsageError(f"there is no output_mode {output_mode!r}; {nearest(output_mode, get_args(OutputMode))}")
        if points_per_side is not None and point_grids is not None:
            raise UsageError("expected points_per_side or point_grids, got both; give one of the two")
        if points_per_batch < 1:
            raise UsageError(f"expected a points_per_batch of 1 or more, got {points_per_batch}")
        if crop_n_layers is None and point_grids:
            crop_n_layers = len(point_grids) - 1
        given = {
            "points_per_side": points_per_side,
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "stability_score_offset": stability_score_offset,
            "box_nms_thresh": box_nms_thresh,
            "crop_n_layers": crop_n_layers,
            "crop_nms_thresh": crop_nms_thresh,
            "crop_overlap_ratio": crop_overlap_ratio,
            "crop_n_points_downscale_factor": crop_n_points_downscale_factor,
            "min_area": min_area,
            "max_area": max_area,
            "one_part": one_part,
            "overlap": overlap,
            "order": "score",
            **({} if max_objects is None else {"max_objects": max_objects}),
        }
        self._options = convert(given, AutomaticMaskOptions, _WHAT)
        self._selects = overlap < 1 or max_objects is not None
        if min_mask_region_area < 0:
            raise UsageError(f"{_WHAT}: expected a min_mask_region_area of at least 0, got {min_mask_region_area}")
        self.predictor = model if isinstance(model, Predictor) else Predictor(model)
        self._settings = self._options.settings(self.predictor.model.name)
        self.point_grids = _grids(self._settings, point_grids)
        """(N, 2) x, y from 0 to 1, for the picture and for each layer of crops."""
        self.points_per_batch = points_per_batch
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self.removed: dict[str, int] = {}
        """How many masks of the last picture each option took away, in the order of the filters."""

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """All masks of a picture.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            For each mask ``segmentation``, (H, W) bool or run lengths, as `output_mode` says; ``area`` in pixels;
            ``bbox`` [x, y, width, height], where width and height go from the first pixel to the last, so they are one
            less than the pixels; ``predicted_iou``; ``point_coords`` [[x, y]] it was asked by; ``stability_score``;
            ``crop_box`` [x, y, width, height] of the part of the picture it was found in. The best estimates come
            first, those of crops before those of the whole.

        Raises:
            UsageError: it is no such picture.
            DeviceError: out of memory.
        """
        image = np.asarray(image)
        self.predictor.transform.check_image(image)
        size = (image.shape[0], image.shape[1])
        model = self.predictor.model
        found, crops = masks_of_picture(
            model.encoder,
            model.decoder,
            image,
            self._options,
            grids=self.point_grids,
            points_per_batch=self.points_per_batch,
        )
        if self.min_mask_region_area > 0:
            iou = max(self._options.box_nms_thresh, self._options.crop_nms_thresh)
            cleaned = clean_regions(found.proposals, size, self.min_mask_region_area, iou, found.removed)
            found = Proposals(cleaned, found.asked, found.removed)
        if self._selects:
            found = select_objects(found, size, [], self._options)
        self.removed = dict(found.removed)
        self._warn_of_nothing(found)
        return [self._record(proposal, size, crops[proposal.view]) for proposal in found.proposals]

    def _record(self, proposal: Proposal, size: tuple[int, int], crop: Crop) -> dict[str, Any]:
        x0, y0, x1, y1 = proposal.box_xyxy
        left, top, right, bottom = crop.box_xyxy
        return {
            "segmentation": _segmentation(proposal.mask(size), self.output_mode),
            "area": proposal.area_px,
            "bbox": [x0, y0, x1 - 1 - x0, y1 - 1 - y0],
            "predicted_iou": proposal.predicted_iou,
            "point_coords": [list(proposal.point_xy)],
            "stability_score": proposal.stability_score,
            "crop_box": [left, top, right - left, bottom - top],
        }

    def _warn_of_nothing(self, found: Proposals) -> None:
        name, given = self.predictor.model.name, self._settings.pred_iou_thresh
        own = AutomaticMaskOptions().settings(name).pred_iou_thresh
        if given <= own or found.removed["pred_iou_thresh"] < found.asked:
            return
        warnings.warn(
            f"none of {found.asked} masks has a predicted IoU above pred_iou_thresh={given:g}; each model has its "
            f"own scale, and for {name} {own:g} is usual: leave it out to have that",
            stacklevel=3,
        )


def _grids(settings: GeneratorSettings, given: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    layers = settings.crop_n_layers + 1
    if given is None:
        return point_grids(settings)
    grids = [np.asarray(grid, np.float64) for grid in given]
    if len(grids) < layers:
        raise UsageError(f"expected {layers} point_grids, for the picture and each layer of crops, got {len(grids)}")
    for grid in grids:
        if grid.ndim != 2 or grid.shape[1] != 2 or not ((grid >= 0) & (grid <= 1)).all():
            raise UsageError(f"expected point_grids (N, 2) of x, y from 0 to 1, got {grid.shape}; divide by the size")
    return grids


def _segmentation(mask: np.ndarray, mode: OutputMode) -> Any:
    if mode == "binary_mask":
        return mask
    if mode == "coco_rle":
        return rle.to_coco(mask)
    return {"size": list(mask.shape), "counts": rle.encode(mask)}
