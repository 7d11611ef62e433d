"""Last of three steps: from the decoder's answers to the tracks' new states, their masks, and what is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from streamseg.masks.boxes import center_size
from streamseg.tracking.appearance import FrameColors, scene_histogram, scene_similarity
from streamseg.tracking.association import Assignment, associate
from streamseg.tracking.candidate import NO_MASK, Candidate, Pasted
from streamseg.tracking.correction import correct_track
from streamseg.tracking.gating import foreign_colors, reachable_box, usual_color_pixels
from streamseg.tracking.initialize import initialize_track
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import coast_motion, initial_motion, predict_box, update_motion, usual_size
from streamseg.tracking.query import Answer, Queries
from streamseg.tracking.redetection import in_turn, search_frame
from streamseg.tracking.state import Memory, Track, TrackerState

_AREA_STEP = 0.3
"""How much of a new area goes into the one that is kept."""
_USUAL_STEP = 0.04
"""How much of a new area goes into the usual one."""
_APPEARANCE_STEP = 0.05
"""How much of a new appearance goes into the one that is kept."""
_COARSE = 2.2
"""Side of a view, in longer sides of what it shows, from which on a closer look is worth it."""


@dataclass(frozen=True, eq=False)
class Update:
    """What became of every object in one frame."""

    state: TrackerState
    masks: list[Pasted]
    """Parallel to ``state.tracks``; `NO_MASK` for an object that is not seen."""


def update_tracks(
    state: TrackerState,
    queries: Queries,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> Update:
    """The state after this frame, and the masks.

    Args:
        state: after the frame before.
        queries: of this frame.
        answers: one for each query.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
    """
    scene = scene_histogram(image_rgb)
    cut = options.gates and bool(state.scene) and scene_similarity(scene, state.scene) < options.scene_cut
    by_object: dict[tuple[int, bool], list[Answer]] = {}
    for answer in answers:
        by_object.setdefault((answer.query.object_id, answer.query.prompted), []).append(answer)
    before = {track.id: track for track in state.tracks}
    own = {track.id: by_object.get((track.id, False), []) for track in state.tracks}
    updated: dict[int, tuple[Track, Pasted]] = {}
    for track, assignment in associate(state.tracks, own, image_rgb, options, cut=cut):
        updated[track.id] = _update_track(track, assignment, image_rgb, options)
    for identity, prompt in queries.prompts.items():
        known, given = before.get(identity), by_object.get((identity, True), [])
        if prompt.remove:
            updated.pop(identity, None)
        elif known is not None and known.has_mask and prompt.only_clicks:
            updated[identity] = correct_track(prompt, *updated[identity], given, image_rgb, options)
        else:
            view = queries.views.get(identity)
            updated[identity] = initialize_track(prompt, known, view, given, image_rgb, options)
    if options.gates:
        _search_for_lost(updated, state.frames + 1, image_rgb, options)
    new = TrackerState(
        tracks=[track for track, _ in updated.values()],
        everything_done=state.everything_done,
        detected=state.detected,
        highest_id=max(state.highest_id, *updated, 0),
        frames=state.frames + 1,
        prompts_done=state.prompts_done + queries.prompts_taken,
        removed=[*state.removed, *(prompt.id for prompt in queries.prompts.values() if prompt.remove)],
        scene=scene,
    )
    return Update(new, [mask for _, mask in updated.values()])


def _update_track(
    track: Track, assignment: Assignment, image_rgb: np.ndarray, options: TrackingOptions
) -> tuple[Track, Pasted]:
    if assignment.state == "LOST" or assignment.candidate is None:
        return _update_lost(track, assignment, (image_rgb.shape[0], image_rgb.shape[1])), NO_MASK
    foreseen = predict_box(track, options, frames=2) if options.ahead and not track.unseen else None
    update = _update_learned if assignment.learned else _update_seen
    updated = update(track, assignment.candidate, assignment)
    return msgspec.structs.replace(updated, foreseen=foreseen), assignment.candidate.pasted


def _update_learned(track: Track, candidate: Candidate, assignment: Assignment) -> Track:
    """A mask that says how the object looks now."""
    appearance = candidate.appearance
    if track.appearance is not None:
        appearance = track.appearance.moved_towards(appearance, _APPEARANCE_STEP)
    usual_px = track.area_px if track.usual_px is None else track.usual_px
    area_step = 1.0 if assignment.state == "REACQUIRED" else _AREA_STEP
    return msgspec.structs.replace(
        _update_seen(track, candidate, assignment),
        area_px=track.area_px + area_step * (candidate.area_px - track.area_px),
        usual_px=usual_px + _USUAL_STEP * (candidate.area_px - usual_px),
        usual_size=_moved_towards(usual_size(track), center_size(candidate.box)[2:], _USUAL_STEP),
        first_appearance=track.first_appearance or candidate.appearance,
        appearance=appearance,
        first_view=candidate.template if track.first_view is None else track.first_view,
        last_view=None if track.first_view is None else candidate.template,
    )


def _moved_towards(first: tuple[float, float], second: tuple[float, float], step: float) -> tuple[float, float]:
    return (first[0] + step * (second[0] - first[0]), first[1] + step * (second[1] - first[1]))


def _update_seen(track: Track, candidate: Candidate, assignment: Assignment) -> Track:
    """A mask that is given but not learned from: it says where the object is, not how it looks or how large it is."""
    if track.motion is None or track.unseen or assignment.switched:
        motion = initial_motion(candidate.box)
    else:
        motion = update_motion(track.motion, candidate.box)
    return msgspec.structs.replace(
        track,
        state=assignment.state,
        reason=assignment.reason,
        score=candidate.score,
        box=candidate.box,
        area_px=track.area_px + _AREA_STEP / 3 * (candidate.area_px - track.area_px),
        motion=motion,
        memory=Memory.of(candidate.logits, candidate.view.square),
        unseen=0,
        displaced=False,
        hint=None,
        hidden_by=None,
        met=assignment.met,
    )


def _update_lost(track: Track, assignment: Assignment, frame_size: tuple[int, int]) -> Track:
    """No mask. What was found in a view that shows much else may still be worth a closer look."""
    candidate = assignment.candidate
    hint = None
    if assignment.near_miss and candidate is not None and _seen_coarsely(candidate) and track.hint is None:
        hint = candidate.box
    return msgspec.structs.replace(
        track,
        state="LOST",
        reason=assignment.reason,
        score=0.0 if candidate is None else candidate.score,
        motion=None if track.motion is None else coast_motion(track.motion, frame_size),
        unseen=track.unseen + 1,
        foreseen=None,
        displaced=track.displaced or assignment.cut,
        hint=hint,
        met=assignment.met,
        hidden_by=track.hidden_by if assignment.occluder is None else assignment.occluder,
    )


def _search_for_lost(
    updated: dict[int, tuple[Track, Pasted]], frames: int, image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """Where the colors are those of a lost object, it is looked for in the next frame: in two of three, so that
    something else of its colors does not keep it from being found elsewhere."""
    there = [(track, mask) for track, mask in updated.values() if track.state != "LOST"]
    turn = in_turn([track for track, _ in updated.values()], frames, options)
    colors: FrameColors | None = None
    for identity, (track, mask) in updated.items():
        if identity not in turn or track.hint is not None or track.appearance is None or not track.unseen % 3:
            continue
        colors = colors or FrameColors.of(image_rgb)
        occluder = updated.get(track.hidden_by or 0)
        its_box = None if occluder is None or occluder[0].state == "LOST" else occluder[0].box
        within = reachable_box(track, its_box, options)
        others = [(*mask, ~foreign_colors(other, usual_color_pixels(track))) for other, mask in there]
        hint = search_frame(track.appearance, usual_size(track), colors, within, others, options)
        updated[identity] = msgspec.structs.replace(track, hint=hint), mask


def _seen_coarsely(candidate: Candidate) -> bool:
    """Whether a closer look would show more of it."""
    x0, y0, x1, y1 = candidate.box
    return candidate.view.square[2] - candidate.view.square[0] > _COARSE * max(x1 - x0, y1 - y0)
