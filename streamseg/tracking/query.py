"""Second of three steps: queries to the mask decoder about what was seen, as box, points, mask logits and templates.

Here are also the values that pass between the steps: views, queries and their answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from streamseg.masks.boxes import clip, expand, has
from streamseg.masks.roi import to_view
from streamseg.prompts.decoder import DecoderPrompt
from streamseg.prompts.model import FramePrompt
from streamseg.tracking.appearance import FrameColors, Template
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import (
    background_points,
    box_around_clicks,
    predict_box,
    predict_logits,
    predict_point,
    usual_size,
)
from streamseg.tracking.redetection import in_turn, overlaps_any, search_view
from streamseg.tracking.state import LOGIT_LIMIT, Track, TrackerState
from streamseg.types import Box


@dataclass(frozen=True, eq=False)
class EncodedView:
    """A region of the frame with the features that the image encoder made of it."""

    region: Box
    image_size: tuple[int, int]
    """(height, width) of the picture made of the region; its longer side fills the model's square."""
    features: np.ndarray
    """(C, h, w) over `square`."""
    object_id: int | None
    """The object that the view was made for; None for one of the whole frame or of a crop of it."""
    keys: np.ndarray | None = None
    """(K, h, w) float32 over `square`, what cells are compared by; None if the model cannot."""

    @property
    def square(self) -> Box:
        """The region with the model's padding to the right and below, frame pixels; what features and logits cover."""
        height, width = self.image_size
        x0, y0, x1, y1 = self.region
        longer = max(height, width)
        return (x0, y0, x0 + (x1 - x0) * longer / width, y0 + (y1 - y0) * longer / height)

    @property
    def mask_side(self) -> int:
        """Side of the square of logits."""
        return 4 * int(self.features.shape[1])

    def template(self, logits: np.ndarray) -> Template | None:
        """The view with its mask (side, side), to compare later ones with.

        Returns:
            None if the model cannot compare, or the view was not made for an object.
        """
        return None if self.keys is None or self.object_id is None else Template.of(self.keys, logits)


@dataclass(frozen=True, eq=False)
class Query:
    """What is asked of the decoder about one object in one view: the prompt is in pixels of the view's picture."""

    object_id: int
    view: EncodedView
    prompt: DecoderPrompt = field(default_factory=DecoderPrompt)
    multimask: bool = False
    prompted: bool = False
    """Made because of somebody's prompt. Such queries go to the decoder apart from the others, which it therefore
    answers as if there were no prompt: rounding depends on what is decoded together."""
    templates: tuple[Template, ...] = ()
    """Earlier views of the object that this one is to be compared with."""
    part: Literal["missing", "too much"] | None = None
    """Not about the object, but about what a click on it says is missing from its mask, or too much in it."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the decoder gave for one `Query`."""

    query: Query
    logits: np.ndarray
    """(M, side, side) float32 over ``query.view.square``."""
    scores: np.ndarray
    """(M,) float32."""


@dataclass(frozen=True, eq=False)
class Queries:
    """All queries about one frame."""

    queries: list[Query] = field(default_factory=list)
    prompts: dict[int, FramePrompt] = field(default_factory=dict)
    """By object id, the prompts that came into force."""
    views: dict[int, EncodedView] = field(default_factory=dict)
    """By object id, the view of an object whose mask was given."""
    prompts_taken: int = 0
    """How many of the stream's planned prompts that were."""


