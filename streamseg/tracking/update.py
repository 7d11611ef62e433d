"""Following objects, last of three steps: from the decoder's answers to masks, states and what to remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from streamseg.masks.boxes import center_size
from streamseg.prompts.model import Fitted
from streamseg.tracking.association import Judged
from streamseg.tracking.candidate import NOWHERE, Candidate, Pasted
from streamseg.tracking.colors import FrameColors, scene_of, scene_similarity
from streamseg.tracking.correction import best_correction, how_corrected
from streamseg.tracking.gating import new_colors, reachable, usual_colors
from streamseg.tracking.initialize import start, template_of
from streamseg.tracking.motion import seen, standing, unseen
from streamseg.tracking.options import TrackingOptions
from streamseg.tracking.predict import usual_size
from streamseg.tracking.questions import Answer, Questions
from streamseg.tracking.redetection import glance
from streamseg.tracking.state import Memory, Track, TrackerState
from streamseg.tracking.verdicts import judge_all

_SETTLE = 0.3
"""How much of a new area goes into the one that is kept."""
_GROW = 0.04
"""How much of a new area goes into the usual one."""
_RENEW = 0.05
"""How much of a new appearance goes into the one that is kept."""
_CLOSE = 2.2
"""Side of a view, in longer sides of what it shows, from which on a closer look is worth it."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of every object in one frame."""

    state: TrackerState
    masks: list[Pasted]
    """Parallel to ``state.tracks``; `NOWHERE` for an object that is not seen."""


