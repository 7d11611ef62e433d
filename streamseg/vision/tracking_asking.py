"""Following objects, second of three steps: what to ask the decoder about what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from streamseg.vision.boxes import Box, center_size, clip, expand, from_center_size
from streamseg.vision.prompts import Fitted
from streamseg.vision.tracking_colours import FrameColours
from streamseg.vision.tracking_options import TrackingOptions
from streamseg.vision.tracking_searching import boxes_in_view, meets_any
from streamseg.vision.tracking_state import LOGIT_LIMIT, Track, TrackerState
from streamseg.vision.tracking_templates import Template
from streamseg.vision.views import resample_logits, to_frame, to_view


@dataclass(frozen=True)
class Look:
    """Where to look for an object."""

    box: Box
    """Frame pixels; may have no area."""
    object_id: int
    scales: tuple[float, ...] = ()
    """If any: look at squares of these fractions of the frame's longer side round the middle of `box` instead, at
    the whole frame for 1."""
    from_s: float | None = None
    """If the next frame's presentation time is before this, need not look; None to look in any case."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A view as the image encoder saw it."""

    region: Box
    image_size: tuple[int, int]
    """(height, width) of the picture made of the region; its longer side fills the model's square."""
    features: np.ndarray
    """(C, h, w) over `square`."""
    object_id: int | None
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


@dataclass(frozen=True, eq=False)
class Ask:
    """A question to the decoder, in pixels of the view's picture."""

    object_id: int
    seen: Seen
    box_xyxy: Box | None = None
    points_xy: np.ndarray | None = None
    point_labels: np.ndarray | None = None
    mask_logits: np.ndarray | None = None
    multimask: bool = False
    prompted: bool = False
    """Asked because of a prompt. Such asks go to the decoder apart from the others, which it therefore answers as if
    there were no prompt: rounding depends on what is decoded together."""
    templates: tuple[Template, ...] = ()
    """Earlier views of the object that this one is to be compared with."""
    part: Literal["missing", "too much"] | None = None
    """Not the object is asked for, but what a click on it says is missing from its mask, or too much in it."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the decoder said to one `Ask`."""

    ask: Ask
    logits: np.ndarray
    """(M, side, side) float32 over ``ask.seen.square``."""
    scores: np.ndarray
    """(M,) float32."""


@dataclass(frozen=True, eq=False)
class Questions:
    """All that is asked of one frame."""

    asks: list[Ask] = field(default_factory=list)
    prompts: dict[int, Fitted] = field(default_factory=dict)
    """By object id, the prompts that came into force."""
    views: dict[int, Seen] = field(default_factory=dict)
    """By object id, the view of an object whose mask was given."""
    prompts_taken: int = 0
    """How many of the stream's planned prompts that were."""


def expected_box(track: Track, options: TrackingOptions) -> Box:
    """Where the object should be in the next frame, by its speed so far."""
    if track.motion is None:
        return track.box
    if track.unseen:
        return from_center_size(*track.motion.middle, *usual_size(track))
    x0, y0, x1, y1 = track.box
    dx, dy = (speed * options.motion for speed in track.motion.velocity)
    return (x0 + dx, y0 + dy, x1 + dx, y1 + dy)


def usual_size(track: Track) -> tuple[float, float]:
    """(width, height) in pixels of the object as it mostly is: it may have been half hidden when it was lost."""
    return track.usual_size or center_size(track.box)[2:]


def around_clicks(track: Track, clicks: Sequence[Sequence[float]] | np.ndarray, options: TrackingOptions) -> Box:
    """The expected box, widened so that clicks (x, y) lie in it."""
    x0, y0, x1, y1 = expected_box(track, options)
    xs, ys = [float(x) for x, _ in clicks], [float(y) for _, y in clicks]
    return (min([x0, *xs]), min([y0, *ys]), max([x1, *xs]), max([y1, *ys]))


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
    colours: FrameColours | None = None
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
            colours = colours or FrameColours.of(image_rgb)
            questions.asks.extend(_ask_lost(track, view, frame_size, colours, options))
        else:
            questions.asks.extend(_ask_track(track, view, frame_size, options))
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
    logits = _memory_in(track, view, options)
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


def _ask_track(track: Track, view: Seen, frame_size: tuple[int, int], options: TrackingOptions) -> list[Ask]:
    box = expected_box(track, options)
    widened = [clip(expand(box, margin), frame_size[1], frame_size[0]) for margin in options.margins]
    mask = _memory_in(track, view, options) if options.mask_input else None
    point = _inner_point(track, options) if options.point_input else None
    with_box = options.box_input or (mask is None and point is None)
    return [
        Ask(
            object_id=track.id,
            seen=view,
            box_xyxy=_to_box(view, inside) if with_box else None,
            points_xy=None if point is None else _to_picture(view, point),
            point_labels=None if point is None else np.ones(1, np.int32),
            mask_logits=mask,
            templates=_templates(track, view, options),
        )
        for inside in (widened if with_box else widened[:1])
        if inside is not None
    ]


def _inner_point(track: Track, options: TrackingOptions) -> np.ndarray | None:
    """(1, 2) frame pixels: the point furthest inside the last mask, where it is expected now."""
    if track.memory is None:
        return None
    inside = np.pad((track.memory.logits > 0).astype(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    moved = _moved(track.memory.region, expected_box(track, options), track.box)
    return to_frame(np.array([[x + 0.5, y + 0.5]]), moved, track.memory.side)


def _memory_in(track: Track, view: Seen, options: TrackingOptions) -> np.ndarray | None:
    """The last mask's logits where the object is expected now, as the view sees them."""
    if track.memory is None:
        return None
    moved = _moved(track.memory.region, expected_box(track, options), track.box)
    return resample_logits(track.memory.logits, moved, view.square, view.mask_side)


def _ask_lost(
    track: Track, view: Seen, frame_size: tuple[int, int], colours: FrameColours, options: TrackingOptions
) -> list[Ask]:
    """Ask of the places in the view that look most like the object."""
    boxes = [] if track.hint is None else [track.hint]
    if track.appearance is not None:
        likely = boxes_in_view(
            view.features, view.square, view.region, track.appearance, usual_size(track), colours, options
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


def mask_as_logits(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool mask as float32 logits."""
    return np.where(mask, np.float32(LOGIT_LIMIT), np.float32(-LOGIT_LIMIT))


def _moved(region: Box, to: Box, origin: Box) -> Box:
    dx, dy = to[0] - origin[0], to[1] - origin[1]
    return (region[0] + dx, region[1] + dy, region[2] + dx, region[3] + dy)


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
    return [view for view in own if _has(view.region, prompt.points_xy)]


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


def _has(region: Box, points_xy: np.ndarray) -> bool:
    x, y = points_xy[:, 0], points_xy[:, 1]
    return bool(((x >= region[0]) & (x <= region[2]) & (y >= region[1]) & (y <= region[3])).all())
