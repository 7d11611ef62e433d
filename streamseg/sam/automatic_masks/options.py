"""The options of automatic masks, which users write under ``everything``. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class GeneratorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The options that differ between models: how sure of itself a model is, and how small a thing it sees."""

    points_per_side: int
    pred_iou_thresh: float
    stability_score_thresh: float
    one_part: float
    crop_n_layers: int
    crop_n_points_downscale_factor: int

    def points_per_side_in(self, layer: int) -> int:
        """How many points in each direction the grid of a crop has; layer 0 is the whole picture."""
        return max(1, int(self.points_per_side / self.crop_n_points_downscale_factor**layer))


# The one place for thresholds of the bundled model. Those of masks were chosen on photos that it was not trained on:
# stricter ones took true objects away, milder ones left as many and more patches.
TINY = GeneratorSettings(
    points_per_side=16,
    pred_iou_thresh=0.25,
    stability_score_thresh=0.15,
    one_part=0.3,
    crop_n_layers=1,
    crop_n_points_downscale_factor=2,
)
# segment-anything's own defaults, made for ViT-H.
SAM = GeneratorSettings(
    points_per_side=32,
    pred_iou_thresh=0.88,
    stability_score_thresh=0.95,
    one_part=0.0,
    crop_n_layers=0,
    crop_n_points_downscale_factor=1,
)


class AutomaticMaskOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Find all objects of one frame, without being pointed at any.

    Up to `min_mask_region_area`, names and meaning are those of segment-anything's ``SamAutomaticMaskGenerator``; what
    follows sorts out more. Each filter is named after its option where a run says what it removed. Areas that are
    shares are shares of the picture's.
    """

    frame: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Position of the frame in its stream, from 0; if that one got lost, the next is taken."""
    time_s: float | None = None
    """Instead of `frame`: the first frame at this time or later, in seconds."""
    stream: str | None = None
    """Name of the source node; every stream if None."""
    points_per_side: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    """A grid of so many points in each direction is asked, three masks each. None: 16 for tiny, 32 for the others."""
    pred_iou_thresh: Share | None = None
    """The model's own estimate of a mask's IoU must be above this; 0 lets all pass. None: what suits the model."""
    stability_score_thresh: Share | None = None
    """IoU of the mask at a raised and at a lowered cutoff must reach this; 0 lets all pass. None: as above."""
    stability_score_offset: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """How far the cutoff is raised and lowered, in logits."""
    box_nms_thresh: Share = 0.7
    """Of two masks whose boxes have a larger IoU than this, only the one with the better estimate stays."""
    crop_n_layers: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    """The same is asked of crops of the picture, each seen in the model's full resolution: 2 x 2 of them for 1, 4 x 4
    more for 2, and so on; a graph without a way back from propagate to embed has none. None: 1 for tiny, else 0."""
    crop_overlap_ratio: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 512 / 1500
    """By which share of the shorter side the crops of the first layer overlap."""
    crop_nms_thresh: Share = 0.7
    """Of two masks of different crops whose boxes have a larger IoU than this, only that of the smaller crop stays."""
    crop_n_points_downscale_factor: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """In each layer the grid has by this factor fewer points in each direction. None: 2 for tiny, 1 for the others."""
    min_mask_region_area: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Islands and holes of a mask with fewer pixels than this, in the picture as the encoder saw it, are taken away."""
    min_area: Share = 0.002
    """Smaller masks go: specks,"""
    max_area: Share = 0.4
    """and larger ones: mostly what lies behind the objects."""
    one_part: Share | None = None
    """Of a mask in pieces only the one at the point stays, if it is this share of it; 0 leaves masks as they
    are. None: what suits the model; the bundled one likes to take all that catches the eye for one thing."""
    overlap: Share = 0.4
    """Of two masks that share more than this of the smaller one, only the one with the better estimate stays, so parts
    go with their whole; objects that are already followed, or pointed at in the same frame, always stay."""
    max_objects: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 40
    """Only so many, those with the best estimates."""
    order: Literal["area", "score"] = "area"
    """Which object gets the smallest id: the largest, or the one with the best estimate."""

    def settings(self, model: str) -> GeneratorSettings:
        """The thresholds that hold for a model: those given, else its own."""
        own = TINY if model == "tiny" else SAM
        given = {name: getattr(self, name) for name in own.__struct_fields__}
        return msgspec.structs.replace(own, **{name: value for name, value in given.items() if value is not None})
