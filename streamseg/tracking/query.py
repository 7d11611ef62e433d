"""Following objects, second of three steps: what to ask the decoder about what was seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamseg.masks.boxes import clip, expand, has
from streamseg.masks.roi import to_view
from streamseg.prompts.model import Fitted
from streamseg.tracking.colors import FrameColors
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import (
    around_clicks,
    expected_box,
    expected_logits,
    expected_point,
    points_on_others,
    usual_size,
)
from streamseg.tracking.questions import Answer, Ask, Questions, Seen
from streamseg.tracking.redetection import boxes_in_view, meets_any
from streamseg.tracking.state import LOGIT_LIMIT, Track, TrackerState
from streamseg.tracking.templates import Template
from streamseg.types import Box


def ask(
    state: TrackerState,
    prompts: Sequence[Fitted],
    seen: Sequence[Seen],
    image_rgb: np.ndarray,
    options: TrackingOptions,
    unplanned: Sequence[Fitted] = (),
) -> Questions:
    """What to ask the decoder.

    Args:
        state: after the frame before.
        prompts: those that come into force now.
        seen: the views of this frame.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
        unplanned: more of them, that were not planned: given while the stream was running, or objects that nobody
            pointed at, as if somebody had.
    """
    questions = Questions(prompts={prompt.id: prompt for prompt in (*prompts, *unplanned)}, prompts_taken=len(prompts))
    known = {track.id: track for track in state.tracks}
    frame_size = (image_rgb.shape[0], image_rgb.shape[1])
    colors: FrameColors | None = None
    for prompt in questions.prompts.values():
        track = known.get(prompt.id)
        if prompt.only_clicks and track is not None and track.has_mask:
            for own in _last_view_of(prompt, seen):
                questions.asks.extend(_ask_correction(prompt, track, own, frame_size, options))
        elif prompt.mask is None and not prompt.remove:
            questions.asks.extend(_ask_prompt(prompt, view) for view in _views_of_prompt(prompt, seen))
        elif prompt.mask is not None:
            questions.views.update((prompt.id, view) for view in _last_view_of(prompt, seen))
    for track in state.tracks:
        view = _view_of(track.id, seen)
        if view is None:
            continue
        if track.state == "LOST" and options.gates:
            colors = colors or FrameColors.of(image_rgb)
            questions.asks.extend(_ask_lost(track, view, frame_size, colors, options))
        else:
            others = points_on_others(track, state.tracks, view.region, options)
            questions.asks.extend(_ask_track(track, view, others, frame_size, options))
    return questions


def _ask_prompt(prompt: Fitted, view: Seen) -> Ask:
    points = len(prompt.points_xy) > 0
    return Ask(
        object_id=prompt.id,
        seen=view,
        box_xyxy=None if prompt.box is None else _to_box(view, prompt.box),
        points_xy=_to_picture(view, prompt.points_xy) if points else None,
        point_labels=prompt.point_labels if points else None,
        multimask=prompt.box is None and (len(prompt.points_xy) == 1 or prompt.choice is not None),
        prompted=True,
    )


def _ask_correction(
    prompt: Fitted, track: Track, view: Seen, frame_size: tuple[int, int], options: TrackingOptions
) -> list[Ask]:
    """Clicks on a mask. SAM's way is the mask's logits and the clicks; to a model that was not taught corrections a
    box says more, or what lies under each click. So all of that is asked."""
    logits = expected_logits(track, view, options)
    around = clip(expand(around_clicks(track, prompt.points_on, options), options.margins[0]), *frame_size[::-1])
    box = None if around is None else _to_box(view, around)
    ways = [(None, logits), (box, logits), (box, None)] if box is not None else [(None, logits)]
    clicks = _to_picture(view, prompt.points_xy)
    asks = [
        Ask(
            object_id=prompt.id,
            seen=view,
            box_xyxy=box_xyxy,
            points_xy=clicks,
            point_labels=prompt.point_labels,
            mask_logits=mask_logits,
            prompted=True,
        )
        for box_xyxy, mask_logits in ways
    ]
    return asks + [
        Ask(
            object_id=prompt.id,
            seen=view,
            points_xy=click[None],
            point_labels=np.ones(1, np.int32),
            multimask=True,
            prompted=True,
            part="missing" if label else "too much",
        )
        for click, label in zip(clicks, prompt.point_labels, strict=True)
    ]


def _ask_track(
    track: Track, view: Seen, others_xy: np.ndarray, frame_size: tuple[int, int], options: TrackingOptions
) -> list[Ask]:
    box = expected_box(track, options)
    templates = _templates(track, view, options)
    projection = options.projection or (("point",) if templates else ("box", "mask"))
    mask = expected_logits(track, view, options) if "mask" in projection else None
    own_xy = expected_point(track, options) if "point" in projection else None
    with_box = "box" in projection or (mask is None and own_xy is None)
    margins = options.margins if with_box else options.margins[:1]
    widened = [clip(expand(box, margin), frame_size[1], frame_size[0]) for margin in margins]
    points_xy = others_xy if own_xy is None else np.concatenate([own_xy, others_xy])
    labels = np.array([1] * (len(points_xy) - len(others_xy)) + [0] * len(others_xy), np.int32)
    return [
        Ask(
            object_id=track.id,
            seen=view,
            box_xyxy=_to_box(view, inside) if with_box else None,
            points_xy=_to_picture(view, points_xy) if len(points_xy) else None,
            point_labels=labels if len(points_xy) else None,
            mask_logits=mask,
            templates=templates,
        )
        for inside in widened
        if inside is not None
    ]


def _ask_lost(
    track: Track, view: Seen, frame_size: tuple[int, int], colors: FrameColors, options: TrackingOptions
) -> list[Ask]:
    """Ask of the places in the view that look most like the object."""
    boxes = [] if track.hint is None else [track.hint]
    if track.appearance is not None:
        likely = boxes_in_view(
            view.features, view.square, view.region, track.appearance, usual_size(track), colors, options
        )
        boxes += [box for box in likely if not meets_any(box, boxes)]
    asked = (clip(expand(box, options.margins[0]), frame_size[1], frame_size[0]) for box in boxes)
    templates = _templates(track, view, options)
    return [
        Ask(object_id=track.id, seen=view, box_xyxy=_to_box(view, inside), templates=templates)
        for inside in asked
        if inside is not None
    ]


def _templates(track: Track, view: Seen, options: TrackingOptions) -> tuple[Template, ...]:
    """The first view and the last one; none for a view that was not made for the object."""
    if not options.templates or view.keys is None or view.object_id != track.id:
        return ()
    return tuple(template for template in (track.first_view, track.last_view) if template is not None)


def again(answer: Answer, best: int, box: Box) -> Ask:
    """The second pass: the first answer's own box and logits as the prompt.

    Args:
        answer: of the first pass.
        best: which of its masks.
        box: of that mask, frame pixels.
    """
    first = answer.ask
    return Ask(
        object_id=first.object_id,
        seen=first.seen,
        box_xyxy=_to_box(first.seen, box),
        points_xy=first.points_xy,
        point_labels=first.point_labels,
        mask_logits=np.clip(answer.logits[best], -LOGIT_LIMIT, LOGIT_LIMIT),
        prompted=first.prompted,
        templates=first.templates,
    )


def _to_box(view: Seen, box: Box) -> Box:
    x0, y0, x1, y1 = _to_picture(view, np.array(box))
    return (float(x0), float(y0), float(x1), float(y1))


def _to_picture(view: Seen, coordinates: np.ndarray) -> np.ndarray:
    """Frame pixels as the decoder counts: in SAM's prompts (0, 0) is the middle of the first pixel."""
    return to_view(coordinates, view.region, view.image_size) - 0.5


def _views_of_prompt(prompt: Fitted, seen: Sequence[Seen]) -> list[Seen]:
    """A click is asked of every view that has it, since it does not say how large the object is."""
    if not prompt.only_clicks:
        return _last_view_of(prompt, seen)
    own = [view for view in seen if view.object_id in (prompt.id, None)]
    return [view for view in own if has(view.region, prompt.points_xy)]


def _last_view_of(prompt: Fitted, seen: Sequence[Seen]) -> list[Seen]:
    """The view made for the prompt, which comes after that of its object; else one of the whole frame."""
    own = [view for view in seen if view.object_id == prompt.id]
    return (own or [view for view in seen if view.object_id is None])[-1:]


def _view_of(object_id: int, seen: Sequence[Seen]) -> Seen | None:
    """The view made for the object; else one of the whole frame."""
    own = [view for view in seen if view.object_id == object_id]
    if own:
        return own[0]
    return next((view for view in seen if view.object_id is None), None)
