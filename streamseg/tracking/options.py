"""Every threshold of the tracker, and of which detections become objects, by name."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Projected = Literal["box", "point", "mask"]
"""What can be made of the last mask: its box, the point furthest inside it, or the mask itself."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class TrackingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How objects are followed. Fractions of a box are of its own width and height."""

    margins: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)] = (0.05,)
    """Widen the last mask's box, by this fraction on every side, before it becomes the next prompt. Of several, each
    is a prompt of its own, and the answers' logits are averaged: slower, but one bad answer does less harm."""
    projection: Annotated[tuple[Projected, ...], msgspec.Meta(min_length=1)] | None = None
    """What of the last mask is the next prompt. None: the point where the model compares the view with earlier ones,
    which say how much round it is the object; else box and mask, for nothing but those would."""
    other_points: Annotated[int, msgspec.Meta(ge=0)] = 2
    """Of so many other objects whose boxes meet its own, the nearest, the point furthest inside the last mask is a
    background point of the prompt."""
    templates: bool = True
    """Whether each view is compared with earlier views of the object, by a model that can."""
    passes: int = 1
    """2: decode again with the box and the mask of the first answer."""
    motion: float = 0.5
    """How much of the speed that the Kalman filter finds moves the expected box: 0 stands still, 1 all of it."""
    gates: bool = True
    """Whether answers are doubted at all."""
    lost_score: float = 0.2
    """Below this estimated IoU the object is LOST."""
    uncertain_trust: Share = 0.8
    """UNCERTAIN if this is more than the estimated chance that the mask is right (`streamseg.tracking.trust`)."""
    uncertain_score: float = 0.5
    """Below this estimated IoU the object is UNCERTAIN."""
    uncertain_stability: float = 0.15
    """UNCERTAIN if the mask at logit +1 covers less than this fraction of the mask at logit -1."""
    uncertain_area: float = 1.7
    """UNCERTAIN if the area grew or shrank by this factor against the areas before."""
    lost_area: float = 4.0
    """LOST if the area grew or shrank by this factor."""
    lost_jump: float = 1.5
    """LOST if the box's middle is off the expected one by this many box sizes."""
    uncertain_similarity: float = 0.9
    """UNCERTAIN if the cosine of the features under the mask with those the object had is below this,"""
    uncertain_color: float = 0.6
    """or if the colors have less in common than this (1 for the same shares of each, 0 for none)."""
    lost_similarity: float = 0.75
    """LOST below this cosine,"""
    lost_both: float = 0.8
    """if the colors too have less in common than this, or the area has grown by `uncertain_area`,"""
    lost_color: float = 0.4
    """or if the colors have less in common than this."""
    color_px: float = 100.0
    """Colors are not judged where object or mask have fewer pixels than this: compression changes those of a few."""
    same_mask: float = 0.6
    """Two objects whose masks overlap by this IoU are one thing: the one that fits it less is LOST."""
    whole_frame: float = 0.8
    """A mask that covers more than this fraction of the frame is refused unless the object's box had half of that."""
    filled_frame: float = 0.95
    """An object whose box had this fraction of the frame is all of it, UNCERTAIN, where the model is less sure than
    `found_score`,"""
    filled_color: float = 0.9
    """and the frame's colors have so much in common with its own."""
    speck: float = 0.05
    """Parts of the mask smaller than this fraction of the largest are dropped unless they touch the last mask."""
    scene_cut: float = 0.94
    """Below this similarity of two frames' colors they are of different scenes: all objects have to be found again."""
    found_score: float = 0.6
    """A lost object is found again above this estimated IoU,"""
    found_similarity: float = 0.75
    """and this cosine of its features with those it had,"""
    found_color: float = 0.75
    """and this agreement of its colors,"""
    found_color_after_cut: float = 0.9
    """which has to be above this once a scene cut has come,"""
    found_reach: float = 0.2
    """and, unless one has, no further from where it should be than one box size and this much for each frame it was
    lost,"""
    found_on_another: float = 0.93
    """and, if the place is on another object that has not grown by it, above this mean of both,"""
    found_area: float = 3.0
    """and within this factor of its area."""
    place_contrast: float = 0.1
    """A place that is more like a lost object than its surroundings (cosine of the features times likeness of the
    colors, 0 to 1 each) by this is asked about;"""
    search_places: Annotated[int, msgspec.Meta(ge=1)] = 3
    """so many of them in a frame, the best ones."""
    glance_contrast: float = 0.25
    """A place anywhere in the frame whose colors are more like those of a lost object than its surroundings' by this
    is looked at closely in the next frame."""
    ahead: float = 0.03
    """A view of an object may have been foreseen a frame earlier, and so be encoded while the frame before is still
    asked about, if no edge of the square round the box is off the expected one by more than this part of its side; 0:
    none is."""
    search_growth: float = 0.1
    """How much the searched region grows on every side, in box sizes a frame, while an object is lost,"""
    search_everywhere_after: int = 8
    """for so many frames. After that the object is searched in the whole frame too:"""
    search_every: Annotated[int, msgspec.Meta(ge=1)] = 3
    """while others are followed in every N-th frame, since a view of the whole frame is dear, else in every."""
    search_objects: Annotated[int, msgspec.Meta(ge=1)] = 2
    """So many lost objects are looked for in a frame; if more are lost, they take turns."""


NAIVE = TrackingOptions(
    margins=(0.0,),
    projection=("box",),
    other_points=0,
    templates=False,
    passes=1,
    motion=0.0,
    gates=False,
    speck=0.0,
    ahead=0.0,
)
"""The plain rule: the box of the last mask is the next prompt."""


class DetectionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which detections become objects, and for how long."""

    min_score: float = 0.0
    """Less certain ones are ignored."""
    same_iou: Share = 0.3
    """A detection whose box has at least this IoU with that of an object is that object,"""
    inside: Share = 0.7
    """and so is one of which at least this share lies in the object's box, or the other way round: it is a part of it,
    or has it as a part."""
    max_objects: Annotated[int, msgspec.Meta(ge=1)] = 20
    """No new objects while there are so many, those that are lost included."""
    forget_after: Annotated[int, msgspec.Meta(ge=1)] = 50
    """An object that a detector found is given up after so many frames without it; others are searched for ever."""