def follow(
    state: TrackerState,
    questions: Questions,
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> Followed:
    """The state after this frame, and the masks.

    Args:
        state: after the frame before.
        questions: of this frame.
        answers: one for each ask.
        image_rgb: (H, W, 3) uint8, the frame.
        options: of the tracker.
    """
    scene = scene_of(image_rgb)
    cut = options.gates and bool(state.scene) and scene_similarity(scene, state.scene) < options.scene_cut
    by_object: dict[tuple[int, bool], list[Answer]] = {}
    for answer in answers:
        by_object.setdefault((answer.ask.object_id, answer.ask.prompted), []).append(answer)
    before = {track.id: track for track in state.tracks}
    own = {track.id: by_object.get((track.id, False), []) for track in state.tracks}
    followed: dict[int, tuple[Track, Pasted]] = {}
    for track, judged in judge_all(state.tracks, own, image_rgb, options, cut=cut):
        followed[track.id] = _continue(track, judged, image_rgb)
    for identity, prompt in questions.prompts.items():
        known, given = before.get(identity), by_object.get((identity, True), [])
        if prompt.remove:
            followed.pop(identity, None)
        elif known is not None and known.has_mask and prompt.only_clicks:
            followed[identity] = _correct(prompt, followed[identity], given, image_rgb, options)
        else:
            followed[identity] = start(prompt, known, questions.views.get(identity), given, image_rgb, options)
    if options.gates:
        _glance_for_lost(followed, image_rgb, options)
    new = TrackerState(
        tracks=[track for track, _ in followed.values()],
        everything_done=state.everything_done,
        detected=state.detected,
        highest_id=max(state.highest_id, *followed, 0),
        frames=state.frames + 1,
        prompts_done=state.prompts_done + questions.prompts_taken,
        removed=[*state.removed, *(prompt.id for prompt in questions.prompts.values() if prompt.remove)],
        scene=scene,
    )
    return Followed(new, [mask for _, mask in followed.values()])


def _correct(
    prompt: Fitted,
    followed: tuple[Track, Pasted],
    answers: Sequence[Answer],
    image_rgb: np.ndarray,
    options: TrackingOptions,
) -> tuple[Track, Pasted]:
    """The mask after clicks; as it would be without them if they leave nothing."""
    track, pasted = followed
    track = msgspec.structs.replace(track, label=track.label or prompt.label)
    best = best_correction(prompt, track, answers, image_rgb, options)
    if best is None:
        return msgspec.structs.replace(track, reason=f"the correction left no mask; {track.reason}"), pasted
    corrected = msgspec.structs.replace(
        track,
        state="TRACKED",
        reason=how_corrected(prompt, best.pasted),
        score=best.score,
        box=best.box,
        area_px=best.area_px,
        usual_px=best.area_px,
        usual_size=center_size(best.box)[2:],
        motion=standing(best.box),
        memory=Memory.of(best.logits, best.seen.square),
        first_appearance=best.appearance,
        appearance=best.appearance,
        first_view=template_of(best.seen, best.logits),
        last_view=None,
        unseen=0,
        displaced=False,
        hint=None,
        hidden_by=None,
        met=None,
    )
    return corrected, best.pasted


def _continue(track: Track, judged: Judged, image_rgb: np.ndarray) -> tuple[Track, Pasted]:
    if judged.state == "LOST" or judged.found is None:
        return _lose(track, judged, (image_rgb.shape[0], image_rgb.shape[1])), NOWHERE
    if judged.state == "UNCERTAIN":
        return _doubt(track, judged.found, judged), judged.found.pasted
    return _keep(track, judged.found, judged), judged.found.pasted


def _keep(track: Track, found: Candidate, judged: Judged) -> Track:
    """A mask that is trusted."""
    appearance = found.appearance if track.appearance is None else track.appearance.towards(found.appearance, _RENEW)
    usual_px = track.area_px if track.usual_px is None else track.usual_px
    settle = 1.0 if judged.state == "REACQUIRED" else _SETTLE
    return msgspec.structs.replace(
        _doubt(track, found, judged),
        area_px=track.area_px + settle * (found.area_px - track.area_px),
        usual_px=usual_px + _GROW * (found.area_px - usual_px),
        usual_size=_towards(usual_size(track), center_size(found.box)[2:], _GROW),
        first_appearance=track.first_appearance or found.appearance,
        appearance=appearance,
        first_view=template_of(found.seen, found.logits) if track.first_view is None else track.first_view,
        last_view=None if track.first_view is None else template_of(found.seen, found.logits),
    )


def _towards(first: tuple[float, float], second: tuple[float, float], step: float) -> tuple[float, float]:
    return (first[0] + step * (second[0] - first[0]), first[1] + step * (second[1] - first[1]))


def _doubt(track: Track, found: Candidate, judged: Judged) -> Track:
    """A mask that is given but half believed: it says where the object is, not how it looks or how large it is."""
    anew = track.motion is None or track.unseen or judged.exchanged
    moved = standing(found.box) if track.motion is None or anew else seen(track.motion, found.box)
    return msgspec.structs.replace(
        track,
        state=judged.state,
        reason=judged.reason,
        score=found.score,
        box=found.box,
        area_px=track.area_px + _SETTLE / 3 * (found.area_px - track.area_px),
        motion=moved,
        memory=Memory.of(found.logits, found.seen.square),
        unseen=0,
        displaced=False,
        hint=None,
        hidden_by=None,
        met=judged.met,
    )


def _lose(track: Track, judged: Judged, frame_size: tuple[int, int]) -> Track:
    """No mask. What was found in a view that shows much else may still be worth a closer look."""
    found = judged.found
    hint = None
    if judged.near_miss and found is not None and _seen_small(found) and track.hint is None:
        hint = found.box
    return msgspec.structs.replace(
        track,
        state="LOST",
        reason=judged.reason,
        score=0.0 if found is None else found.score,
        motion=None if track.motion is None else unseen(track.motion, frame_size),
        unseen=track.unseen + 1,
        displaced=track.displaced or judged.cut,
        hint=hint,
        met=judged.met,
        hidden_by=track.hidden_by if judged.hider is None else judged.hider,
    )


def _glance_for_lost(
    followed: dict[int, tuple[Track, Pasted]], image_rgb: np.ndarray, options: TrackingOptions
) -> None:
    """Where the colors are those of a lost object, it is looked for in the next frame: in two of three, so that
    something else of its colors does not keep it from being found elsewhere."""
    there = [(track, mask) for track, mask in followed.values() if track.state != "LOST"]
    colors: FrameColors | None = None
    for identity, (track, mask) in followed.items():
        if track.state != "LOST" or track.hint is not None or track.appearance is None or not track.unseen % 3:
            continue
        colors = colors or FrameColors.of(image_rgb)
        hider = followed.get(track.hidden_by or 0)
        within = reachable(track, None if hider is None or hider[0].state == "LOST" else hider[0].box, options)
        others = [(*mask, ~new_colors(other, usual_colors(track))) for other, mask in there]
        hint = glance(track.appearance, usual_size(track), colors, within, others, options)
        followed[identity] = msgspec.structs.replace(track, hint=hint), mask


def _seen_small(found: Candidate) -> bool:
    """Whether a closer look would show more of what was found."""
    x0, y0, x1, y1 = found.box
    return found.seen.square[2] - found.seen.square[0] > _CLOSE * max(x1 - x0, y1 - y0)