def build_queries(
    state: TrackerState,
    prompts: Sequence[FramePrompt],
    views: Sequence[EncodedView],
    image_rgb: np.ndarray,
    options: TrackingOptions,
    unplanned: Sequence[FramePrompt] = (),
) -> Queries:
    """The queries to the decoder.

    Args:
        state: after the frame before.
        prompts: those that come into force now.
        views: of this frame.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
        unplanned: more of them, that were not planned: given while the stream was running, or objects that nobody
            pointed at, as if somebody had.
    """
    built = Queries(prompts={prompt.id: prompt for prompt in (*prompts, *unplanned)}, prompts_taken=len(prompts))
    known = {track.id: track for track in state.tracks}
    frame_size = (image_rgb.shape[0], image_rgb.shape[1])
    colors: FrameColors | None = None
    for prompt in built.prompts.values():
        track = known.get(prompt.id)
        if prompt.only_clicks and track is not None and track.has_mask:
            for own in _last_view_of(prompt, views):
                built.queries.extend(_correction_queries(prompt, track, own, frame_size, options))
        elif prompt.mask is None and not prompt.remove:
            built.queries.extend(_prompt_query(prompt, view) for view in _views_of_prompt(prompt, views))
        elif prompt.mask is not None:
            built.views.update((prompt.id, view) for view in _last_view_of(prompt, views))
    boxes = {track.id: predict_box(track, options) for track in state.tracks}
    turn = in_turn(state.tracks, state.frames, options)
    for track in state.tracks:
        view = _view_of(track.id, views)
        if view is None:
            continue
        if track.state == "LOST" and options.gates:
            if track.id in turn:
                colors = colors or FrameColors.of(image_rgb)
                built.queries.extend(_redetection_queries(track, view, frame_size, colors, options))
        else:
            others = background_points(track, state.tracks, boxes, view.region, options)
            built.queries.extend(_propagation_queries(track, view, others, frame_size, options))
    return built


def _prompt_query(prompt: FramePrompt, view: EncodedView) -> Query:
    points = len(prompt.points_xy) > 0
    return Query(
        object_id=prompt.id,
        view=view,
        prompt=DecoderPrompt(
            box_xyxy=None if prompt.box is None else _to_box(view, prompt.box),
            points_xy=_to_picture(view, prompt.points_xy) if points else None,
            point_labels=prompt.point_labels if points else None,
        ),
        multimask=prompt.box is None and (len(prompt.points_xy) == 1 or prompt.choice is not None),
        prompted=True,
    )


def _correction_queries(
    prompt: FramePrompt, track: Track, view: EncodedView, frame_size: tuple[int, int], options: TrackingOptions
) -> list[Query]:
    """Clicks on a mask. SAM's way is the mask's logits and the clicks; to a model that was not taught corrections a
    box says more, or what lies under each click. So all of that is asked."""
    logits = predict_logits(track, view.square, view.mask_side, options)
    around = clip(expand(box_around_clicks(track, prompt.points_on, options), options.margins[0]), *frame_size[::-1])
    box = None if around is None else _to_box(view, around)
    ways = [(None, logits), (box, logits), (box, None)] if box is not None else [(None, logits)]
    clicks = _to_picture(view, prompt.points_xy)
    queries = [
        Query(
            object_id=prompt.id,
            view=view,
            prompt=DecoderPrompt(box_xyxy, clicks, prompt.point_labels, mask_logits),
            prompted=True,
        )
        for box_xyxy, mask_logits in ways
    ]
    return queries + [
        Query(
            object_id=prompt.id,
            view=view,
            prompt=DecoderPrompt(points_xy=click[None], point_labels=np.ones(1, np.int32)),
            multimask=True,
            prompted=True,
            part="missing" if label else "too much",
        )
        for click, label in zip(clicks, prompt.point_labels, strict=True)
    ]


def _propagation_queries(
    track: Track, view: EncodedView, others_xy: np.ndarray, frame_size: tuple[int, int], options: TrackingOptions
) -> list[Query]:
    box = predict_box(track, options)
    templates = _templates(track, view, options)
    projection = options.projection or (("point",) if templates else ("box", "mask"))
    mask = predict_logits(track, view.square, view.mask_side, options) if "mask" in projection else None
    own_xy = predict_point(track, options) if "point" in projection else None
    with_box = "box" in projection or (mask is None and own_xy is None)
    margins = options.margins if with_box else options.margins[:1]
    widened = [clip(expand(box, margin), frame_size[1], frame_size[0]) for margin in margins]
    points_xy = others_xy if own_xy is None else np.concatenate([own_xy, others_xy])
    labels = np.array([1] * (len(points_xy) - len(others_xy)) + [0] * len(others_xy), np.int32)
    return [
        Query(
            object_id=track.id,
            view=view,
            prompt=DecoderPrompt(
                box_xyxy=_to_box(view, inside) if with_box else None,
                points_xy=_to_picture(view, points_xy) if len(points_xy) else None,
                point_labels=labels if len(points_xy) else None,
                mask_logits=mask,
            ),
            templates=templates,
        )
        for inside in widened
        if inside is not None
    ]


def _redetection_queries(
    track: Track, view: EncodedView, frame_size: tuple[int, int], colors: FrameColors, options: TrackingOptions
) -> list[Query]:
    """The places in the view that look most like the object."""
    boxes = [] if track.hint is None else [track.hint]
    if track.appearance is not None:
        likely = search_view(
            view.features, view.square, view.region, track.appearance, usual_size(track), colors, options
        )
        boxes += [box for box in likely if not overlaps_any(box, boxes)]
    widened = (clip(expand(box, options.margins[0]), frame_size[1], frame_size[0]) for box in boxes)
    templates = _templates(track, view, options)
    return [
        Query(object_id=track.id, view=view, prompt=DecoderPrompt(_to_box(view, inside)), templates=templates)
        for inside in widened
        if inside is not None
    ]


def _templates(track: Track, view: EncodedView, options: TrackingOptions) -> tuple[Template, ...]:
    """The first view and the last one; none for a view that was not made for the object."""
    if not options.templates or view.keys is None or view.object_id != track.id:
        return ()
    return tuple(template for template in (track.first_view, track.last_view) if template is not None)


def refine_query(answer: Answer, best: int, box: Box) -> Query:
    """Iterative refinement: the first answer's own box and logits as the prompt of a second pass.

    Args:
        answer: of the first pass.
        best: which of its masks.
        box: of that mask, frame pixels.
    """
    first = answer.query
    return Query(
        object_id=first.object_id,
        view=first.view,
        prompt=replace(
            first.prompt,
            box_xyxy=_to_box(first.view, box),
            mask_logits=np.clip(answer.logits[best], -LOGIT_LIMIT, LOGIT_LIMIT),
        ),
        prompted=first.prompted,
        templates=first.templates,
    )


def _to_box(view: EncodedView, box: Box) -> Box:
    x0, y0, x1, y1 = _to_picture(view, np.array(box))
    return (float(x0), float(y0), float(x1), float(y1))


def _to_picture(view: EncodedView, coordinates: np.ndarray) -> np.ndarray:
    """Frame pixels as the decoder counts: in SAM's prompts (0, 0) is the middle of the first pixel."""
    return to_view(coordinates, view.region, view.image_size) - 0.5


def _views_of_prompt(prompt: FramePrompt, views: Sequence[EncodedView]) -> list[EncodedView]:
    """A click is asked of every view that has it, since it does not say how large the object is."""
    if not prompt.only_clicks:
        return _last_view_of(prompt, views)
    own = [view for view in views if view.object_id in (prompt.id, None)]
    return [view for view in own if has(view.region, prompt.points_xy)]


def _last_view_of(prompt: FramePrompt, views: Sequence[EncodedView]) -> list[EncodedView]:
    """The view made for the prompt, which comes after that of its object; else one of the whole frame."""
    own = [view for view in views if view.object_id == prompt.id]
    return (own or [view for view in views if view.object_id is None])[-1:]


def _view_of(object_id: int, views: Sequence[EncodedView]) -> EncodedView | None:
    """The view made for the object; else one of the whole frame."""
    own = [view for view in views if view.object_id == object_id]
    if own:
        return own[0]
    return next((view for view in views if view.object_id is None), None)
